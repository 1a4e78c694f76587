# Core. The options of a client, checked.
from __future__ import annotations

import math
from typing import Optional

from . import _options as options
from ._mapping import default_path


class Settings:
    """What a client was told when it was made; every option is named as in the README."""

    def __init__(
        self,
        hostname: str = options.DEFAULT_HOSTNAME,
        port: options.Port = options.DEFAULT_PORT,
        *,
        deadline_ms: Optional[float] = None,
        first_route_ms: float = options.FIRST_ROUTE_MS,
        token: Optional[bytes] = None,
        last_good_ms: float = math.inf,
        pending_max: int = 1024,
        retry_share: float = 0.2,
        retry_floor_per_second: float = 1.0,
        shared_table: Optional[str] = None,
    ) -> None:
        """:raises ValueError: when an option is out of range."""
        self.hostname = options.check_hostname(hostname)
        self.ports = options.check_ports(port)
        #: The deadline that was named; None: nobody said, and a first route may take longer.
        self.named_deadline_ms = None if deadline_ms is None else options.check_deadline(deadline_ms)
        self.deadline_ms = self.named_deadline_ms or options.DEADLINE_MS
        self.first_route_ms = options.check_first_route(first_route_ms)
        self._token = options.check_token(token)
        self.secret = self.secret_for(self.hostname)
        self.last_good_ms = options.check_last_good(last_good_ms)
        self.pending_max = options.check_whole("pending_max", pending_max, 1, 65536)
        self.retry_share = options.check_share(retry_share)
        self.retry_floor_per_second = options.check_floor(retry_floor_per_second)
        #: Path of the agent's table; empty: none.
        self.table_path = (
            default_path(self.hostname, self.ports[0]) if shared_table is None else shared_table
        )

    def secret_for(self, hostname: str) -> Optional[bytes]:
        """What datagrams to this address are sealed with; an agent on loopback wants no proof."""
        return None if options.is_loopback(hostname) else self._token

    def address_of(self, port_index: int) -> str:
        """`host:port` of one of the agent's ports."""
        return f"{self.hostname}:{self.ports[port_index]}"

    @staticmethod
    def pick(
        deadline_ms: Optional[float] = None,
        first_route_ms: Optional[float] = None,
        key: Optional[options.Key] = None,
    ) -> options.PickOptions:
        """Options of one pick, checked."""
        return options.PickOptions(
            None if deadline_ms is None else options.check_deadline(deadline_ms),
            None if first_route_ms is None else options.check_first_route(first_route_ms),
            options.check_key(key),
        )
