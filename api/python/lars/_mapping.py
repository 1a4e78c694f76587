# Shell. The agent's table in this process: found, mapped, looked after, and a cursor for each module.
from __future__ import annotations

import itertools
import math
import mmap
import os
import random
import stat
import threading
import time
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from ._batch import Batch
from ._host import Host, host_of
from ._table import NODE_BITS, OLD_LOOKS_MAX, PROBE, REFUSED, Image, Place

#: Takes a module, and nodes of it.
OnLeave = Callable[[int, int, List[Host]], None]

#: It is looked for changes again after this time, of the 5 ms that it may be.
_CHANGES_S = 0.004
#: The table is looked at again after this time, of the 100 ms that it may be.
_LOOK_S = 0.05
#: Every module is read anew after this time, also when nothing has changed.
_ANEW_S = 1.0
#: A file is looked for once in this time, and whether there is another one.
_OPEN_S = 1.0
#: A caller that only picks says once in this time, and that of `_ANEW_S`, that it uses a module.
_USE_S = 9.0
#: Nodes known as entries; of more all are forgotten, and made anew.
_HOSTS_MAX = 65_536


class Refusal:
    """What a pick gives in the place of a node: every node is overloaded."""


REFUSAL = Refusal()


def _nobody(mod_id: int, cmd_id: int, hosts: List[Host]) -> None:
    """Is told of nodes, and keeps none."""


