# Shell. Outcomes in batches: 128 records at once, or after 10 ms, or when a node fails: proto/batched_reports.md.
from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections import Counter
from typing import Callable, Dict, List, Optional, Set, Tuple

from ._host import format_ipv4
from ._stats import Counters
from ._wire import bytes_field, frame, unsigned_field

BATCHED_REPORT = 83
#: Records that are sent as soon as so many wait; and how long the first one may wait.
BATCH_RECORDS = 128
BATCH_MS = 10
#: Outcomes of a batch, all those of runs: it is sent before there are more.
BATCH_OUTCOMES_MAX = 65_536
#: Nodes known as failing; first failures of further ones wait with the batch.
FAILING_MAX = 1024

#: Records of a datagram, as many as an agent takes.
RECORDS_MAX = 2700

TIME_UNKNOWN = 0xFFFFFFFF

#: Nodes known by address and port; of more all are forgotten, and made anew.
NODES_MAX = 65_536

#: Successes whose records are kept; of more all are forgotten, and made anew.
SUCCESSES_MAX = 65_536

#: What a success is kept by: modid, cmdid, address, port, and milliseconds, as the caller gave them.
Success = Tuple[int, int, str, int, Optional[float]]

#: Modid, cmdid, node, return code and time as a record; raises a RecordError where one does not fit.
pack_record = struct.Struct("<IIQiI").pack
RecordError = struct.error

# A record from its port to its tag, of one that is no outcome; and of one that stands for several the tag
# and how many they are.
_NO_PORT = bytes(2)
_pack_run = struct.Struct("<HI").pack
_RUN_TAG = 0x8000


