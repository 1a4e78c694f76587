# Core. How many second tries are healthy: a share of the calls, and a floor for small traffic.
from __future__ import annotations

import math
from typing import Dict, Tuple

#: Seconds that calls and retries are remembered.
_WINDOW_SECONDS = 10
#: Modules with a budget of their own; beyond it the oldest begins anew.
BUDGETS_MAX = 1000


class RetryBudget:
    """Keeps retries from turning a slow module into a dead one.

    In any ten seconds at most `share` of the calls, and `floor_per_second` more for each second,
    are tried again.
    """

    def __init__(self, share: float, floor_per_second: float) -> None:
        self._share = share
        self._floor = floor_per_second * _WINDOW_SECONDS
        #: Retries that each of the last seconds allows; what was spent is taken off.
        self._slots = [0.0] * _WINDOW_SECONDS
        self._second = 0

    def add_call(self, now_ms: float) -> None:
        """A call was made, whatever comes of it; its retries do not count as calls."""
        self._slots[self._slot_of(now_ms)] += self._share

    def take(self, now_ms: float) -> bool:
        """Takes one retry out of the budget; False when there is none left."""
        slot = self._slot_of(now_ms)
        # Shares add up to a little less than a whole one at times.
        if self._floor + sum(self._slots) < 0.995:
            return False
        self._slots[slot] -= 1
        return True

    def give_back(self, now_ms: float) -> None:
        """Puts a retry back that was taken and not made."""
        self._slots[self._slot_of(now_ms)] += 1

    def _slot_of(self, now_ms: float) -> int:
        """The slot of this second, with all that are too old emptied."""
        second = math.floor(now_ms / 1000)
        for old in range(max(self._second, second - _WINDOW_SECONDS) + 1, second + 1):
            self._slots[old % _WINDOW_SECONDS] = 0.0
        self._second = max(self._second, second)
        return second % _WINDOW_SECONDS


class RetryBudgets:
    """The budget of each module that calls with retries."""

    def __init__(self, share: float, floor_per_second: float) -> None:
        self._share = share
        self._floor_per_second = floor_per_second
        self._budgets: Dict[Tuple[int, int], RetryBudget] = {}

    def of(self, mod_id: int, cmd_id: int) -> RetryBudget:
        """The budget of a module, made when it is first asked for."""
        budget = self._budgets.get((mod_id, cmd_id))
        if budget is None:
            budget = RetryBudget(self._share, self._floor_per_second)
            self._budgets[mod_id, cmd_id] = budget
            if len(self._budgets) > BUDGETS_MAX:
                del self._budgets[next(iter(self._budgets))]
        return budget
