# Core. What a caller may ask its agent, and which answer is the one to it.
from __future__ import annotations

from typing import Generic, Hashable, List, Optional, TypeVar

from . import _wire
from ._errors import ProtocolError
from ._host import Host, port_index

T = TypeVar("T")


class Question(Generic[T]):
    """One question; the number it goes by is given when it is sent."""

    #: False: its answer carries no number, so a late one cannot be told from that to a later one.
    is_numbered = True

    def __init__(self, mod_id: int, cmd_id: int) -> None:
        self.mod_id = mod_id
        self.cmd_id = cmd_id
        self.port_index = port_index(mod_id, cmd_id)

    def datagram(self, seq: int) -> bytes:
        """The bytes to send."""
        raise NotImplementedError

    def key(self, seq: int) -> Hashable:
        """What an answer must have to be the one to this question."""
        raise NotImplementedError


class Answer(Generic[T]):
    """What came from the agent, and what it is an answer to."""

    __slots__ = ("key", "value")

    def __init__(self, key: Hashable, value: T) -> None:
        self.key = key
        self.value = value


class HostQuestion(Question["_wire.HostReply"]):
    """Which node next?"""

    def __init__(self, mod_id: int, cmd_id: int, pick_key: Optional[bytes]) -> None:
        super().__init__(mod_id, cmd_id)
        self._pick_key = pick_key

    def datagram(self, seq: int) -> bytes:
        return _wire.get_host_request(seq, self.mod_id, self.cmd_id, self._pick_key)

    def key(self, seq: int) -> Hashable:
        return (_wire.GET_HOST_RESPONSE, seq, self.mod_id, self.cmd_id)


class RouteQuestion(Question[List[Host]]):
    """All nodes of a module. Any answer for this module will do."""

    is_numbered = False

    def datagram(self, seq: int) -> bytes:
        return _wire.get_route_request(self.mod_id, self.cmd_id)

    def key(self, seq: int) -> Hashable:
        return (_wire.GET_ROUTE_RESPONSE, self.mod_id, self.cmd_id)


class HelloQuestion(Question[None]):
    """Do you speak the extensions? Its answer names nothing: the first one will do."""

    is_numbered = False

    def datagram(self, seq: int) -> bytes:
        return _wire.hello("lars-python", "client")

    def key(self, seq: int) -> Hashable:
        return (_wire.HELLO,)


class ExplainQuestion(Question["_wire.ExplainReply"]):
    """Why is which node picked? A page of the answer, from node `start` on."""

    def __init__(self, mod_id: int, cmd_id: int, start: int) -> None:
        super().__init__(mod_id, cmd_id)
        self._start = start

    def datagram(self, seq: int) -> bytes:
        return _wire.explain_request(seq, self.mod_id, self.cmd_id, self._start)

    def key(self, seq: int) -> Hashable:
        return (_wire.EXPLAIN_RESPONSE, seq, self.mod_id, self.cmd_id)


def read_answer(datagram: bytes) -> Answer[object]:
    """What a datagram of the agent says.

    :raises ProtocolError: when it says nothing that a caller could have asked for.
    """
    message_id, end = _wire.read_frame(datagram)
    if message_id == _wire.GET_HOST_RESPONSE:
        host = _wire.read_host_reply(datagram, end)
        return Answer((message_id, host.seq, host.mod_id, host.cmd_id), host)
    if message_id == _wire.GET_ROUTE_RESPONSE:
        route = _wire.read_route_reply(datagram, end)
        return Answer((message_id, route.mod_id, route.cmd_id), route.hosts)
    if message_id == _wire.EXPLAIN_RESPONSE:
        page = _wire.read_explain_reply(datagram, end)
        return Answer((message_id, page.seq, page.mod_id, page.cmd_id), page)
    if message_id == _wire.HELLO:
        _wire.read_hello(datagram, end)
        return Answer((message_id,), None)
    raise ProtocolError(f"Message id must be one of an answer: it is {message_id}")