class Batch:
    """The outcomes of one client on their way to an agent whose table it has mapped."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        #: Called when records wait that nobody is to send yet: sees to it that `flush` is called 10 ms
        #: later.
        self.on_first: Callable[[], None] = lambda: None
        #: Nodes as the table has them, by address and port, while there is a table and none fails: a
        #: success of such a node says nothing but itself. Always the same dictionary.
        self.plain_nodes: Dict[Tuple[str, int], int] = {}
        #: Their records, of nodes that are in `plain_nodes`. Always the same dictionary.
        self.successes: Dict[Success, bytes] = {}
        #: Records that are to be sent. Whoever puts one there calls `added`. Always the same list.
        self.waiting: List[bytes] = []
        self._address: Optional[Tuple[str, int]] = None
        self._takes_runs = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self.waiting.clear()
        #: Records that were looked through, in order: those before the latest failure, and how often each of
        #: those behind it came.
        self._settled: List[bytes] = []
        self._settled_count = 0
        self._runs: Counter[bytes] = Counter()
        self._runs_count = 0
        #: `flush` is going to be called. Not told by how many wait: two threads that put a record there at
        #: once would both find two.
        self.is_timed = False
        #: Nodes whose last outcome was a failure.
        self.failing: Set[Tuple[int, int, int]] = set()
        self._socket: Optional[socket.socket] = None
        self._sender = 0
        self._first = 0

    def open(self, ip: int, port: int, takes_runs: bool = False) -> None:
        """A table was mapped: its outcomes go to the agent that it names, by a new sender."""
        self.flush()
        with self._lock:
            self._address = (format_ipv4(ip), port)
            self._takes_runs = takes_runs
            self._close_socket()

    def after_fork(self) -> None:
        """A child begins with nothing: what waited is its parent's to send."""
        address, one = self._address, self._socket
        self._begin()
        self._address = address
        if one is not None:
            one.close()

    def add(self, mod_id: int, cmd_id: int, node: int, retcode: int, time_ms: int) -> None:
        """An outcome; `node` is its entry: address, and port from bit 32."""
        record = pack_record(mod_id, cmd_id, node, retcode, time_ms)
        if retcode != 0:
            with self._lock:
                # What this thread has put there before goes before it.
                self._gather()
                self._settle()
                self._settled.append(record)
                self._settled_count += 1
            if self._is_first_failure((mod_id, cmd_id, node)):
                self.flush()
                return
        else:
            self.waiting.append(record)
        if retcode == 0 and self.failing:
            self.failing.discard((mod_id, cmd_id, node))
        self.added()

    def added(self) -> None:
        """A record was put to those that wait."""
        if len(self.waiting) >= BATCH_RECORDS or len(self._settled) >= BATCH_RECORDS:
            with self._lock:
                self._gather()
                records = len(self._settled) + len(self._runs)
                outcomes = self._settled_count + self._runs_count
                if records >= BATCH_RECORDS or outcomes >= BATCH_OUTCOMES_MAX - BATCH_RECORDS:
                    self._send_all()
        if not self.is_timed:
            self.is_timed = True
            self.on_first()

    def node_is_plain(self, ip: str, port: int, node: int) -> None:
        """From now on successes of this node need only be put to the records that wait."""
        if len(self.plain_nodes) >= NODES_MAX:
            self.forget_plain()
        self.plain_nodes[ip, port] = node

    def forget_plain(self) -> None:
        """From now on successes say more."""
        self.successes.clear()
        self.plain_nodes.clear()

    def success(self, key: Success) -> Optional[bytes]:
        """The record of a success of a plain node, kept from now on; None: it is none, or cannot be."""
        mod_id, cmd_id, ip, port, timecost_ms = key
        node = self.plain_nodes.get((ip, port))
        if node is None:
            return None
        time_ms = TIME_UNKNOWN if timecost_ms is None else timecost_ms
        try:
            record = pack_record(mod_id, cmd_id, node, 0, time_ms)
        except (RecordError, TypeError):
            return None
        if len(self.successes) >= SUCCESSES_MAX:
            self.successes.clear()
        self.successes[key] = record
        if not self.plain_nodes:
            # Another thread has forgotten them meanwhile.
            self.successes.clear()
        return record

    def add_use(self, mod_id: int, cmd_id: int) -> None:
        """The module is in use."""
        self.add(mod_id & 0xFFFFFFFF, cmd_id & 0xFFFFFFFF, 0, 0, TIME_UNKNOWN)

    def add_refusal(self, mod_id: int, cmd_id: int) -> None:
        """A caller asked for a node and was refused by an entry of the table."""
        waiting = self.waiting
        waiting.append(
            pack_record(mod_id & 0xFFFFFFFF, cmd_id & 0xFFFFFFFF, 0, 1, TIME_UNKNOWN)
        )
        self.added()

    def flush(self) -> None:
        """Sends what waits."""
        # Before it is looked what waits: whoever comes later sees to it himself.
        self.is_timed = False
        with self._lock:
            self._gather()
            self._send_all()

    def _gather(self) -> None:
        """Looks through the records that wait, under the lock; equal ones are told by their number."""
        waiting = self.waiting
        records = waiting[:]
        # What others add meanwhile comes behind these.
        del waiting[: len(records)]
        if self._takes_runs:
            self._runs.update(records)
            self._runs_count += len(records)
        else:
            self._settled += records
            self._settled_count += len(records)

    def _settle(self) -> None:
        """No success is added to a record that waits from now on."""
        if not self._runs:
            return
        if len(self._runs) == self._runs_count:
            self._settled += self._runs
        else:
            for record, count in self._runs.items():
                if count == 1 or record[12:14] == _NO_PORT:
                    self._settled += [record] * count
                else:
                    self._settled.append(record[:14] + _pack_run(_RUN_TAG, count) + record[20:])
        self._settled_count += self._runs_count
        self._runs.clear()
        self._runs_count = 0

    def _send_all(self) -> None:
        self._settle()
        records, count = self._settled, self._settled_count
        self._settled, self._settled_count = [], 0
        if len(records) <= RECORDS_MAX:
            if records:
                self._send(b"".join(records), count)
            return
        # Only where no runs are taken, or threads have failed all at once.
        for at in range(0, len(records), BATCH_RECORDS):
            part = records[at : at + BATCH_RECORDS]
            self._send(b"".join(part), sum(map(_count_of, part)))

    def close(self) -> None:
        """Sends what waits, and frees the socket."""
        self.flush()
        with self._lock:
            self._close_socket()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _is_first_failure(self, key: Tuple[int, int, int]) -> bool:
        failing = self.failing
        if key in failing or len(failing) >= FAILING_MAX:
            return False
        failing.add(key)
        # Their next success says more.
        self.forget_plain()
        return True

    def _send(self, records: bytes, count: int) -> None:
        if self._address is None:
            self._counters.add("dropped", count)
            return
        try:
            if self._socket is None:
                self._open_socket(self._address)
            assert self._socket is not None
            body = unsigned_field(1, self._sender) + unsigned_field(2, self._first)
            datagram = frame(BATCHED_REPORT, body + bytes_field(3, records))
            # Also of one that is lost: the agent sees the gap, and counts what was in it.
            self._first += count
            try:
                self._socket.send(datagram)
            except ConnectionRefusedError:
                # The refusal was that of an earlier datagram, and this one was not sent.
                self._socket.send(datagram)
        except OSError:
            self._counters.add("dropped", count)

    def _open_socket(self, address: Tuple[str, int]) -> None:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            one.setblocking(False)
            one.connect(address)
        except OSError:
            one.close()
            raise
        self._socket = one
        self._sender = int.from_bytes(os.urandom(4), "little") or 1
        self._first = 0


def _count_of(record: bytes) -> int:
    """Outcomes that a record stands for."""
    return int.from_bytes(record[16:20], "little") if record[15] & _RUN_TAG >> 8 else 1


class FlushThread:
    """Flushes a batch 10 ms after its first record, by a thread that sleeps when there is none."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._begin()
        batch.on_first = self.wake

    def _begin(self) -> None:
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._is_closed = False

    def after_fork(self) -> None:
        """The thread exists in the parent only."""
        self._begin()

    def wake(self) -> None:
        """A first record waits."""
        self._wake.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._is_closed:
                    self._thread = threading.Thread(
                        target=self._run, args=(self._wake,), name="lars-reports", daemon=True
                    )
                    self._thread.start()

    def close(self) -> None:
        """Ends the thread; what waits is the batch's to send."""
        self._is_closed = True
        self._wake.set()

    def _run(self, wake: threading.Event) -> None:
        while not self._is_closed:
            wake.wait()
            wake.clear()
            time.sleep(BATCH_MS / 1000)
            self._batch.flush()