class TableReader:
    """Picks without asking anybody, where the agent keeps a table.

    Cursors are those of the process: only one thread at a time runs Python, and two that take one
    step together get the same node once.
    """

    def __init__(self, path: str, batch: Batch, port: int, on_leave: OnLeave = _nobody) -> None:
        """`path`: of the file; empty: no table. `port`: the first of the agent's.

        `on_leave` is told nodes of the modules that were picked, when a table is left for another
        one, which may know less: that of an agent that has just started.
        """
        self._path = path
        self._port = port
        self._batch = batch
        self._on_leave = on_leave
        self._lock = threading.Lock()
        #: Nodes in turn by mod_id, then by cmd_id, good until then by the clock of `time.monotonic`.
        self.turns: Dict[int, Dict[int, Iterator[Host]]] = {}
        self.turns_until_s = 0.0 if path else math.inf
        self._changes = 0
        self._anew_s = 0.0
        self._look_s = 0.0
        self._open_s = 0.0
        self._image: Optional[Image] = None
        self._identity: Tuple[int, int] = (0, 0)
        self.is_usable = False
        self._is_broken = False
        self._places: Dict[Tuple[int, int], Place] = {}
        #: Those of a table that is not used any more, while it is the best memory.
        self._old_places: Dict[Tuple[int, int], Place] = {}
        self._hosts: Dict[int, Host] = {}

    def after_fork(self) -> None:
        """New cursors, so that parent and child do not walk in step."""
        self._lock = threading.Lock()
        self._places = {}
        self._old_places = {}
        self.turns = {}
        if self._path:
            self._look_s = self.turns_until_s = 0.0

    def pick(self, mod_id: int, cmd_id: int) -> "Host | Refusal | None":
        """The next node; None: ask the agent.

        Clients look into `turns` themselves before: nearly every pick of a program ends there.
        """
        now_s = time.monotonic()
        if now_s >= self.turns_until_s:
            self._look(now_s)
        turns = self.turns
        try:
            return next(turns[mod_id][cmd_id])
        except KeyError:
            pass  # not looked at yet, or not lately
        place = self._places.get((mod_id, cmd_id)) or self._find(mod_id, cmd_id)
        if place is None:
            return None
        if now_s >= place.told_s:
            self._tell_use(place, mod_id, cmd_id, now_s)
        try:
            if not place.is_same() and place.read_entries():
                self._take_entries(place)
            if place.turn is not None:
                # Not where changes came meanwhile: those turns are new ones.
                turns.setdefault(mod_id, {})[cmd_id] = place.turn
                return next(place.turn)
            entry = place.next_entry()
        except (ValueError, IndexError):
            self._set_broken(place.image)
            return None
        return self._host_of(mod_id, cmd_id, entry) if entry else None

    def pick_keyed(self, mod_id: int, cmd_id: int, key: bytes) -> "Host | Refusal | None":
        """The node of a key; None: ask the agent."""
        now_s = time.monotonic()
        if now_s >= self.turns_until_s:
            self._look(now_s)
        place = self._places.get((mod_id, cmd_id)) or self._find(mod_id, cmd_id)
        if place is None:
            return None
        try:
            entry = place.next_entry()
            if entry and not entry & (PROBE | REFUSED):
                chosen = place.image.keyed(place.at, key)
                if chosen is None:
                    return None
                entry = chosen or entry
        except (ValueError, IndexError):
            self._set_broken(place.image)
            return None
        if now_s >= place.told_s:
            self._tell_use(place, mod_id, cmd_id, now_s)
        return self._host_of(mod_id, cmd_id, entry)

    def pick_old(
        self, mod_id: int, cmd_id: int, rests: Callable[[Host], bool]
    ) -> Optional[Host]:
        """A node of a table that nobody keeps any more, the best memory of them there is."""
        image = self._image
        if image is None or self.is_usable or self._is_broken:
            return None
        place = self._old_places.get((mod_id, cmd_id))
        if place is None or place.image is not image:
            place = self._place_in(image, mod_id, cmd_id)
            if place is None:
                return None
            self._old_places[mod_id, cmd_id] = place

        def rests_entry(entry: int) -> bool:
            host = _node_of(entry)
            return host is None or rests(host)

        try:
            entry = place.old_entry(rests_entry)
        except (ValueError, IndexError):
            # Without the lock: whoever asks has one that is taken under it elsewhere.
            self._is_broken = self._is_broken or image is self._image
            return None
        return _node_of(entry) if entry else None

    def forget_old(self) -> None:
        """The agent answers again: what an old table says is not used any more."""
        if not self.is_usable and self._image is not None:
            with self._lock:
                if not self.is_usable:
                    self._remember_old()
                    self._image = None
                    # An agent that stood still may write the same file again.
                    self._identity = (0, 0)

    def close(self) -> None:
        """No picks from now on."""
        with self._lock:
            self._path = ""
            self.turns_until_s = math.inf
            self._image = None
            self._leave()

    def _host_of(self, mod_id: int, cmd_id: int, entry: int) -> "Host | Refusal | None":
        if entry & REFUSED:
            self._batch.add_refusal(mod_id, cmd_id)
            return REFUSAL
        return self._known_host(entry)

    def _known_host(self, entry: int) -> Optional[Host]:
        host = self._hosts.get(entry)
        if host is None:
            host = _node_of(entry)
            if host is not None:
                if len(self._hosts) >= _HOSTS_MAX:
                    self._hosts.clear()
                self._hosts[entry] = host
        return host

    def _take_entries(self, place: Place) -> None:
        """Nodes in turn from any place on, where all entries are nodes."""
        start = random.randrange(len(place.entries) or 1)
        entries = place.entries[start:] + place.entries[:start]
        hosts = [None if entry & REFUSED else self._known_host(entry) for entry in entries]
        known = [host for host in hosts if host is not None]
        is_plain = 0 < len(known) == len(hosts)
        place.turn = itertools.cycle(known) if is_plain else None

    def _tell_use(self, place: Place, mod_id: int, cmd_id: int, now_s: float) -> None:
        place.told_s = now_s + _USE_S
        self._batch.add_use(mod_id, cmd_id)

    def _find(self, mod_id: int, cmd_id: int) -> Optional[Place]:
        image = self._image
        if image is None or not self.is_usable:
            return None
        place = self._place_in(image, mod_id, cmd_id)
        if place is not None:
            with self._lock:
                # Not into the places of a table that came meanwhile.
                if image is self._image and self.is_usable:
                    self._places[mod_id, cmd_id] = place
        return place

    @staticmethod
    def _place_in(image: Image, mod_id: int, cmd_id: int) -> Optional[Place]:
        at = image.find(mod_id & 0xFFFFFFFF, cmd_id & 0xFFFFFFFF)
        return Place(image, at, random.getrandbits(32)) if at else None

    def _set_broken(self, image: Image) -> None:
        with self._lock:
            if image is self._image:
                self._is_broken = True
                self._leave()

    def _leave(self) -> None:
        self.is_usable = False
        self._old_places.update(self._places)
        self._places = {}
        self.turns = {}
        self._batch.forget_plain()

    def _look(self, now_s: float) -> None:
        """For changes; now and then at heartbeat and mark, and for another file."""
        with self._lock:
            if now_s < self.turns_until_s:
                return
            if now_s >= self._look_s:
                self._look_s = now_s + _LOOK_S
                self._look_closely(now_s)
            image = self._image
            changes = 0 if image is None else image.changes()
            if changes == 0 or changes != self._changes or now_s >= self._anew_s:
                self._changes = changes
                self._anew_s = now_s + _ANEW_S
                self.turns = {}
            self.turns_until_s = now_s + _CHANGES_S

    def _look_closely(self, now_s: float) -> None:
        image = self._image
        if image is not None and not self._is_broken:
            was_usable = self.is_usable
            self.is_usable = image.is_usable(now_s * 1000)
            if was_usable and not self.is_usable:
                self._leave()
                self._open_s = 0.0  # the next one may be there already
            elif self.is_usable:
                self._old_places = {}
        if now_s >= self._open_s:
            self._open_s = now_s + _OPEN_S
            self._open(now_s)

    def _remember_old(self) -> None:
        """A table is left: the modules that were picked keep nodes of it, elsewhere."""
        self._old_places.update(self._places)
        for (mod_id, cmd_id), place in self._old_places.items():
            if place.image is not self._image or self._is_broken:
                continue
            try:
                looks = min(place.words[place.at] >> 32, OLD_LOOKS_MAX)
                entries = [place.next_entry() for _ in range(looks)]
            except (ValueError, IndexError):
                continue
            nodes = [entry for entry in entries if not entry & REFUSED]
            best = [entry for entry in nodes if not entry & PROBE] or nodes
            hosts = dict.fromkeys(_node_of(entry) for entry in best)
            self._on_leave(mod_id, cmd_id, [host for host in hosts if host is not None])
        self._old_places = {}

    def _open(self, now_s: float) -> None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return
        try:
            status = os.fstat(descriptor)
            identity = (status.st_dev, status.st_ino)
            if identity == self._identity or not _is_trusted(status, self._port):
                return
            mapped = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
            image = Image(memoryview(mapped))
        except (OSError, ValueError):
            return
        finally:
            os.close(descriptor)
        if not image.is_usable(now_s * 1000):
            return  # nobody writes it any more: what is mapped is as good a memory
        if self._image is not None:
            self._remember_old()
        self._identity = identity
        self._image = image
        self._places = {}
        self.turns = {}
        self._is_broken = False
        self.is_usable = True
        self._batch.open(image.ip, image.port, image.takes_runs)


def _is_trusted(status: os.stat_result, port: int) -> bool:
    """True for a plain file of root, of this user or of the agent's, which nobody else may write."""
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o022:
        return False
    return status.st_uid in (0, os.geteuid()) or status.st_uid in _port_owners(port)


def _port_owners(port: int) -> "set[int]":
    """The users who have a UDP socket with this port."""
    owners = set()
    try:
        with open("/proc/net/udp", encoding="ascii") as sockets:
            for line in sockets.readlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port:
                    owners.add(int(fields[7]))
    except (OSError, ValueError, IndexError):
        pass  # not Linux, or not permitted
    return owners


def _node_of(entry: int) -> Optional[Host]:
    node = entry & NODE_BITS
    return host_of(node & 0xFFFFFFFF, node >> 32)


def default_path(hostname: str, first_port: int) -> str:
    """Where the agent of this host keeps its table; that of another host is not here."""
    return f"/dev/shm/lars-agent-{first_port}.table" if hostname.startswith("127.") else ""
