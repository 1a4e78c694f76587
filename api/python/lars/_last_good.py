# Core. Nodes the agent named lately, for the time when it does not answer.
from __future__ import annotations

import math
from typing import Dict, List, Optional, Tuple

from ._host import Host

#: Modules remembered; the one not used for longest is forgotten for a new one.
LAST_GOOD_MODULES_MAX = 1024
#: Nodes remembered for each module; the one named longest ago is forgotten for a new one.
LAST_GOOD_HOSTS_MAX = 8

#: A node whose call failed rests so long, twice as long after each further failure, up to this.
_REST_MS = 1000.0
_REST_MS_MAX = 30_000.0

_Module = Tuple[int, int]
_Node = Tuple[str, int]


class _Memory:
    __slots__ = ("host", "at_ms", "failures", "rest_end_ms")

    def __init__(self, host: Host, at_ms: float) -> None:
        self.host = host
        self.at_ms = at_ms
        self.failures = 0
        self.rest_end_ms = -math.inf


class LastGood:
    """The nodes each module got last, in the order in which their turns come.

    A node that fails is passed over for a while and never forgotten for it: whoever has nothing
    better tries it again, so that an outage of all nodes ends when they are back.
    """

    def __init__(self, keep_ms: float) -> None:
        """`keep_ms`: for how long a node may be handed out again; 0 remembers nothing."""
        self._keep_ms = keep_ms
        self._modules: Dict[_Module, Dict[_Node, _Memory]] = {}
        #: A node has failed lately: only then a success says something new.
        self.has_failures = False

    @property
    def is_on(self) -> bool:
        """False when nothing is remembered."""
        return self._keep_ms > 0

    def __len__(self) -> int:
        return len(self._modules)

    def remember(self, mod_id: int, cmd_id: int, host: Host, now_ms: float) -> None:
        """Notes that the agent named this node."""
        if self._keep_ms == 0:
            return
        # Dictionaries keep the order of insertion: taking out first makes this one the youngest.
        hosts = self._modules.pop((mod_id, cmd_id), None) or {}
        self._modules[mod_id, cmd_id] = hosts
        hosts.pop((host.ip, host.port), None)
        hosts[host.ip, host.port] = _Memory(host, now_ms)
        if len(hosts) > LAST_GOOD_HOSTS_MAX:
            del hosts[next(iter(hosts))]
        if len(self._modules) > LAST_GOOD_MODULES_MAX:
            del self._modules[next(iter(self._modules))]

    def judge(
        self, mod_id: int, cmd_id: int, ip: str, port: int, is_well: bool, now_ms: float
    ) -> None:
        """Notes how a call of this node went."""
        memory = self._modules.get((mod_id, cmd_id), {}).get((ip, port))
        if memory is None:
            return
        if is_well:
            if memory.failures > 0:
                memory.failures = 0
                memory.rest_end_ms = -math.inf
                all_hosts = (one for hosts in self._modules.values() for one in hosts.values())
                self.has_failures = any(one.failures for one in all_hosts)
            return
        self.has_failures = True
        rest_ms = min(_REST_MS * 2 ** min(memory.failures, 30), _REST_MS_MAX)
        memory.failures += 1
        memory.rest_end_ms = now_ms + rest_ms

    def fill(self, mod_id: int, cmd_id: int, hosts: List[Host], now_ms: float) -> None:
        """Notes nodes that are not known yet, as far as there is room."""
        for host in hosts:
            known = self._modules.get((mod_id, cmd_id), {})
            if len(known) >= LAST_GOOD_HOSTS_MAX:
                return
            if (host.ip, host.port) not in known:
                self.remember(mod_id, cmd_id, host, now_ms)

    def next(self, mod_id: int, cmd_id: int, now_ms: float) -> Optional[Host]:
        """A node that is young enough, in turn: one that has not failed a moment ago, else any."""
        hosts = self._fresh(mod_id, cmd_id, now_ms)
        well = (node for node, memory in hosts.items() if memory.rest_end_ms <= now_ms)
        node = next(well, None) or next(iter(hosts), None)
        if node is None:
            return None
        memory = hosts.pop(node)
        hosts[node] = memory
        return memory.host

    def rests(self, mod_id: int, cmd_id: int, host: Host, now_ms: float) -> bool:
        """True for a node whose call failed a moment ago."""
        memory = self._modules.get((mod_id, cmd_id), {}).get((host.ip, host.port))
        return memory is not None and memory.rest_end_ms > now_ms

    def knows(self, mod_id: int, cmd_id: int, host: Host) -> bool:
        """True for a node that is remembered."""
        return (host.ip, host.port) in self._modules.get((mod_id, cmd_id), {})

    def _fresh(self, mod_id: int, cmd_id: int, now_ms: float) -> Dict[_Node, _Memory]:
        hosts = self._modules.get((mod_id, cmd_id), {})
        for node in [n for n, one in hosts.items() if now_ms - one.at_ms > self._keep_ms]:
            del hosts[node]
        return hosts
