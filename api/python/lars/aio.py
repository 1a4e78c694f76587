# Shell. The client for asyncio: the same steps as for threads, on one socket for each port.
from __future__ import annotations

import asyncio
import socket
from time import monotonic
from types import TracebackType
from typing import (
    Any,
    Awaitable,
    Callable,
    Deque,
    Dict,
    Hashable,
    List,
    Optional,
    Set,
    Type,
    TypeVar,
    Union,
)
from collections import deque

from . import _options as options
from ._batch import BATCH_MS, Batch
from ._call import Attempt
from ._effects import Ask, Effect, Latch, Run, Sleep, Wait
from ._errors import (
    ClosedError,
    LarsError,
    LimitError,
    NoAgentError,
    OverloadError,
    TimeoutError,
)
from ._flows import Flow, Flows
from ._fork import remember_client
from ._host import Host, HostAnswer, RetCode
from ._question import Question
from ._reports import Reports
from ._settings import Settings
from ._stats import Counters, Stats
from ._udp import Line, now_ms, random_seq, socket_error, timeout_error

T = TypeVar("T")

#: Questions sent and not answered, for each port; further ones wait their turn. The answers to more
#: might not fit the receive buffer of a socket: Linux takes 832 of its 212,992 bytes for each.
WINDOW_MAX = 200

#: Datagrams read in a row before others have their turn.
_READS_MAX = 64


class _Pending:
    """A question and whoever waits for its answer."""

    __slots__ = ("datagram", "future", "has_resent", "is_refused", "is_sent")

    def __init__(self, datagram: bytes, future: "asyncio.Future[Any]") -> None:
        self.datagram = datagram
        self.future = future
        self.has_resent = False
        self.is_refused = False
        self.is_sent = False


class _Port:
    """The questions to one port of the agent, and their socket."""

    def __init__(self, settings: Settings, index: int, counters: Counters) -> None:
        self._settings = settings
        self._index = index
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._line: Optional[Line] = None
        self._seq = random_seq()
        self._waiting: Dict[Hashable, List[_Pending]] = {}
        self._active: Set[_Pending] = set()
        self._queued: Deque[_Pending] = deque()

    async def ask(self, question: Question[T], deadline_ms: float) -> T:
        """:raises LarsError: when no answer comes in time."""
        seq, key = self._seq_for(question)
        pending = _Pending(question.datagram(seq), self._loop.create_future())
        self._waiting.setdefault(key, []).append(pending)
        started_ms = now_ms()
        half_s = deadline_ms / 2000
        timers = [
            self._loop.call_later(half_s, self._on_half_time, pending),
            self._loop.call_later(2 * half_s, self._on_deadline, pending, started_ms),
        ]
        try:
            self._start(pending)
            value: T = await pending.future
            return value
        finally:
            for timer in timers:
                timer.cancel()
            self._forget(key, pending)

    def send(self, datagram: bytes) -> None:
        """Sends one datagram, or loses it. Never raises."""
        try:
            self._opened().send(datagram)
        except OSError as error:
            self._counters.add("dropped")
            self._fail(error)

    def close(self, error: Optional[LarsError]) -> None:
        """Ends all questions with the error, and frees the socket."""
        line, self._line = self._line, None
        if line is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(line.socket.fileno())
            line.close()
        for pending in [*self._active, *self._queued]:
            if error is not None and not pending.future.done():
                pending.future.set_exception(error)

    def _seq_for(self, question: Question[T]) -> "tuple[int, Hashable]":
        while True:
            self._seq = (self._seq + 1) & 0xFFFFFFFF
            key = question.key(self._seq)
            if self._seq not in (key if isinstance(key, tuple) else ()) or key not in self._waiting:
                return self._seq, key

    def _start(self, pending: _Pending) -> None:
        if len(self._active) >= WINDOW_MAX:
            self._queued.append(pending)
            return
        self._active.add(pending)
        self._transmit(pending)

    def _transmit(self, pending: _Pending) -> None:
        pending.is_sent = True
        try:
            if not self._opened().send(pending.datagram):
                pending.is_refused = True
        except OSError as error:
            self._fail(error)

    def _forget(self, key: Hashable, pending: _Pending) -> None:
        waiting = self._waiting.get(key, [])
        if pending in waiting:
            waiting.remove(pending)
        if not waiting:
            self._waiting.pop(key, None)
        if pending not in self._active:
            if pending in self._queued:
                self._queued.remove(pending)
            return
        self._active.discard(pending)
        while self._queued:
            following = self._queued.popleft()
            if not following.future.done():
                self._active.add(following)
                self._transmit(following)
                return

    def _opened(self) -> Line:
        if self._line is None:
            self._line = Line(self._settings, self._index, self._counters)
            self._loop.add_reader(self._line.socket.fileno(), self._on_readable, self._line)
        return self._line

    def _fail(self, cause: OSError) -> None:
        self.close(socket_error(self._settings, self._index, cause))

    def _on_half_time(self, pending: _Pending) -> None:
        if pending.is_sent and not pending.future.done():
            pending.has_resent = True
            self._counters.add("resent")
            self._transmit(pending)

    def _on_deadline(self, pending: _Pending, started_ms: float) -> None:
        # The answer may wait in the socket already, when the loop was held up.
        if self._line is not None:
            self._on_readable(self._line)
        if pending.future.done():
            return
        address = self._settings.address_of(self._index)
        is_absent = pending.is_refused
        error = NoAgentError(address) if is_absent else timeout_error(address, now_ms() - started_ms)
        pending.future.set_exception(error)

    def _on_readable(self, line: Line) -> None:
        for _ in range(_READS_MAX):
            if line is not self._line:
                return
            try:
                answer = line.read()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionRefusedError:
                self._on_refused()
                continue
            except OSError as error:
                self._fail(error)
                return
            if answer is not None:
                self._settle(answer.key, answer.value)

    def _settle(self, key: Hashable, value: object) -> None:
        for pending in self._waiting.get(key, ()):
            if not pending.future.done():
                pending.future.set_result(value)
                return
        self._counters.add("late")

    def _on_refused(self) -> None:
        """The first refusal is forgiven: an agent that restarts may be there for the second try."""
        for pending in list(self._active):
            pending.is_refused = True
            if pending.has_resent and not pending.future.done():
                pending.future.set_exception(NoAgentError(self._settings.address_of(self._index)))


