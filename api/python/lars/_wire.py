# Core. The messages callers and agents exchange, as bytes; see proto/lars.proto of Lars.
from __future__ import annotations

import struct
from functools import lru_cache
from typing import Iterator, List, NamedTuple, Optional, Tuple, Union

from ._errors import ProtocolError
from ._host import Host, host_of

GET_HOST_REQUEST = 4
GET_HOST_RESPONSE = 5
REPORT_REQUEST = 6
GET_ROUTE_REQUEST = 7
GET_ROUTE_RESPONSE = 8
HELLO = 64
EXPLAIN_REQUEST = 76
EXPLAIN_RESPONSE = 77

HELLO_PROTOCOL = 2
HEAD_BYTES = 8
#: Groups inside groups beyond this are refused, as in other Protocol Buffers programs.
GROUP_DEPTH_MAX = 100

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_head = struct.Struct("<ii")

#: Content of a field: a number, or where its bytes begin and end.
Content = Union[int, Tuple[int, int]]


def varint(value: int) -> bytes:
    """An unsigned number of up to 64 bits, seven bits to a byte."""
    if value < 128:
        return bytes((value,))
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def unsigned_field(number: int, value: int) -> bytes:
    """A varint field; 0 is not written."""
    return varint(number << 3) + varint(value) if value else b""


def int32_field(number: int, value: int) -> bytes:
    """An int32 from an unsigned or signed number; negative ones take ten bytes."""
    value &= 0xFFFFFFFF
    return unsigned_field(number, value | 0xFFFFFFFF00000000 if value > 0x7FFFFFFF else value)


def bytes_field(number: int, content: bytes) -> bytes:
    """A field with a length, written also when it is empty."""
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


def frame(message_id: int, body: bytes) -> bytes:
    """A whole datagram."""
    return _head.pack(message_id, len(body)) + body


@lru_cache(maxsize=4096)
def _module_fields(first: int, mod_id: int, cmd_id: int) -> bytes:
    return int32_field(first, mod_id) + int32_field(first + 1, cmd_id)


def get_host_request(seq: int, mod_id: int, cmd_id: int, key: Optional[bytes] = None) -> bytes:
    """Message 4: which node next?"""
    body = unsigned_field(1, seq) + _module_fields(2, mod_id, cmd_id)
    return frame(GET_HOST_REQUEST, body if key is None else body + bytes_field(17, key))


@lru_cache(maxsize=4096)
def _report_fields(mod_id: int, cmd_id: int, ip: int, port: int) -> bytes:
    host = int32_field(1, ip) + int32_field(2, port)
    return _module_fields(1, mod_id, cmd_id) + bytes_field(3, host)


def report_request(
    mod_id: int, cmd_id: int, ip: int, port: int, retcode: int, timecost_ms: Optional[int]
) -> bytes:
    """Message 6: the outcome of one call."""
    body = _report_fields(mod_id, cmd_id, ip, port) + int32_field(4, retcode)
    if timecost_ms is not None:
        body += b"\x28" + varint(timecost_ms)
    return frame(REPORT_REQUEST, body)


def get_route_request(mod_id: int, cmd_id: int) -> bytes:
    """Message 7: every node of a module, please."""
    return frame(GET_ROUTE_REQUEST, _module_fields(1, mod_id, cmd_id))


def hello(software: str, role: str) -> bytes:
    """Message 64: I speak the extensions."""
    body = unsigned_field(1, HELLO_PROTOCOL)
    body += bytes_field(2, software.encode()) + bytes_field(3, role.encode())
    return frame(HELLO, body)


def explain_request(seq: int, mod_id: int, cmd_id: int, start: int) -> bytes:
    """Message 76: why is which node picked? From node `start` on."""
    body = unsigned_field(1, seq) + _module_fields(2, mod_id, cmd_id) + unsigned_field(4, start)
    return frame(EXPLAIN_REQUEST, body)


def read_frame(datagram: bytes) -> Tuple[int, int]:
    """The message id of a datagram, and where its body ends.

    :raises ProtocolError: when head and length do not agree.
    """
    if len(datagram) < HEAD_BYTES:
        raise ProtocolError(f"Datagram must have a head of {HEAD_BYTES} bytes: it has {len(datagram)}")
    message_id, body_bytes = _head.unpack_from(datagram)
    if body_bytes != len(datagram) - HEAD_BYTES:
        raise ProtocolError(
            f"Body must have the {body_bytes} bytes its head says: it has {len(datagram) - HEAD_BYTES}"
        )
    return message_id, len(datagram)


def _read_varint(data: bytes, at: int, end: int) -> Tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ProtocolError("Message ends inside a field")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise ProtocolError("Varint must end within 10 bytes")


def _read_tag(data: bytes, at: int, end: int) -> Tuple[int, int, int]:
    tag, after = _read_varint(data, at, end)
    if after - at > 5 or tag > 0xFFFFFFFF:
        raise ProtocolError("Tag must fit 32 bits")
    if tag >> 3 == 0:
        raise ProtocolError("Field number must not be 0")
    return tag >> 3, tag & 7, after


def _read_length(data: bytes, at: int, end: int) -> Tuple[int, int]:
    size, after = _read_varint(data, at, end)
    if after - at > 5 or size > 0x7FFFFFFF:
        raise ProtocolError("Length must fit 31 bits")
    if size > end - after:
        raise ProtocolError(f"Length must be at most the {end - after} bytes left: it is {size}")
    return after, after + size


