# Core. What the flows want done: the threads of Client and the loop of AsyncClient do it each their way.
from __future__ import annotations

from typing import Any, Callable, Generic, Protocol, TypeVar

from ._call import Attempt
from ._question import Question

T = TypeVar("T")


class Effect:
    """Something a flow waits for."""

    __slots__ = ()


class Ask(Effect, Generic[T]):
    """Ask the agent. The answer comes back; LarsError is raised when none comes in time."""

    __slots__ = ("question", "deadline_ms")

    def __init__(self, question: Question[T], deadline_ms: float) -> None:
        self.question = question
        self.deadline_ms = deadline_ms


class Sleep(Effect):
    """Let time pass."""

    __slots__ = ("ms",)

    def __init__(self, ms: float) -> None:
        self.ms = ms


class Latch(Protocol):
    """What others wait for: threading.Event or asyncio.Event."""

    def set(self) -> None:
        """Lets them all go on."""


class Wait(Effect):
    """Wait for a latch, for so long at most."""

    __slots__ = ("latch", "ms")

    def __init__(self, latch: Any, ms: float) -> None:
        self.latch = latch
        self.ms = ms


class Run(Effect):
    """Run the caller's own part of a call."""

    __slots__ = ("fn", "attempt")

    def __init__(self, fn: Callable[[Attempt], Any], attempt: Attempt) -> None:
        self.fn = fn
        self.attempt = attempt


class Io(Protocol):
    """What flows may do without waiting."""

    def now_ms(self) -> float:
        """Milliseconds by a clock that only goes forward."""

    def send(self, port_index: int, datagram: bytes) -> None:
        """Sends one datagram to the agent, or loses it: UDP promises nothing. Never raises."""

    def new_latch(self) -> Latch:
        """A latch that is not set."""