class _LoopIo:
    """Does what flows want, on the event loop that runs."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._ports: List[_Port] = []
        self.pending_count = 0

    def now_ms(self) -> float:
        return now_ms()

    def send(self, port_index: int, datagram: bytes) -> None:
        self._opened()[port_index].send(datagram)

    def new_latch(self) -> Latch:
        return asyncio.Event()

    async def ask(self, question: Question[T], deadline_ms: float) -> T:
        limit = self._settings.pending_max
        if self.pending_count >= limit:
            raise LimitError(
                "pending_max", f"Questions under way must be at most {limit}: one more was refused"
            )
        self.pending_count += 1
        try:
            await self._resolve(question.port_index)
            value: T = await self._opened()[question.port_index].ask(question, deadline_ms)
            return value
        finally:
            self.pending_count -= 1

    async def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Ask):
            return await self.ask(effect.question, effect.deadline_ms)
        if isinstance(effect, Run):
            return await _run_attempt(effect)
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.ms / 1000)
        if isinstance(effect, Wait):
            try:
                return await asyncio.wait_for(effect.latch.wait(), effect.ms / 1000)
            except asyncio.TimeoutError:
                return False
        raise TypeError(f"Effect must be a known one: it is {type(effect).__name__}")

    async def run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    value = await self.perform(effect)
                except BaseException as error:  # the flow decides what becomes of it
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def close(self) -> None:
        for port in self._ports:
            port.close(ClosedError())
        self._ports = []

    def _opened(self) -> List[_Port]:
        """The ports, on this loop: one that ended, or that was forked, took its sockets along."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or not self._ports:
            for port in self._ports:
                port.close(None)
            self._loop = loop
            self._ports = [_Port(self._settings, index, self._counters) for index in range(3)]
        return self._ports

    async def _resolve(self, port_index: int) -> None:
        """Looks the agent's name up once, without holding up the loop."""
        hostname = self._settings.hostname
        if hostname.replace(".", "").isdigit():
            return
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                hostname, None, family=socket.AF_INET, type=socket.SOCK_DGRAM
            )
        except OSError as error:
            raise socket_error(self._settings, port_index, error) from error
        self._settings.hostname = found[0][4][0]


async def _run_attempt(effect: Run) -> Any:
    """Runs the caller's function; it is cancelled when the time of the call is over."""
    left_ms = effect.attempt.left_ms
    result = effect.fn(effect.attempt)
    if not asyncio.iscoroutine(result) and not isinstance(result, Awaitable):
        return result
    if left_ms == float("inf"):
        return await result
    started_ms = now_ms()
    task = asyncio.ensure_future(result)
    done, _ = await asyncio.wait((task,), timeout=left_ms / 1000)
    if done:
        return task.result()
    task.cancel()
    # What it says to its end is of no interest; that nobody looked at it must not be logged.
    task.add_done_callback(lambda one: one.cancelled() or one.exception())
    waited_ms = now_ms() - started_ms
    node = effect.attempt.address
    raise TimeoutError(f"No outcome of the call in {waited_ms:.0f} ms; the last node was {node}", waited_ms)


