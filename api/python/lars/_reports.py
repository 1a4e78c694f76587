# Core. How both clients take outcomes: on the shortest way where one says nothing but itself.
from __future__ import annotations

from typing import Optional

from ._batch import GATHERED, TIME_UNKNOWN, RecordError, pack_success
from ._flows import Flows


class Reports:
    """The outcomes of calls, of one client."""

    def __init__(self, flows: Flows) -> None:
        batch = flows.batch
        self._flows = flows
        self._batch = batch
        # Always the same objects, so that each is one look away.
        self._plain_addresses = batch.plain_addresses
        self._waiting = batch.waiting
        self._timed = batch.timed

    def report(
        self,
        mod_id: int,
        cmd_id: int,
        ip: str,
        port: int,
        retcode: int,
        timecost_ms: Optional[float] = None,
    ) -> None:
        """Tells how a call went. Goes out in the background, and is not to be awaited: the agent
        does not answer.

        :param retcode: 0 for success; anything else is a failure.
        :param timecost_ms: time the call took; a failure that took long weighs more.
        """
        if retcode == 0 and port:
            # The way of nearly all outcomes, as short as it can be.
            time_ms = TIME_UNKNOWN if timecost_ms is None else timecost_ms
            try:
                record = pack_success(mod_id, cmd_id, self._plain_addresses[ip], port, time_ms)
            except (KeyError, RecordError, TypeError):
                pass  # the long way does it, or says what is wrong
            else:
                waiting = self._waiting
                waiting.append(record)
                if len(waiting) >= GATHERED or not self._timed:
                    self._batch.added()
                return
        self._flows.report(mod_id, cmd_id, ip, port, retcode, timecost_ms)
