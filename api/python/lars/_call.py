# Core. One try of a call, as the caller's function sees it.
from __future__ import annotations

import math
from typing import Callable

from ._host import Host


class Attempt:
    """The node to call, and how long that may take."""

    __slots__ = ("host", "number", "_end_ms", "_now_ms")

    def __init__(
        self, host: Host, number: int, end_ms: float, now_ms: Callable[[], float]
    ) -> None:
        #: The node.
        self.host = host
        #: 0 for the first try, 1 for the second, and so on.
        self.number = number
        self._end_ms = end_ms
        self._now_ms = now_ms

    @property
    def ip(self) -> str:
        """Address of the node."""
        return self.host.ip

    @property
    def port(self) -> int:
        """Port of the node."""
        return self.host.port

    @property
    def address(self) -> str:
        """``ip:port`` of the node."""
        return self.host.address

    @property
    def left_ms(self) -> float:
        """What is left of the time of the whole call, for time-outs of sockets; inf: no limit."""
        return math.inf if self._end_ms == math.inf else max(0.0, self._end_ms - self._now_ms())

    @property
    def left_s(self) -> float:
        """The same in seconds, as most of Python wants it."""
        return self.left_ms / 1000