class _Flush:
    """Sends what waits, when a loop calls it; one that ends first leaves that to the next outcome."""

    def __init__(self, batch: Batch) -> None:
        self._batch: Optional[Batch] = batch

    def __call__(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.flush()

    def __del__(self) -> None:
        # No more than this: whoever lets go of it may have the lock of the batch.
        if self._batch is not None:
            self._batch.timed.clear()


class AsyncClient(Reports):
    """:class:`lars.Client` for asyncio: the same methods, to be awaited; ``report`` is not.

    ::

        async with AsyncClient() as client:
            text = await client.call(1, 1, lambda node: fetch(node.ip, node.port), timeout_ms=800)

    One client serves a whole event loop. Its sockets belong to the loop that runs when it is used;
    in another loop, say in a forked child, it opens new ones.
    """

    def __init__(
        self,
        hostname: str = options.DEFAULT_HOSTNAME,
        port: options.Port = options.DEFAULT_PORT,
        **settings: Any,
    ) -> None:
        """Takes what :class:`lars.Client` takes; ``pending_max`` is 65536 when left out."""
        settings.setdefault("pending_max", 65536)
        checked = Settings(hostname, port, **settings)
        self._counters = Counters()
        self._io = _LoopIo(checked, self._counters)
        super().__init__(Flows(checked, self._io, self._counters))
        self._table = self._flows.table
        self._batch.on_first = self._flush_soon
        remember_client(self)

    @property
    def stats(self) -> Stats:
        """Counters for whoever watches the program."""
        return self._counters.stats(self._io.pending_count)

    async def get_host(
        self,
        mod_id: int,
        cmd_id: int,
        key: Optional[options.Key] = None,
        deadline_ms: Optional[float] = None,
        first_route_ms: Optional[float] = None,
    ) -> Host:
        """The next node of a module; see :meth:`lars.Client.get_host`."""
        if key is None:
            # The way of nearly all picks, as short as it can be.
            table = self._table
            if monotonic() < table.turns_until_s:
                try:
                    return next(table.turns[mod_id][cmd_id])
                except KeyError:
                    pass  # not looked at yet, or not lately
            found = table.pick(mod_id, cmd_id) if table.is_usable else None
            if found is not None:
                if isinstance(found, Host):
                    return found
                raise OverloadError(mod_id, cmd_id)
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        pick = Settings.pick(deadline_ms, first_route_ms, key)
        return await self._io.run(self._flows.get_host(mod_id, cmd_id, pick))

    async def try_get_host(
        self,
        mod_id: int,
        cmd_id: int,
        *,
        key: Optional[options.Key] = None,
        deadline_ms: Optional[float] = None,
    ) -> HostAnswer:
        """Like ``get_host``, at once, and with the return codes of the original for errors."""
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        pick = Settings.pick(deadline_ms, None, key)
        return await self._io.run(self._flows.try_get_host(mod_id, cmd_id, pick))

    async def get_route(
        self, mod_id: int, cmd_id: int, *, deadline_ms: Optional[float] = None
    ) -> List[Host]:
        """Every node of a module, overloaded ones too; none when there is no such module."""
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        limit_ms = None if deadline_ms is None else options.check_deadline(deadline_ms)
        return await self._io.run(self._flows.get_route(mod_id, cmd_id, limit_ms))

    async def explain(
        self, mod_id: int, cmd_id: int, *, deadline_ms: Optional[float] = None
    ) -> Optional[Dict[str, Any]]:
        """Why which node is picked; see :meth:`lars.Client.explain`."""
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        limit_ms = None if deadline_ms is None else options.check_deadline(deadline_ms)
        return await self._io.run(self._flows.explain(mod_id, cmd_id, limit_ms))

    async def reg_init(self, mod_id: int, cmd_id: int) -> RetCode:
        """Fetches the route of a module when a program starts; see :meth:`lars.Client.reg_init`."""
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        return await self._io.run(self._flows.reg_init(mod_id, cmd_id))

    async def call(
        self,
        mod_id: int,
        cmd_id: int,
        fn: Callable[[Attempt], Union[T, Awaitable[T]]],
        *,
        key: Optional[options.Key] = None,
        deadline_ms: Optional[float] = None,
        first_route_ms: Optional[float] = None,
        retries: int = 0,
        timeout_ms: Optional[float] = None,
        is_retryable: Optional[Callable[[Exception, Host], bool]] = None,
        retcode_of: Optional[Callable[[Exception, Host], Optional[int]]] = None,
    ) -> T:
        """Picks a node, awaits ``fn`` with it, and reports; see :meth:`lars.Client.call`.

        When ``timeout_ms`` are over the running try is cancelled and counts as a failure of its
        node, and the call ends with a TimeoutError. A try that is cancelled from outside is not
        reported: that says nothing about the node.
        """
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        pick = Settings.pick(deadline_ms, first_route_ms, key)
        retry = options.RetryOptions(
            options.check_whole("retries", retries, 0, options.RETRIES_MAX),
            options.check_timeout(timeout_ms),
            is_retryable,
            retcode_of,
        )
        result: T = await self._io.run(self._flows.call(mod_id, cmd_id, fn, pick, retry))
        return result

    async def close(self) -> None:
        """Ends questions under way with a ClosedError, and closes. May be repeated."""
        self._flows.is_closed = True
        self._table.close()
        self._batch.close()
        self._io.close()

    def _flush_soon(self) -> None:
        """A first outcome waits."""
        try:
            loop = asyncio.get_running_loop()
            loop.call_later(BATCH_MS / 1000, _Flush(self._batch))
        except RuntimeError:
            self._batch.flush()  # reported from outside of a loop

    def before_fork(self) -> None:
        """What waits is sent: a child has nothing of it."""
        self._batch.flush()

    def after_fork(self) -> None:
        """In a child: numbers and locks of its own; its loop brings new sockets."""
        self._counters.after_fork()
        self._flows.after_fork()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()
