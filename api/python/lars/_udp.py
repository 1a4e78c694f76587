# Shell. UDP sockets towards the agent for threads: each question has one to itself while it waits.
from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from typing import List, Optional, Set

from ._errors import (
    ClosedError,
    ConnectError,
    LimitError,
    NoAgentError,
    ProtocolError,
    TimeoutError,
)
from ._question import Answer, Question, T, read_answer
from ._seal import new_sealer
from ._settings import Settings
from ._stats import Counters

#: Sockets kept for later, for each port of the agent; one more is closed.
IDLE_SOCKETS_MAX = 64

_DATAGRAM_BYTES_MAX = 65536

#: Faults that cost one datagram and say nothing about the socket.
_PASSING = (errno.EAGAIN, errno.ENOBUFS, errno.EMSGSIZE, errno.EINTR)


def now_ms() -> float:
    """Milliseconds by the machine's clock that only goes forward."""
    return time.monotonic() * 1000


def random_seq() -> int:
    """Where the numbers of a socket's questions begin: far from those of any other process."""
    return int.from_bytes(os.urandom(4), "little")


class Line:
    """One connected socket: the kernel keeps strangers out, and says when nobody listens."""

    def __init__(self, settings: Settings, port_index: int, counters: Counters) -> None:
        """:raises OSError: when there is no socket to be had, or no such host."""
        self.port_index = port_index
        self.address = settings.address_of(port_index)
        self._counters = counters
        self._buffer = bytearray(_DATAGRAM_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._sealer = new_sealer(settings.secret)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.setblocking(False)
            self.socket.connect((settings.hostname, settings.ports[port_index]))
        except OSError:
            self.socket.close()
            raise

    def close(self) -> None:
        """Gives the socket back to the system."""
        self.socket.close()

    def send(self, datagram: bytes) -> bool:
        """Sends, or loses; False when an agent's absence is the reason.

        :raises OSError: when the socket is of no use any more.
        """
        for _ in range(2):
            sealed = datagram if self._sealer is None else self._sealer.seal(datagram)
            try:
                self.socket.send(sealed)
                return True
            except ConnectionRefusedError:
                # An earlier datagram was refused, and this one has only delivered the news.
                continue
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
                self._counters.add("dropped")
                return True
        self._counters.add("dropped")
        return False

    def read(self) -> Optional[Answer[object]]:
        """The next answer; None for a datagram that is none, which is counted.

        :raises BlockingIOError: when there is no datagram.
        :raises ConnectionRefusedError: when an earlier datagram was refused.
        """
        size = self.socket.recv_into(self._buffer)
        datagram = bytes(self._view[:size])
        if self._sealer is not None and not self._sealer.is_answer(datagram):
            self._counters.add("foreign")
            return None
        try:
            return read_answer(datagram)
        except ProtocolError:
            self._counters.add("garbage")
            return None


class ThreadLine(Line):
    """A socket that one thread at a time asks over."""

    def __init__(self, settings: Settings, port_index: int, counters: Counters) -> None:
        super().__init__(settings, port_index, counters)
        self._seq = random_seq()
        self._is_shut = False
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)

    def shut(self) -> None:
        """Wakes whoever waits for this socket; it closes it."""
        self._is_shut = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already

    def ask(self, question: Question[T], deadline_ms: float) -> T:
        """The answer; the question is sent a second time at half its deadline.

        :raises LarsError: when none comes in time.
        :raises OSError: when the socket is of no use any more.
        """
        self._seq = (self._seq + 1) & 0xFFFFFFFF
        datagram = question.datagram(self._seq)
        key = question.key(self._seq)
        started_ms = now_ms()
        next_ms = started_ms + deadline_ms / 2
        is_refused = not self.send(datagram)
        has_resent = False
        while True:
            # Looked at before the time is, so that a process that slept too long finds its answer.
            if self._poll.poll(max(0.0, next_ms - now_ms())):
                try:
                    answer = self._read_own(key)
                except ConnectionRefusedError:
                    # The first one is forgiven: an agent that restarts may be there for the second.
                    if has_resent:
                        raise NoAgentError(self.address) from None
                    is_refused = True
                    continue
                if answer is not None:
                    return answer.value  # type: ignore[return-value]
            if now_ms() < next_ms:
                continue
            if has_resent:
                if is_refused:
                    raise NoAgentError(self.address)
                raise timeout_error(self.address, now_ms() - started_ms)
            has_resent = True
            next_ms = started_ms + deadline_ms
            self._counters.add("resent")
            is_refused = not self.send(datagram) or is_refused

    def _read_own(self, key: object) -> Optional[Answer[object]]:
        """The answer to `key`, if this is it."""
        if self._is_shut:
            raise ClosedError()
        try:
            answer = self.read()
        except (BlockingIOError, InterruptedError):
            return None
        if answer is None or answer.key == key:
            return answer
        self._counters.add("late")
        return None


