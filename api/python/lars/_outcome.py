# Core. What a failed call says about its node: the return code to report for an exception.
from __future__ import annotations

import builtins
import errno
from typing import Optional, TypeVar

from ._errors import StatusError

#: Exceptions in a chain of causes that are looked at.
_CAUSES_MAX = 8

#: The return codes reported; one for each kind of outcome that the agent tells apart.
SUCCESS = 0
OTHER = 2
TIMED_OUT = 110
REFUSED = 111

_REFUSALS = frozenset(
    (
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EPIPE,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
    )
)

_A = TypeVar("_A")


def is_node_failure(status: int) -> bool:
    """True when the node is to blame for an HTTP status: 500 and above, 429 and 408.

    Any other one of 400 to 499 is the caller's own fault, and no reason to avoid a node.
    """
    return status >= 500 or status in (408, 429)


def check_status(response: _A) -> _A:
    """Lets an HTTP response through, or raises a StatusError when its status blames the node.

    Takes what urllib, http.client, requests, httpx and aiohttp return.

    :raises StatusError: for 408, 429, and 500 and above.
    :raises TypeError: when it has neither ``status`` nor ``status_code``.
    """
    status = getattr(response, "status_code", None)
    if status is None:
        status = getattr(response, "status", None)
    if not isinstance(status, int):
        raise TypeError(f"Response must have a status or status_code: {type(response).__name__}")
    if is_node_failure(status):
        raise StatusError(status)
    return response


def _status_of(error: BaseException) -> Optional[int]:
    """The HTTP status an exception of an HTTP library carries."""
    if isinstance(error, StatusError):
        return error.status
    if any(base.__module__ == "urllib.error" for base in type(error).__mro__):
        status = getattr(error, "code", None)  # HTTPError of urllib
    else:
        response = getattr(error, "response", None)  # those of requests and httpx
        status = getattr(response, "status_code", None)
    return status if isinstance(status, int) and not isinstance(status, bool) else None


def _code_of(error: BaseException) -> Optional[int]:
    status = _status_of(error)
    if status is not None:
        return status if is_node_failure(status) else SUCCESS
    if isinstance(error, ConnectionError):
        return REFUSED
    if isinstance(error, builtins.TimeoutError) or type(error).__name__ == "TimeoutError":
        return TIMED_OUT  # socket.timeout and asyncio.TimeoutError are classes of their own up to 3.10
    if isinstance(error, OSError) and type(error).__name__ == "timeout":
        return TIMED_OUT
    if isinstance(error, OSError) and error.errno in _REFUSALS:
        return REFUSED
    return None


def retcode_of(error: BaseException) -> int:
    """The return code that says what kind of failure an exception is.

    111 for a connection that was refused or lost, 110 for time that was over, the HTTP status for
    408, 429 and 500 and above, 0 for any other HTTP status (the node answered), 2 for all else.
    Causes of the exception are looked at as well.
    """
    cause: Optional[BaseException] = error
    for _ in range(_CAUSES_MAX):
        if cause is None:
            break
        code = _code_of(cause)
        if code is not None:
            return code
        reason = getattr(cause, "reason", None)  # of URLError
        inner = reason if isinstance(reason, BaseException) else None
        cause = inner or cause.__cause__ or cause.__context__
    return OTHER
