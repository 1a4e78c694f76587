# Shell. Outcomes in batches: 128 at once, or after 10 ms, or when a node fails: proto/batched_reports.md.
from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections import deque
from typing import Callable, Deque, Optional, Set, Tuple

from ._host import format_ipv4
from ._stats import Counters
from ._wire import bytes_field, frame, unsigned_field

BATCHED_REPORT = 83
#: Records that are sent as soon as so many wait; and how long the first one may wait.
BATCH_OUTCOMES = 128
BATCH_MS = 10
#: Records that wait at most, when nothing can be sent; further ones are dropped, and counted.
WAITING_MAX = 65_536
#: Nodes known as failing; first failures of further ones wait with the batch.
FAILING_MAX = 1024

TIME_UNKNOWN = 0xFFFFFFFF

_pack = struct.Struct("<IIQiI").pack


class Batch:
    """The outcomes of one client on their way to an agent whose table it has mapped."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        #: Called when a first record waits: sees to it that `flush` is called 10 ms later.
        self.on_first: Callable[[], None] = lambda: None
        self._address: Optional[Tuple[str, int]] = None
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._waiting: Deque[bytes] = deque()
        self._failing: Set[Tuple[int, int, int]] = set()
        self._socket: Optional[socket.socket] = None
        self._sender = 0
        self._first = 0

    def open(self, ip: int, port: int) -> None:
        """A table was mapped: its outcomes go to the agent that it names, by a new sender."""
        self.flush()
        with self._lock:
            self._address = (format_ipv4(ip), port)
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
        waiting = self._waiting
        waiting.append(_pack(mod_id, cmd_id, node, retcode, time_ms))
        count = len(waiting)
        if retcode != 0:
            if self._is_first_failure((mod_id, cmd_id, node)):
                self.flush()
                return
        elif self._failing:
            self._failing.discard((mod_id, cmd_id, node))
        if count == 1:
            self.on_first()
        elif count >= BATCH_OUTCOMES:
            self.flush()

    def add_success(self, mod_id: int, cmd_id: int, node: int, time_ms: float) -> bool:
        """An outcome of a call that went well; False, and nothing done, when a number is none."""
        waiting = self._waiting
        try:
            waiting.append(_pack(mod_id, cmd_id, node, 0, time_ms))
        except struct.error:
            return False
        if self._failing:
            self._failing.discard((mod_id, cmd_id, node))
        count = len(waiting)
        if count == 1:
            self.on_first()
        elif count >= BATCH_OUTCOMES:
            self.flush()
        return True

    def add_use(self, mod_id: int, cmd_id: int) -> None:
        """The module is in use."""
        self.add(mod_id & 0xFFFFFFFF, cmd_id & 0xFFFFFFFF, 0, 0, TIME_UNKNOWN)

    def add_refusal(self, mod_id: int, cmd_id: int) -> None:
        """A caller asked for a node and was refused by an entry of the table."""
        waiting = self._waiting
        waiting.append(
            _pack(mod_id & 0xFFFFFFFF, cmd_id & 0xFFFFFFFF, 0, 1, TIME_UNKNOWN)
        )
        if len(waiting) == 1:
            self.on_first()
        elif len(waiting) >= BATCH_OUTCOMES:
            self.flush()

    def flush(self) -> None:
        """Sends what waits."""
        with self._lock:
            while self._waiting:
                count = min(len(self._waiting), BATCH_OUTCOMES)
                self._send(b"".join(self._waiting.popleft() for _ in range(count)), count)

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
        failing = self._failing
        if key in failing or len(failing) >= FAILING_MAX:
            return False
        failing.add(key)
        return True

    def _send(self, records: bytes, count: int) -> None:
        if self._address is None:
            self._counters.add("dropped")
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
