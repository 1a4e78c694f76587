# Core. A node as callers see it, and the names of modules and nodes on the wire.
from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import lru_cache
from typing import Optional, Tuple, Type

from ._errors import LarsError


class RetCode(enum.IntEnum):
    """Answers of an agent to a caller, as in the original."""

    SUCCESS = 0
    OVERLOAD = 1
    SYSTEM_ERROR = 2
    NO_EXIST = 3


class Host:
    """A node of a module; one that is given again and again is the same object, and never changes."""

    # Not a tuple: two of its fields are read for each call, and slots are read faster.
    __slots__ = ("ip", "port", "weight", "zone", "stale")

    #: Dotted IPv4 address.
    ip: str
    #: 1 to 65535.
    port: int
    #: 0 to 10000; None when the agent does not say.
    weight: Optional[int]
    #: None when the node is in none.
    zone: Optional[str]
    #: True when the agent did not answer in time and this is a node it named earlier: it may be
    #: overloaded or gone by now.
    stale: bool

    def __init__(
        self,
        ip: str,
        port: int,
        weight: Optional[int] = None,
        zone: Optional[str] = None,
        stale: bool = False,
    ) -> None:
        for name, value in zip(self.__slots__, (ip, port, weight, zone, stale)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A Host cannot be changed: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"A Host cannot be changed: {name}")

    def _fields(self) -> Tuple[str, int, Optional[int], Optional[str], bool]:
        return self.ip, self.port, self.weight, self.zone, self.stale

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Host) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        fields = zip(self.__slots__, self._fields())
        return f"Host({', '.join(f'{name}={value!r}' for name, value in fields)})"

    def __reduce__(self) -> Tuple[Type[Host], Tuple[object, ...]]:
        return Host, self._fields()

    @property
    def address(self) -> str:
        """``ip:port``."""
        return f"{self.ip}:{self.port}"

    def as_stale(self) -> Host:
        """The same node, marked as one that was named earlier."""
        return Host(self.ip, self.port, self.weight, self.zone, True)


@dataclass(frozen=True)
class HostAnswer:
    """What ``try_get_host`` answers."""

    #: 0 success, 1 overload, 2 system error, 3 does not exist.
    retcode: int
    #: There when ``retcode`` is 0.
    host: Optional[Host] = None
    #: Why no answer of the agent was had; beside ``retcode`` 2, or beside a stale host.
    error: Optional[LarsError] = None


@lru_cache(maxsize=65536)
def format_ipv4(ip: int) -> str:
    """3232235953 is 192.168.1.177."""
    return f"{ip >> 24}.{ip >> 16 & 255}.{ip >> 8 & 255}.{ip & 255}"


@lru_cache(maxsize=65536)
def parse_ipv4(text: str) -> int:
    """192.168.1.177 is 3232235953.

    :raises ValueError: when it is no dotted IPv4 address.
    """
    parts = text.split(".")
    good = len(parts) == 4 and all(
        part.isascii() and part.isdigit() and int(part) < 256 and str(int(part)) == part
        for part in parts
    )
    if not good:
        raise ValueError(f"Address must be a dotted IPv4 address: current value is {text!r}")
    return int(parts[0]) << 24 | int(parts[1]) << 16 | int(parts[2]) << 8 | int(parts[3])


def host_of(
    ip: int, port: int, weight: Optional[int] = None, zone: Optional[str] = None
) -> Optional[Host]:
    """A node off the wire; None when its port cannot be one."""
    if not 1 <= port <= 65535:
        return None
    return Host(format_ipv4(ip), port, weight, zone)


def port_index(mod_id: int, cmd_id: int) -> int:
    """Which of the agent's three ports serves a module: by the signed numbers, never negative."""
    signed_mod = mod_id - 0x100000000 if mod_id > 0x7FFFFFFF else mod_id
    signed_cmd = cmd_id - 0x100000000 if cmd_id > 0x7FFFFFFF else cmd_id
    return (signed_mod + signed_cmd) % 3
