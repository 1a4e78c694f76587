# Core. What a client and its calls can be told, and the checks of it.
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional, Sequence, Tuple, Union

from ._host import Host

#: Longest token and key, in bytes.
TOKEN_BYTES_MAX = 1024
KEY_BYTES_MAX = 256
#: Longest deadline, in milliseconds.
DEADLINE_MS_MAX = 60_000
#: Most tries of one call after its first.
RETRIES_MAX = 10
#: Longest time of a call with all its tries, in milliseconds: a day.
CALL_TIMEOUT_MS_MAX = 86_400_000
#: Time a question may take, and a first route, when nobody says, in milliseconds.
DEADLINE_MS = 50.0
FIRST_ROUTE_MS = 1000.0

DEFAULT_HOSTNAME = "127.0.0.1"
DEFAULT_PORT = 8888

Port = Union[int, Sequence[int]]
Key = Union[str, bytes]


@dataclass(frozen=True)
class PickOptions:
    """How one pick differs from what the client was told."""

    deadline_ms: Optional[float] = None
    first_route_ms: Optional[float] = None
    key: Optional[bytes] = None


@dataclass(frozen=True)
class RetryOptions:
    """How one call is made."""

    retries: int = 0
    #: math.inf: no limit.
    timeout_ms: float = math.inf
    is_retryable: Optional[Callable[[Exception, Host], bool]] = None
    retcode_of: Optional[Callable[[Exception, Host], Optional[int]]] = None


def check_whole(name: str, value: int, least: int, most: int) -> int:
    """:raises ValueError: when the value is no whole number from ``least`` to ``most``."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ValueError(
        f"{name} must be a whole number from {least} to {most}: current value is {value!r}"
    )


def _check_time(name: str, value: float, least: float, most: float, open_end: bool) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and (value > least or value == least and not open_end) and value <= most:
        return float(value)
    word = "more than" if open_end else "at least"
    raise ValueError(f"{name} must be {word} {least} and at most {most} ms: current value is {value!r}")


def check_id(name: str, value: int) -> int:
    """An id as an unsigned number: callers of the original write those from 2^31 up as negative."""
    if type(value) is int and -0x80000000 <= value <= 0xFFFFFFFF:
        return value & 0xFFFFFFFF
    raise ValueError(
        f"{name} must be a whole number from 0 to 4294967295: current value is {value!r}"
    )


def check_deadline(value: float) -> float:
    """:raises ValueError: when the time is no deadline."""
    return _check_time("deadline_ms", value, 0, DEADLINE_MS_MAX, True)


def check_first_route(value: float) -> float:
    """:raises ValueError: when the time is not from 0 to 60000."""
    return _check_time("first_route_ms", value, 0, DEADLINE_MS_MAX, False)


def check_timeout(value: Optional[float]) -> float:
    """math.inf for no limit."""
    if value is None:
        return math.inf
    return _check_time("timeout_ms", value, 0, CALL_TIMEOUT_MS_MAX, True)


def check_last_good(value: float) -> float:
    """:raises ValueError: when the time is negative or no number."""
    return _check_time("last_good_ms", value, 0, math.inf, False)


def check_share(value: float) -> float:
    """:raises ValueError: when the share is not from 0 to 1."""
    if isinstance(value, (int, float)) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"retry_share must be from 0 to 1: current value is {value!r}")


def check_floor(value: float) -> float:
    """:raises ValueError: when the number is not from 0 to 1000."""
    if isinstance(value, (int, float)) and 0 <= value <= 1000:
        return float(value)
    raise ValueError(f"retry_floor_per_second must be from 0 to 1000: current value is {value!r}")


def check_key(key: Optional[Key]) -> Optional[bytes]:
    """The bytes of a key; a text counts by its UTF-8 bytes."""
    if key is None:
        return None
    data = key.encode() if isinstance(key, str) else bytes(key)
    if 1 <= len(data) <= KEY_BYTES_MAX:
        return data
    raise ValueError(f"Key must be 1 to {KEY_BYTES_MAX} bytes long: current length is {len(data)}")


def check_token(token: Optional[bytes]) -> Optional[bytes]:
    """:raises ValueError: when it is empty or too long."""
    if token is None or isinstance(token, bytes) and 1 <= len(token) <= TOKEN_BYTES_MAX:
        return token
    raise ValueError(f"Token must be 1 to {TOKEN_BYTES_MAX} bytes long")


def check_ports(port: Port) -> Tuple[int, int, int]:
    """The agent's three ports, from the first of them or from all three."""
    ports = [port, port + 1, port + 2] if isinstance(port, int) else list(port)
    if len(ports) == 3 and all(isinstance(one, int) and 1 <= one <= 65535 for one in ports):
        return ports[0], ports[1], ports[2]
    raise ValueError(
        f"Port must be a whole number from 1 to 65533, or three of them: current value is {port!r}"
    )


def check_hostname(hostname: str) -> str:
    """:raises ValueError: when it can be no name and no IPv4 address."""
    if isinstance(hostname, str) and hostname and not any(c.isspace() or c == ":" for c in hostname):
        return "127.0.0.1" if hostname == "localhost" else hostname
    raise ValueError(f"Hostname must be a name or an IPv4 address: current value is {hostname!r}")


def check_retcode(value: int) -> int:
    """:raises ValueError: when the code is no whole number of 32 bits."""
    return check_whole("Return code", value, -0x80000000, 0x7FFFFFFF)


def check_timecost(value: Optional[float]) -> Optional[int]:
    """Whole milliseconds that fit the message."""
    if value is None:
        return None
    if isinstance(value, (int, float)) and value >= 0:
        return 0xFFFFFFFF if value >= 0xFFFFFFFF else int(value + 0.5)
    raise ValueError(f"timecost_ms must be 0 or more: current value is {value!r}")


def is_loopback(hostname: str) -> bool:
    """True for an address of this very host; such an agent wants no proof."""
    return hostname.startswith("127.")
