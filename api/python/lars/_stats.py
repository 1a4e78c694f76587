# Core. What a client has seen since it was made.
from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict


@dataclass(frozen=True)
class Stats:
    """Counters for whoever watches the program."""

    #: Questions asked and not answered yet.
    pending: int = 0
    #: Questions sent a second time.
    resent: int = 0
    #: Answers that nobody waited for (any more).
    late: int = 0
    #: Datagrams of the agent that could not be read.
    garbage: int = 0
    #: Datagrams without a good seal, where there is a secret.
    foreign: int = 0
    #: Datagrams, and outcomes in batches, that could not be sent.
    dropped: int = 0
    #: Times a node named earlier was given because the agent did not answer.
    stale: int = 0
    #: Tries made by ``call`` after the first one.
    retried: int = 0
    #: Tries that ``call`` did not make because the budget was spent.
    retries_refused: int = 0


class Counters:
    """Counts for :class:`Stats`, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Dict[str, int] = {}

    def after_fork(self) -> None:
        """A thread that does not exist in the child may have held the lock."""
        self._lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """One more, or several."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + count

    def stats(self, pending: int) -> Stats:
        """All of them as they are now."""
        with self._lock:
            return Stats(pending=pending, **self._counts)