def timeout_error(address: str, waited_ms: float) -> TimeoutError:
    """What a question without an answer ends with."""
    return TimeoutError(
        f"No answer in {waited_ms:.0f} ms from the agent at {address}: is it running?", waited_ms
    )


def socket_error(settings: Settings, port_index: int, cause: OSError) -> ConnectError:
    """What a question ends with when its socket fails."""
    message = f"the socket towards the agent failed: {cause}"
    return ConnectError(settings.address_of(port_index), message)


class Lines:
    """The sockets of one client. A forked child has none of its parent's: see `after_fork`."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._idle: List[List[ThreadLine]] = [[], [], []]
        self._busy: Set[ThreadLine] = set()
        self._is_closed = False

    @property
    def busy_count(self) -> int:
        """Questions under way."""
        return len(self._busy)

    def after_fork(self) -> None:
        """Forgets all sockets: two processes that read one would take each other's answers."""
        was_closed = self._is_closed
        for line in [*self._busy, *(line for idle in self._idle for line in idle)]:
            line.close()
        self._begin()
        self._is_closed = was_closed

    def ask(self, question: Question[T], deadline_ms: float) -> T:
        """:raises LarsError: when no answer comes in time."""
        line = self._take(question.port_index)
        try:
            value = line.ask(question, deadline_ms)
        except OSError as error:
            if isinstance(error, (TimeoutError, ConnectError)):
                (self._give if question.is_numbered else self._drop)(line)
                raise
            self._drop(line)
            if self._is_closed:
                raise ClosedError() from error
            raise socket_error(self._settings, question.port_index, error) from error
        except BaseException:
            self._drop(line)
            raise
        self._give(line)
        return value

    def send(self, port_index: int, datagram: bytes) -> None:
        """Sends one datagram, or loses it: UDP promises nothing. Never raises."""
        try:
            line = self._take(port_index)
        except (ConnectError, LimitError, ClosedError):
            self._counters.add("dropped")
            return
        try:
            line.send(datagram)
        except OSError:
            self._counters.add("dropped")
            self._drop(line)
            return
        self._give(line)

    def close(self) -> None:
        """Ends the questions under way with a ClosedError."""
        with self._lock:
            self._is_closed = True
            idle = [line for lines in self._idle for line in lines]
            self._idle = [[], [], []]
            for line in self._busy:
                line.shut()
        for line in idle:
            line.close()

    def _take(self, port_index: int) -> ThreadLine:
        with self._lock:
            if self._is_closed:
                raise ClosedError()
            if len(self._busy) >= self._settings.pending_max:
                limit = self._settings.pending_max
                raise LimitError(
                    "pending_max",
                    f"Questions under way must be at most {limit}: one more was refused",
                )
            if self._idle[port_index]:
                line = self._idle[port_index].pop()
                self._busy.add(line)
                return line
        try:
            line = ThreadLine(self._settings, port_index, self._counters)
        except OSError as error:
            raise socket_error(self._settings, port_index, error) from error
        with self._lock:
            self._busy.add(line)
        return line

    def _give(self, line: ThreadLine) -> None:
        with self._lock:
            self._busy.discard(line)
            idle = self._idle[line.port_index]
            if not self._is_closed and len(idle) < IDLE_SOCKETS_MAX:
                idle.append(line)
                return
        line.close()

    def _drop(self, line: ThreadLine) -> None:
        with self._lock:
            self._busy.discard(line)
        line.close()
