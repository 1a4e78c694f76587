# Shell. All clients of the process, for what has to be done when it forks, and when it ends.
from __future__ import annotations

import atexit
import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """A client, as forks see it."""

    def before_fork(self) -> None:
        """In the parent: sends what waits."""

    def after_fork(self) -> None:
        """In the child: begins anew."""


_clients: "weakref.WeakSet[Forked]" = weakref.WeakSet()


def remember_client(client: Forked) -> None:
    """From now on the client is told of forks, until it is gone."""
    _clients.add(client)


def _before_fork() -> None:
    for client in list(_clients):
        client.before_fork()


def _after_fork_in_child() -> None:
    for client in list(_clients):
        client.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
# A program that ends sends what waits, as before a fork.
atexit.register(_before_fork)
