# Shell. The client for threads: asks the agent for nodes and tells it how the calls went.
from __future__ import annotations

import threading
import time
from time import monotonic
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Type, TypeVar

from . import _options as options
from ._batch import FlushThread
from ._call import Attempt
from ._effects import Ask, Effect, Latch, Run, Sleep, Wait
from ._errors import OverloadError
from ._flows import Flow, Flows
from ._fork import remember_client
from ._host import Host, HostAnswer, RetCode
from ._reports import Reports
from ._settings import Settings
from ._stats import Counters, Stats
from ._udp import Lines, now_ms

T = TypeVar("T")


class _ThreadIo:
    """Does what flows want, waiting in the calling thread."""

    def __init__(self, settings: Settings, counters: Counters) -> None:
        self.lines = Lines(settings, counters)

    def now_ms(self) -> float:
        return now_ms()

    def send(self, port_index: int, datagram: bytes) -> None:
        self.lines.send(port_index, datagram)

    def new_latch(self) -> Latch:
        return threading.Event()

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Ask):
            return self.lines.ask(effect.question, effect.deadline_ms)
        if isinstance(effect, Run):
            return effect.fn(effect.attempt)
        if isinstance(effect, Sleep):
            return time.sleep(effect.ms / 1000)
        if isinstance(effect, Wait):
            return effect.latch.wait(effect.ms / 1000)
        raise TypeError(f"Effect must be a known one: it is {type(effect).__name__}")

    def run(self, flow: Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    value = self.perform(effect)
                except BaseException as error:  # the flow decides what becomes of it
                    effect = flow.throw(error)
                else:
                    effect = flow.send(value)
        except StopIteration as stop:
            result: T = stop.value
            return result


class Client(Reports):
    """A caller's side of Lars. Ask for a node, call it, report how it went::

        from lars import Client

        with Client() as client:
            host = client.get_host(1, 1)
            print("calling", host.address)
            client.report(1, 1, host.ip, host.port, 0, timecost_ms=12)

    or all three at once: ``client.call(1, 1, lambda node: fetch(node.ip, node.port))``.

    Making a client opens nothing: sockets are opened by the first question. One client serves a
    whole program: any thread may use it, and a forked child goes on with sockets of its own.

    Every method raises a ValueError when an argument is out of range, and a ClosedError when the
    client is closed.
    """

    def __init__(
        self,
        hostname: str = options.DEFAULT_HOSTNAME,
        port: options.Port = options.DEFAULT_PORT,
        **settings: Any,
    ) -> None:
        """
        :param hostname: where the agent is: it should run on this very host.
        :param port: first of the agent's three UDP ports, or all three of them.
        :param deadline_ms: time a question may take, more than 0 to 60000; 50 when left out.
        :param first_route_ms: how long ``get_host`` and ``call`` go on asking for the first route
            of a module, 0 to 60000; 1000 when left out.
        :param token: shared secret, 1 to 1024 bytes, for an agent that wants one.
        :param last_good_ms: for how long a node named earlier may stand in while the agent does
            not answer; no limit when left out, 0 never.
        :param pending_max: questions under way at once, 1 to 65536; 1024 when left out.
        :param retry_share: retries that a call with ``retries`` allows, 0 to 1; 0.2.
        :param retry_floor_per_second: retries allowed whatever the number of calls, 0 to 1000; 1.
        :param shared_table: path of the agent's table in shared memory; that of the agent on this
            host when left out, "" for none.
        :raises ValueError: when one is out of range.
        """
        checked = Settings(hostname, port, **settings)
        self._counters = Counters()
        self._io = _ThreadIo(checked, self._counters)
        super().__init__(Flows(checked, self._io, self._counters))
        self._flusher = FlushThread(self._batch)
        self._table = self._flows.table
        remember_client(self)

    @property
    def stats(self) -> Stats:
        """Counters for whoever watches the program."""
        return self._counters.stats(self._io.lines.busy_count)

    def get_host(
        self,
        mod_id: int,
        cmd_id: int,
        key: Optional[options.Key] = None,
        deadline_ms: Optional[float] = None,
        first_route_ms: Optional[float] = None,
    ) -> Host:
        """The next node of a module.

        :param key: calls of one key stay on one node, where the policy of the module heeds keys.
        :param deadline_ms: time the question may take; the wait for a first route then, too.
        :raises OverloadError: when every node is overloaded.
        :raises NoRouteError: when there is no node of the module.
        :raises TimeoutError: when the agent does not answer, and has named no node before.
        :raises ConnectError: when there was no agent to ask (NoAgentError), or no socket.
        :raises LimitError: when too many questions are under way.
        """
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
        return self._io.run(self._flows.get_host(mod_id, cmd_id, pick))

    def try_get_host(
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
        return self._io.run(self._flows.try_get_host(mod_id, cmd_id, pick))

    def get_route(
        self, mod_id: int, cmd_id: int, *, deadline_ms: Optional[float] = None
    ) -> List[Host]:
        """Every node of a module, overloaded ones too; none when there is no such module."""
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        limit_ms = None if deadline_ms is None else options.check_deadline(deadline_ms)
        return self._io.run(self._flows.get_route(mod_id, cmd_id, limit_ms))

    def explain(
        self, mod_id: int, cmd_id: int, *, deadline_ms: Optional[float] = None
    ) -> Optional[Dict[str, Any]]:
        """Why which node is picked: the agent's explanation; None for a module it does not know.

        :raises TimeoutError: also when the agent speaks the original protocol only.
        """
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        limit_ms = None if deadline_ms is None else options.check_deadline(deadline_ms)
        return self._io.run(self._flows.explain(mod_id, cmd_id, limit_ms))

    def reg_init(self, mod_id: int, cmd_id: int) -> RetCode:
        """Fetches the route of a module when a program starts; three tries, 50 ms apart.

        :returns: 0 when there are nodes, 3 when there are none, 2 when nobody could be asked.
        """
        mod_id = options.check_id("mod_id", mod_id)
        cmd_id = options.check_id("cmd_id", cmd_id)
        return self._io.run(self._flows.reg_init(mod_id, cmd_id))

    def call(
        self,
        mod_id: int,
        cmd_id: int,
        fn: Callable[[Attempt], T],
        *,
        key: Optional[options.Key] = None,
        deadline_ms: Optional[float] = None,
        first_route_ms: Optional[float] = None,
        retries: int = 0,
        timeout_ms: Optional[float] = None,
        is_retryable: Optional[Callable[[Exception, Host], bool]] = None,
        retcode_of: Optional[Callable[[Exception, Host], Optional[int]]] = None,
    ) -> T:
        """Picks a node, runs ``fn`` with it, and reports how it went and how long it took.

        What ``fn`` returns or raises passes through; an exception counts as a failure of the node.

        :param fn: takes an :class:`Attempt`: ``ip``, ``port``, and ``left_s``, the time left.
        :param retries: further nodes to try after a failure, 0 to 10, within the budget of this
            client. For calls that may be made twice.
        :param timeout_ms: time for the picks and all tries. A thread cannot be interrupted: ``fn``
            minds ``left_s``, and no further try begins when it is over.
        :param is_retryable: whether another node may do better after this exception.
        :param retcode_of: return code to report for an exception, where the caller knows more.
        :raises LarsError: what ``get_host`` raises, before ``fn`` is run.
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
        result: T = self._io.run(self._flows.call(mod_id, cmd_id, fn, pick, retry))
        return result

    def close(self) -> None:
        """Ends questions under way with a ClosedError, and closes. May be repeated."""
        self._flows.is_closed = True
        self._table.close()
        self._flusher.close()
        self._batch.close()
        self._io.lines.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self) -> None:
        io = getattr(self, "_io", None)
        if io is not None:
            io.lines.close()

    def before_fork(self) -> None:
        """What waits is sent: a child has nothing of it."""
        self._batch.flush()

    def after_fork(self) -> None:
        """In a child: sockets, numbers and locks of its own."""
        self._counters.after_fork()
        self._flows.after_fork()
        self._io.lines.after_fork()
        self._flusher.after_fork()
