# Core. Waiting for the first route of a module, so that the first call of a program need not fail.
from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable, Dict, Generator, Optional, Tuple

from ._effects import Effect, Latch, Sleep, Wait
from ._errors import ConnectError, LarsError, TimeoutError
from ._host import HostAnswer, RetCode

if TYPE_CHECKING:
    from ._flows import Flows

#: Modules without a route that are remembered; for a new one the oldest is forgotten.
FIRST_ROUTE_MODULES_MAX = 1024

#: Pauses between two questions for a route: the first one, and the longest, in milliseconds.
_PAUSE_FIRST_MS = 5.0
_PAUSE_MAX_MS = 100.0


class _Absence:
    """A module without a route: until when it is waited for, and who asks for it."""

    __slots__ = ("end_ms", "asking", "is_settled")

    def __init__(self, end_ms: float) -> None:
        self.end_ms = end_ms
        self.asking: Optional[Latch] = None
        self.is_settled = False


def is_absent(answer: HostAnswer) -> bool:
    """True for an answer that may be another one when the route has come."""
    if answer.host is not None:
        return False
    if answer.error is not None:
        return isinstance(answer.error, TimeoutError)
    return answer.retcode == RetCode.NO_EXIST


class FirstRoutes:
    """Which modules have no route yet.

    One caller at a time asks for each of them, with pauses that grow, and the others wait for it;
    when the time of a module is over nobody waits for it any more, until it has had a route.
    """

    def __init__(self, flows: Flows, now_ms: Callable[[], float]) -> None:
        self._flows = flows
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._absences: Dict[Tuple[int, int], _Absence] = {}

    def arrived(self, mod_id: int, cmd_id: int) -> None:
        """A module has a route."""
        if self._absences:
            with self._lock:
                self._absences.pop((mod_id, cmd_id), None)

    def wait(
        self, mod_id: int, cmd_id: int, end_ms: float
    ) -> Generator[Effect, object, bool]:
        """Waits until the module has a route, or until `end_ms`, or what that was for the first.

        Returns False when that time is over: nothing was asked.
        """
        absence = self._absence((mod_id, cmd_id), end_ms)
        limit_ms = min(absence.end_ms, end_ms)
        if limit_ms <= self._now_ms():
            return False
        while self._now_ms() < limit_ms:
            with self._lock:
                latch = absence.asking
                if latch is None:
                    absence.is_settled = False
                    mine = absence.asking = self._flows.io.new_latch()
            if latch is not None:
                yield Wait(latch, limit_ms - self._now_ms())
                if absence.is_settled:
                    return True
                continue
            try:
                absence.is_settled = yield from self._ask(mod_id, cmd_id, limit_ms)
            finally:
                with self._lock:
                    absence.asking = None
                mine.set()
            return True
        return True

    def _absence(self, key: Tuple[int, int], end_ms: float) -> _Absence:
        with self._lock:
            absence = self._absences.get(key)
            if absence is None:
                absence = self._absences[key] = _Absence(end_ms)
                if len(self._absences) > FIRST_ROUTE_MODULES_MAX:
                    del self._absences[next(iter(self._absences))]
            return absence

    def _ask(
        self, mod_id: int, cmd_id: int, end_ms: float
    ) -> Generator[Effect, object, bool]:
        """Returns True when there is nothing more to wait for."""
        pause_ms = _PAUSE_FIRST_MS
        while True:
            yield Sleep(min(pause_ms, max(0.0, end_ms - self._now_ms())))
            left_ms = end_ms - self._now_ms()
            if left_ms <= 0:
                return False
            try:
                deadline_ms = min(left_ms, _PAUSE_MAX_MS)
                if (yield from self._flows.get_route(mod_id, cmd_id, deadline_ms)):
                    return True
            except (TimeoutError, ConnectError):
                pass
            except LarsError:
                return True
            pause_ms = min(pause_ms * 2, _PAUSE_MAX_MS)
