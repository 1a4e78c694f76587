# Shell. Outcomes in batches: 512 records at once, or after 10 ms, or when a node fails: proto/batched_reports.md.
from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections import Counter
from typing import Callable, Dict, List, Optional, Set, Tuple

from ._host import format_ipv4
from ._seal import Sealer, new_sealer
from ._stats import Counters
from ._wire import bytes_field, frame, unsigned_field

BATCHED_REPORT = 83
#: Records that are sent as soon as so many wait; and how long the first one may wait.
BATCH_RECORDS = 512
#: Records that are looked through as soon as so many have come: equal ones become one.
GATHERED = 256
BATCH_MS = 10
#: Outcomes of a batch, all those of runs: it is sent before there are more.
BATCH_OUTCOMES_MAX = 65_536
#: Nodes known as failing; first failures of further ones wait with the batch.
FAILING_MAX = 1024

#: Bytes of a record, and records of a datagram, as many as an agent takes.
RECORD_BYTES = 24
RECORDS_MAX = 2700

#: Where more than this share of records is unlike all others, so many next ones are not looked through.
SAVED_SHARE = 0.7
SKIPS = 15

TIME_UNKNOWN = 0xFFFFFFFF

#: Addresses known as numbers; of more all are forgotten, and made anew.
ADDRESSES_MAX = 65_536

#: Modid, cmdid, node, return code and time as a record; raises a RecordError where one does not fit.
pack_record = struct.Struct("<IIQiI").pack
RecordError = struct.error

#: Modid, cmdid, address, port and time of a success as a record, as long as the machine's order of bytes is
#: that of records: on others there is no table.
pack_success = struct.Struct("@IIIHxx4xI").pack

# A record from its port to its tag, of one that is no outcome; and of one that stands for several the tag
# and how many they are.
_NO_PORT = bytes(2)
_pack_run = struct.Struct("<HI").pack
_RUN_TAG = 0x8000


class Batch:
    """The outcomes of one client on their way to an agent whose table it has mapped."""

    def __init__(
        self,
        counters: Counters,
        secret_for: Callable[[str], Optional[bytes]] = lambda hostname: None,
    ) -> None:
        """`secret_for`: what datagrams to an address are to be sealed with."""
        self._counters = counters
        self._secret_for = secret_for
        #: Called when records wait that nobody is to send yet: sees to it that `flush` is called 10 ms
        #: later.
        self.on_first: Callable[[], None] = lambda: None
        #: Addresses of nodes as numbers, while there is a table and no node fails: a success at such an
        #: address, whatever the port, says nothing but itself. Always the same dictionary.
        self.plain_addresses: Dict[str, int] = {}
        #: Records that are to be sent. Whoever puts one there calls `added`. Always the same list.
        self.waiting: List[bytes] = []
        #: Not empty: `flush` is going to be called. Not told by how many wait: two threads that put a record
        #: there at once would both find two. Always the same list, as clients look at it.
        self.timed: List[bool] = []
        self._address: Optional[Tuple[str, int]] = None
        self._takes_runs = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self.waiting.clear()
        #: What is to be sent as it is, in order, its records, and the outcomes in them; and records behind
        #: it to which equal ones are added, by how often they came.
        self._settled: List[bytes] = []
        self._settled_records = 0
        self._settled_count = 0
        self._runs: Counter[bytes] = Counter()
        self._runs_count = 0
        #: So often records are not looked through, as few were equal lately.
        self._skips = 0
        self.timed.clear()
        #: Nodes whose last outcome was a failure.
        self.failing: Set[Tuple[int, int, int]] = set()
        self._socket: Optional[socket.socket] = None
        self._sealer: Optional[Sealer] = None
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
                self._keep(record, 1, 1)
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
        if len(self.waiting) >= GATHERED or self._settled_records >= BATCH_RECORDS:
            with self._lock:
                self._gather()
                records = self._settled_records + len(self._runs)
                outcomes = self._settled_count + self._runs_count
                if records >= BATCH_RECORDS or outcomes >= BATCH_OUTCOMES_MAX - GATHERED:
                    self._send_all()
        if not self.timed:
            self.timed.append(True)
            self.on_first()

    def address_is_plain(self, ip: str, address: int) -> None:
        """From now on successes at this address need only be put to the records that wait."""
        if len(self.plain_addresses) >= ADDRESSES_MAX:
            self.forget_plain()
        self.plain_addresses[ip] = address

    def forget_plain(self) -> None:
        """From now on successes say more."""
        self.plain_addresses.clear()

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
        self.timed.clear()
        with self._lock:
            self._gather()
            self._send_all()

    def _gather(self) -> None:
        """Looks through the records that wait, under the lock; equal ones are told by their number."""
        waiting = self.waiting
        records = waiting[:]
        # What others add meanwhile comes behind these.
        del waiting[: len(records)]
        if not self._takes_runs or self._skips > 0:
            self._skips -= 1
            self._settle()
            self._keep(b"".join(records), len(records), len(records))
            return
        before = len(self._runs)
        self._runs.update(records)
        self._runs_count += len(records)
        new = len(self._runs) - before
        if new > SAVED_SHARE * len(records) and len(records) >= GATHERED:
            self._skips = SKIPS

    def _settle(self) -> None:
        """No success is added to a record that waits from now on."""
        if not self._runs:
            return
        records: List[bytes] = []
        for record, count in self._runs.items():
            if count == 1 or record[12:14] == _NO_PORT:
                records += [record] * count
            else:
                records.append(record[:14] + _pack_run(_RUN_TAG, count) + record[20:])
        self._keep(b"".join(records), len(records), self._runs_count)
        self._runs.clear()
        self._runs_count = 0

    def _keep(self, content: bytes, records: int, outcomes: int) -> None:
        self._settled.append(content)
        self._settled_records += records
        self._settled_count += outcomes

    def _send_all(self) -> None:
        self._settle()
        content, count = b"".join(self._settled), self._settled_count
        self._settled = []
        self._settled_records = self._settled_count = 0
        if len(content) <= RECORDS_MAX * RECORD_BYTES:
            if content:
                self._send(content, count)
            return
        # Only when many threads were late to send.
        for at in range(0, len(content), BATCH_RECORDS * RECORD_BYTES):
            part = content[at : at + BATCH_RECORDS * RECORD_BYTES]
            self._send(part, _outcomes_in(part))

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
            if self._sealer is not None:
                datagram = self._sealer.seal(datagram)
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
        self._sealer = new_sealer(self._secret_for(address[0]))
        self._sender = int.from_bytes(os.urandom(4), "little") or 1
        self._first = 0


def _outcomes_in(records: bytes) -> int:
    count = 0
    for at in range(0, len(records), RECORD_BYTES):
        is_run = records[at + 15] & _RUN_TAG >> 8
        count += int.from_bytes(records[at + 16 : at + 20], "little") if is_run else 1
    return count


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
