# Shell. What callers import: the clients, their errors, and what calls see.
"""Client of Lars, the load balancer that learns from the outcomes of calls.

Ask the agent of this host for a node, call it, report how it went. See README.md.
"""

from ._call import Attempt
from ._errors import (
    AgentError,
    ClosedError,
    ConnectError,
    LarsError,
    LimitError,
    NoAgentError,
    NoRouteError,
    OverloadError,
    ProtocolError,
    StatusError,
    TimeoutError,
)
from ._host import Host, HostAnswer, RetCode
from ._outcome import check_status, retcode_of
from ._stats import Stats
from .aio import AsyncClient
from .client import Client

__version__ = "0.1.0"

__all__ = [
    "AgentError",
    "AsyncClient",
    "Attempt",
    "Client",
    "ClosedError",
    "ConnectError",
    "Host",
    "HostAnswer",
    "LarsError",
    "LimitError",
    "NoAgentError",
    "NoRouteError",
    "OverloadError",
    "ProtocolError",
    "RetCode",
    "Stats",
    "StatusError",
    "TimeoutError",
    "check_status",
    "retcode_of",
]
