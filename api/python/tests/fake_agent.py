# Test. An agent of three sockets whose answers the test decides.
from __future__ import annotations

import random
import socket
import threading
from typing import Callable, List, NamedTuple, Optional, Tuple

from lars import _wire


class Received(NamedTuple):
    """A datagram as it came."""

    message_id: int
    seq: int
    mod_id: int
    cmd_id: int
    datagram: bytes
    caller: Tuple[str, int]


#: Datagrams to send back for one that came.
Behaviour = Callable[[Received], List[bytes]]


def host_response(
    seq: int, mod_id: int, cmd_id: int, ip: int, port: int, retcode: int = 0
) -> bytes:
    """Message 5."""
    body = _wire.unsigned_field(1, seq) + _wire.int32_field(2, mod_id) + _wire.int32_field(3, cmd_id)
    body += _wire.int32_field(4, retcode)
    if retcode == 0:
        body += _wire.bytes_field(5, _wire.int32_field(1, ip) + _wire.int32_field(2, port))
    return _wire.frame(_wire.GET_HOST_RESPONSE, body)


def route_response(mod_id: int, cmd_id: int, nodes: List[Tuple[int, int]]) -> bytes:
    """Message 8."""
    body = _wire.int32_field(1, mod_id) + _wire.int32_field(2, cmd_id)
    for ip, port in nodes:
        body += _wire.bytes_field(3, _wire.int32_field(1, ip) + _wire.int32_field(2, port))
    return _wire.frame(_wire.GET_ROUTE_RESPONSE, body)


def read_question(datagram: bytes, caller: Tuple[str, int]) -> Received:
    """Field numbers differ by message: 4 and 76 begin with a seq."""
    message_id, end = _wire.read_frame(datagram)
    numbers = {}
    for number, kind, content in _wire.fields(datagram, _wire.HEAD_BYTES, end):
        if kind == 0:
            numbers[number] = content & 0xFFFFFFFF  # type: ignore[operator]
    first = 2 if message_id in (_wire.GET_HOST_REQUEST, _wire.EXPLAIN_REQUEST) else 1
    seq = numbers.get(1, 0) if first == 2 else 0
    return Received(
        message_id, seq, numbers.get(first, 0), numbers.get(first + 1, 0), datagram, caller
    )


def echo_node(question: Received) -> List[bytes]:
    """Always 10.0.0.1:80, as node and as route."""
    if question.message_id == _wire.GET_HOST_REQUEST:
        return [host_response(question.seq, question.mod_id, question.cmd_id, 0x0A000001, 80)]
    if question.message_id == _wire.GET_ROUTE_REQUEST:
        return [route_response(question.mod_id, question.cmd_id, [(0x0A000001, 80)])]
    if question.message_id == _wire.HELLO:
        return [_wire.hello("fake", "agent")]
    return []


def _bound(port: int) -> socket.socket:
    """A socket at a port that somebody may come back to: 0 is one that is given to nobody else."""
    while True:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # Below those that the system gives to any socket that asks for none.
            one.bind(("127.0.0.1", port or random.randrange(15_000, 30_000)))
            return one
        except OSError:
            one.close()
            if port:
                raise


class FakeAgent:
    """Listens from the start; `behave` may be exchanged at any time."""

    def __init__(
        self, behave: Behaviour = echo_node, ports: Optional[Tuple[int, int, int]] = None
    ) -> None:
        self.behave = behave
        self.received: List[Received] = []
        self._sockets = [_bound(port) for port in ports or (0, 0, 0)]
        self.ports: Tuple[int, int, int] = tuple(s.getsockname()[1] for s in self._sockets)  # type: ignore[assignment]
        self._is_closing = False
        self._threads = [
            threading.Thread(target=self._serve, args=(one,), daemon=True) for one in self._sockets
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> FakeAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the ports."""
        if self._is_closing:
            return
        self._is_closing = True
        for one in self._sockets:
            waker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            waker.sendto(b"", one.getsockname())
            waker.close()
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _serve(self, one: socket.socket) -> None:
        while not self._is_closing:
            datagram, caller = one.recvfrom(65536)
            if not datagram:
                continue
            received = read_question(datagram, caller)
            self.received.append(received)
            for answer in self.behave(received):
                one.sendto(answer, caller)

    def of(self, message_id: int) -> List[Received]:
        """What came of one kind."""
        return [one for one in self.received if one.message_id == message_id]
