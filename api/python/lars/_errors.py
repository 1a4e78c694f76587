# Core. What a caller can be told apart from a node; all derive from LarsError.
from __future__ import annotations

import builtins
from typing import Optional


class LarsError(Exception):
    """Base of every error this package raises on purpose.

    Arguments out of range are faults of the program: those are a ValueError or a TypeError.
    """


class OverloadError(LarsError):
    """Every node of the module is overloaded: shed the call, or try again a little later."""

    def __init__(self, mod_id: int, cmd_id: int) -> None:
        super().__init__(f"Every node of module {mod_id},{cmd_id} is overloaded")
        self.mod_id = mod_id
        self.cmd_id = cmd_id


class NoRouteError(LarsError):
    """The agent knows no node of the module: there is none, or its route has not arrived yet."""

    def __init__(self, mod_id: int, cmd_id: int) -> None:
        super().__init__(f"The agent knows no node of module {mod_id},{cmd_id}")
        self.mod_id = mod_id
        self.cmd_id = cmd_id


class AgentError(LarsError):
    """The agent answered that it could not do its work: 2, or a code that nobody here knows."""

    def __init__(self, mod_id: int, cmd_id: int, retcode: int) -> None:
        super().__init__(
            f"The agent answered for module {mod_id},{cmd_id} with return code {retcode}"
        )
        self.retcode = retcode


class TimeoutError(LarsError, builtins.TimeoutError):  # noqa: A001 - it is one, and caught as one
    """No answer came within the time allowed. Also a builtin TimeoutError."""

    def __init__(self, message: str, waited_ms: float) -> None:
        super().__init__(message)
        self.waited_ms = waited_ms


class ConnectError(LarsError, ConnectionError):
    """A socket towards the agent failed. Also a builtin ConnectionError."""

    def __init__(self, address: str, message: str) -> None:
        super().__init__(f"{address}: {message}")
        self.address = address


class NoAgentError(ConnectError):
    """Nobody listens at the address of the agent."""

    def __init__(self, address: str) -> None:
        super().__init__(address, "no Lars agent listens here: is it running?")


class LimitError(LarsError):
    """A named limit was reached, and the request was refused rather than queued."""

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class ClosedError(LarsError):
    """The client was closed before the answer came, or before the call."""

    def __init__(self) -> None:
        super().__init__("The client is closed")


class ProtocolError(LarsError):
    """Bytes of the agent break the rules of the wire."""


class StatusError(LarsError):
    """A node answered with an HTTP status that says it failed; reported for it as it is."""

    def __init__(self, status: int, reason: Optional[str] = None) -> None:
        super().__init__(f"The node answered with status {status}{f' {reason}' if reason else ''}")
        self.status = status