def _skip(data: bytes, at: int, end: int, number: int, kind: int, depth: int) -> int:
    """Passes over the content of a field that is no varint and no bytes."""
    if kind in (_FIXED64, _FIXED32):
        after = at + (8 if kind == _FIXED64 else 4)
        if after > end:
            raise ProtocolError("Message ends inside a field")
        return after
    if kind != _GROUP:
        raise ProtocolError(f"Wire type must be 0, 1, 2, 3 or 5: it is {kind}")
    if depth >= GROUP_DEPTH_MAX:
        raise ProtocolError(f"Groups must nest at most {GROUP_DEPTH_MAX} deep")
    while True:
        inner, kind, at = _read_tag(data, at, end)
        if kind == _GROUP_END:
            if inner != number:
                raise ProtocolError("Group must end with its own number")
            return at
        if kind == _VARINT:
            _, at = _read_varint(data, at, end)
        elif kind == _BYTES:
            _, at = _read_length(data, at, end)
        else:
            at = _skip(data, at, end, inner, kind, depth + 1)


def fields(data: bytes, at: int, end: int) -> Iterator[Tuple[int, int, Content]]:
    """Number, wire type and content of each varint and bytes field; others are passed over.

    :raises ProtocolError: when the bytes are no message.
    """
    while at < end:
        number, kind, at = _read_tag(data, at, end)
        if kind == _VARINT:
            value, at = _read_varint(data, at, end)
            yield number, kind, value
        elif kind == _BYTES:
            start, at = _read_length(data, at, end)
            yield number, kind, (start, at)
        else:
            at = _skip(data, at, end, number, kind, 0)


def signed32(value: int) -> int:
    """The low 32 bits as a signed number."""
    value &= 0xFFFFFFFF
    return value - 0x100000000 if value > 0x7FFFFFFF else value


def _text(data: bytes, where: Content) -> str:
    start, end = where  # type: ignore[misc]
    try:
        return data[start:end].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError("Text must be valid UTF-8") from error


class _HostFields:
    """A HostInfo as it is gathered: an inner message that comes twice is merged."""

    __slots__ = ("ip", "port", "weight", "zone")

    def __init__(self) -> None:
        self.ip = 0
        self.port = 0
        self.weight: Optional[int] = None
        self.zone: Optional[str] = None

    def read(self, data: bytes, where: Content) -> None:
        start, end = where  # type: ignore[misc]
        for number, kind, content in fields(data, start, end):
            if kind == _VARINT:
                if number == 1:
                    self.ip = content & 0xFFFFFFFF  # type: ignore[operator]
                elif number == 2:
                    self.port = content & 0xFFFFFFFF  # type: ignore[operator]
                elif number == 16:
                    self.weight = content & 0xFFFFFFFF  # type: ignore[operator]
            elif number == 17 and kind == _BYTES:
                self.zone = _text(data, content) or None

    def host(self) -> Optional[Host]:
        """A node; None when its port cannot be one."""
        return host_of(self.ip, self.port, self.weight, self.zone)


class HostReply(NamedTuple):
    """Message 5."""

    seq: int
    mod_id: int
    cmd_id: int
    retcode: int
    host: Optional[Host]


def read_host_reply(data: bytes, end: int) -> HostReply:
    """:raises ProtocolError: when it cannot be read, or says success and names no node."""
    seq = mod_id = cmd_id = retcode = 0
    host: Optional[_HostFields] = None
    for number, kind, content in fields(data, HEAD_BYTES, end):
        if kind == _VARINT:
            value: int = content & 0xFFFFFFFF  # type: ignore[operator]
            if number == 1:
                seq = value
            elif number == 2:
                mod_id = value
            elif number == 3:
                cmd_id = value
            elif number == 4:
                retcode = signed32(value)
        elif number == 5 and kind == _BYTES:
            host = host or _HostFields()
            host.read(data, content)
    node = None if host is None else host.host()
    if retcode == 0 and node is None:
        raise ProtocolError("GetHostResponse must name a node when its code is 0")
    return HostReply(seq, mod_id, cmd_id, retcode, node if retcode == 0 else None)


class RouteReply(NamedTuple):
    """Message 8."""

    mod_id: int
    cmd_id: int
    hosts: List[Host]


def read_route_reply(data: bytes, end: int) -> RouteReply:
    """:raises ProtocolError: when it cannot be read."""
    mod_id = cmd_id = 0
    hosts: List[Host] = []
    drained: List[Host] = []
    for number, kind, content in fields(data, HEAD_BYTES, end):
        if kind == _VARINT:
            if number == 1:
                mod_id = content & 0xFFFFFFFF  # type: ignore[operator]
            elif number == 2:
                cmd_id = content & 0xFFFFFFFF  # type: ignore[operator]
        elif number in (3, 19):
            one = _HostFields()
            one.read(data, content)
            host = one.host()
            if host is not None:
                (hosts if number == 3 else drained).append(host)
        elif number in (17, 21):
            _text(data, content)  # policy and name: refused as a whole when they are no text
    return RouteReply(mod_id, cmd_id, hosts + drained)


class ExplainReply(NamedTuple):
    """Message 77."""

    seq: int
    mod_id: int
    cmd_id: int
    explanation: str


def read_explain_reply(data: bytes, end: int) -> ExplainReply:
    """:raises ProtocolError: when it cannot be read."""
    numbers = {1: 0, 2: 0, 3: 0}
    explanation = ""
    for number, kind, content in fields(data, HEAD_BYTES, end):
        if kind == _VARINT and number in numbers:
            numbers[number] = content & 0xFFFFFFFF  # type: ignore[operator]
        elif number == 5 and kind == _BYTES:
            explanation = _text(data, content)
    return ExplainReply(numbers[1], numbers[2], numbers[3], explanation)


def read_hello(data: bytes, end: int) -> None:
    """:raises ProtocolError: when it cannot be read; nothing in it matters to a caller."""
    for number, kind, content in fields(data, HEAD_BYTES, end):
        if kind == _BYTES and number in (2, 3, 5, 7, 8):
            _text(data, content)
