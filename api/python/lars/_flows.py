# Core. What both clients do alike, step by step: picks, first routes, stand-ins, calls with retries.
from __future__ import annotations

import json
import math
import threading
from typing import Any, Callable, Dict, Generator, List, Optional, Set, TypeVar

from . import _wire
from ._batch import TIME_UNKNOWN, Batch
from ._call import Attempt
from ._effects import Ask, Effect, Io, Run, Sleep
from ._errors import (
    AgentError,
    ClosedError,
    ConnectError,
    LarsError,
    NoRouteError,
    OverloadError,
    ProtocolError,
    TimeoutError,
)
from ._first_route import FirstRoutes, is_absent
from ._host import Host, HostAnswer, RetCode, parse_ipv4, port_index
from ._last_good import LastGood
from ._mapping import Refusal, TableReader
from ._options import (
    PickOptions,
    RetryOptions,
    check_id,
    check_retcode,
    check_timecost,
    check_whole,
)
from ._outcome import OTHER, SUCCESS, retcode_of
from ._question import ExplainQuestion, HelloQuestion, HostQuestion, RouteQuestion
from ._retry_budget import RetryBudgets
from ._settings import Settings
from ._stats import Counters

T = TypeVar("T")

#: The original tries this often to get the first route of a module, with pauses between.
_REG_INIT_TRIES = 3
_REG_INIT_PAUSE_MS = 50.0
#: Picks made to find a node that was not tried yet; with fewer nodes a known one comes back.
_PICKS_MAX = 8
#: An agent that did not answer is not waited for again for so long, where an old table stands in.
_SILENT_MS = 1000.0

#: A flow gives effects, is given what came of them, and returns its result.
Flow = Generator[Effect, Any, T]


class Flows:
    """The steps of one client. Safe for threads; does no I/O but by `io`."""

    def __init__(self, settings: Settings, io: Io, counters: Counters) -> None:
        self.io = io
        self.batch = Batch(counters, settings.secret_for)
        self.table = TableReader(
            settings.table_path, self.batch, settings.ports[0], self._on_table_left
        )
        #: Until then the agent is not waited for, where an old table can stand in.
        self._silent_until_ms = -math.inf
        self.is_closed = False
        self._settings = settings
        self._counters = counters
        self._lock = threading.Lock()
        self.last_good = LastGood(settings.last_good_ms)
        self._budgets = RetryBudgets(settings.retry_share, settings.retry_floor_per_second)
        self._first_routes = FirstRoutes(self, io.now_ms)
        #: Ports of the agent that have said Hello.
        self._greeted: Set[int] = set()

    def after_fork(self) -> None:
        """A thread that does not exist in the child may have held the lock, or asked for a route."""
        self._lock = threading.Lock()
        self._first_routes = FirstRoutes(self, self.io.now_ms)
        self.batch.after_fork()
        self.table.after_fork()

    def _on_table_left(self, mod_id: int, cmd_id: int, hosts: List[Host]) -> None:
        with self._lock:
            self.last_good.fill(mod_id, cmd_id, hosts, self.io.now_ms())

    # ---- picks

    def try_get_host(self, mod_id: int, cmd_id: int, options: PickOptions) -> Flow[HostAnswer]:
        """From the table, or one question; a node named earlier when the agent does not answer."""
        if self.is_closed:
            return HostAnswer(RetCode.SYSTEM_ERROR, error=ClosedError())
        found = self._from_table(mod_id, cmd_id, options.key)
        if found is not None:
            return found
        deadline_ms = options.deadline_ms or self._settings.deadline_ms
        if self.io.now_ms() < self._silent_until_ms:
            old = self._stand_in(mod_id, cmd_id, silent_error(self._settings))
            if old.host is not None:
                return old
        try:
            reply: _wire.HostReply = yield Ask(
                HostQuestion(mod_id, cmd_id, options.key), deadline_ms
            )
        except LarsError as error:
            return self._stand_in(mod_id, cmd_id, error)
        self._silent_until_ms = -math.inf
        self.table.forget_old()
        with self._lock:
            # That there is no node takes nothing away: an agent that has just started says so of
            # every module whose route has not come yet.
            if reply.host is not None:
                self.last_good.remember(mod_id, cmd_id, reply.host, self.io.now_ms())
        return HostAnswer(reply.retcode, reply.host)

    def _from_table(
        self, mod_id: int, cmd_id: int, key: Optional[bytes]
    ) -> Optional[HostAnswer]:
        if key is None:
            found = self.table.pick(mod_id, cmd_id)
        else:
            found = self.table.pick_keyed(mod_id, cmd_id, key)
        if found is None:
            return None
        if isinstance(found, Refusal):
            return HostAnswer(RetCode.OVERLOAD)
        return HostAnswer(RetCode.SUCCESS, found)

    def _stand_in(self, mod_id: int, cmd_id: int, error: LarsError) -> HostAnswer:
        host = None
        if isinstance(error, (TimeoutError, ConnectError)) and self.last_good.is_on:
            now_ms = self.io.now_ms()
            with self._lock:
                host = self.table.pick_old(
                    mod_id, cmd_id, lambda one: self.last_good.rests(mod_id, cmd_id, one, now_ms)
                )
                if host is None:
                    host = self.last_good.next(mod_id, cmd_id, now_ms)
                else:
                    # One that is known can be judged: the next pick passes it over when it fails.
                    if not self.last_good.knows(mod_id, cmd_id, host):
                        self.last_good.remember(mod_id, cmd_id, host, now_ms)
                    if not isinstance(error, _SilentError):
                        self._silent_until_ms = now_ms + _SILENT_MS
        if host is None:
            return HostAnswer(RetCode.SYSTEM_ERROR, error=error)
        self._counters.add("stale")
        return HostAnswer(RetCode.SUCCESS, host.as_stale(), error)

    def get_host(self, mod_id: int, cmd_id: int, options: PickOptions) -> Flow[Host]:
        """A node, or the error that says why not; waits for the first route of a module."""
        started_ms = self.io.now_ms()
        answer = yield from self.try_get_host(mod_id, cmd_id, options)
        if is_absent(answer):
            again = yield from self._pick_again(mod_id, cmd_id, options, started_ms)
            answer = again or answer
        if answer.host is not None:
            self._first_routes.arrived(mod_id, cmd_id)
            return answer.host
        if answer.error is not None:
            raise answer.error
        if answer.retcode == RetCode.OVERLOAD:
            raise OverloadError(mod_id, cmd_id)
        if answer.retcode == RetCode.NO_EXIST:
            raise NoRouteError(mod_id, cmd_id)
        raise AgentError(mod_id, cmd_id, answer.retcode)

    def _pick_again(
        self, mod_id: int, cmd_id: int, options: PickOptions, started_ms: float
    ) -> Flow[Optional[HostAnswer]]:
        """Picks once more when the first route has come; None: nobody waits for it."""
        named_ms = options.deadline_ms or self._settings.named_deadline_ms or math.inf
        wished_ms = options.first_route_ms
        if wished_ms is None:
            wished_ms = self._settings.first_route_ms
        if wished_ms == 0:
            return None
        end_ms = started_ms + min(wished_ms, named_ms)
        if not (yield from self._first_routes.wait(mod_id, cmd_id, end_ms)):
            return None
        if named_ms == math.inf:
            return (yield from self.try_get_host(mod_id, cmd_id, options))
        left_ms = started_ms + named_ms - self.io.now_ms()
        if left_ms <= 0:
            return None
        rest = PickOptions(left_ms, options.first_route_ms, options.key)
        return (yield from self.try_get_host(mod_id, cmd_id, rest))

    # ---- reports

    def report(
        self,
        mod_id: int,
        cmd_id: int,
        ip: str,
        port: int,
        retcode: int,
        timecost_ms: Optional[float],
    ) -> None:
        """Tells the agent how a call went; it does not answer."""
        mod_id = check_id("mod_id", mod_id)
        cmd_id = check_id("cmd_id", cmd_id)
        address = parse_ipv4(ip)
        check_whole("Port", port, 1, 65535)
        check_retcode(retcode)
        whole_ms = check_timecost(timecost_ms)
        if self.is_closed:
            raise ClosedError()
        if retcode != SUCCESS or self.last_good.has_failures:
            with self._lock:
                is_well = retcode == SUCCESS
                self.last_good.judge(mod_id, cmd_id, ip, port, is_well, self.io.now_ms())
                if self.last_good.has_failures:
                    self.batch.forget_plain()
        if self.table.is_usable:
            node = address | port << 32
            if not self.last_good.has_failures and not self.batch.failing:
                self.batch.address_is_plain(ip, address)
            time_ms = TIME_UNKNOWN if whole_ms is None else whole_ms
            self.batch.add(mod_id, cmd_id, node, retcode, time_ms)
            return
        datagram = _wire.report_request(mod_id, cmd_id, address, port, retcode, whole_ms)
        self.io.send(port_index(mod_id, cmd_id), datagram)

    # ---- routes and explanations

    def get_route(
        self, mod_id: int, cmd_id: int, deadline_ms: Optional[float]
    ) -> Flow[List[Host]]:
        """Every node of a module."""
        if self.is_closed:
            raise ClosedError()
        question = RouteQuestion(mod_id, cmd_id)
        hosts: List[Host] = yield Ask(question, deadline_ms or self._settings.deadline_ms)
        return hosts

    def reg_init(self, mod_id: int, cmd_id: int) -> Flow[RetCode]:
        """Three tries at the route, 50 ms apart, as the original does."""
        answered = False
        for attempt in range(_REG_INIT_TRIES):
            if attempt > 0:
                yield Sleep(_REG_INIT_PAUSE_MS)
            try:
                if (yield from self.get_route(mod_id, cmd_id, None)):
                    return RetCode.SUCCESS
                answered = True
            except ClosedError:
                raise
            except LarsError:
                pass
        return RetCode.NO_EXIST if answered else RetCode.SYSTEM_ERROR

    def explain(
        self, mod_id: int, cmd_id: int, deadline_ms: Optional[float]
    ) -> Flow[Optional[Dict[str, Any]]]:
        """Why is which node picked? Asks page by page; None when the module is not known."""
        if self.is_closed:
            raise ClosedError()
        limit_ms = deadline_ms or self._settings.deadline_ms
        yield from self._greet(mod_id, cmd_id, limit_ms)
        whole: Optional[Dict[str, Any]] = None
        nodes: List[Any] = []
        while True:
            page: _wire.ExplainReply = yield Ask(
                ExplainQuestion(mod_id, cmd_id, len(nodes)), limit_ms
            )
            explanation = _read_explanation(page.explanation)
            if explanation is None:
                return None
            whole = whole or explanation
            module = explanation.get("module") or {"nodes": [], "nodeCount": 0}
            nodes += module["nodes"]
            # The route may shrink between two pages; then the next one is empty.
            if not module["nodes"] or len(nodes) >= module["nodeCount"]:
                break
        if whole.get("module"):
            whole["module"]["nodes"] = nodes
            whole["module"].pop("nodeCount")
        return whole

    def _greet(self, mod_id: int, cmd_id: int, deadline_ms: float) -> Flow[None]:
        """Our own messages are for an agent that has said Hello; it is asked once for each port."""
        index = port_index(mod_id, cmd_id)
        if index not in self._greeted:
            yield Ask(HelloQuestion(mod_id, cmd_id), deadline_ms)
            self._greeted.add(index)

    # ---- calls

    def call(
        self,
        mod_id: int,
        cmd_id: int,
        fn: Callable[[Attempt], Any],
        pick: PickOptions,
        options: RetryOptions,
    ) -> Flow[Any]:
        """Picks a node, runs `fn`, reports the outcome, and does so again as options allow it."""
        end_ms = self.io.now_ms() + options.timeout_ms
        host = yield from self._pick(mod_id, cmd_id, pick, end_ms)
        tried: List[Host] = []
        if options.retries > 0:
            with self._lock:
                self._budgets.of(mod_id, cmd_id).add_call(self.io.now_ms())
        while True:
            attempt = Attempt(host, len(tried), end_ms, self.io.now_ms)
            started_ms = self.io.now_ms()
            try:
                result = yield Run(fn, attempt)
                if self.io.now_ms() >= end_ms:
                    raise _late_call(options.timeout_ms, host)
            except Exception as error:  # whatever the caller's function raises is an outcome
                if self.io.now_ms() >= end_ms and not isinstance(error, TimeoutError):
                    error = _late_call(options.timeout_ms, host, error)
                retcode = _failed_code(error, host, options)
                self._report_try(mod_id, cmd_id, host, retcode, started_ms)
                tried.append(host)
                is_final = (
                    retcode == SUCCESS
                    or len(tried) > options.retries
                    or self.io.now_ms() >= end_ms
                    or (options.is_retryable and not options.is_retryable(error, host))
                )
                if is_final:
                    raise error
                again = yield from self._next_try(mod_id, cmd_id, pick, end_ms, tried)
                if again is None:
                    raise error
                host = again
            else:
                self._report_try(mod_id, cmd_id, host, SUCCESS, started_ms)
                return result

    def _pick(
        self, mod_id: int, cmd_id: int, pick: PickOptions, end_ms: float
    ) -> Flow[Host]:
        """Asks for a node; the question does not outlast the call."""
        left_ms = max(1.0, end_ms - self.io.now_ms())
        if left_ms == math.inf:
            return (yield from self.get_host(mod_id, cmd_id, pick))
        deadline_ms = pick.deadline_ms or self._settings.deadline_ms
        first_route_ms = pick.first_route_ms
        if first_route_ms is None:
            first_route_ms = self._settings.first_route_ms
        # A deadline that is named ends the wait for a first route too, so none is without need.
        is_named = pick.deadline_ms is not None or left_ms < deadline_ms
        own = PickOptions(
            min(deadline_ms, left_ms) if is_named else None,
            min(first_route_ms, left_ms),
            pick.key,
        )
        return (yield from self.get_host(mod_id, cmd_id, own))

    def _report_try(
        self, mod_id: int, cmd_id: int, host: Host, retcode: int, started_ms: float
    ) -> None:
        # The outcome of the call matters more than that nobody can be told.
        if self.is_closed:
            return
        timecost_ms = int(max(0.0, self.io.now_ms() - started_ms) + 0.5)
        self.report(mod_id, cmd_id, host.ip, host.port, retcode, timecost_ms)

    def _next_try(
        self, mod_id: int, cmd_id: int, pick: PickOptions, end_ms: float, tried: List[Host]
    ) -> Flow[Optional[Host]]:
        """Another node, when the budget allows it and there is one."""
        # The budget first: when it is spent, looking for another node would be load for nothing.
        with self._lock:
            may = self._budgets.of(mod_id, cmd_id).take(self.io.now_ms())
        if not may:
            self._counters.add("retries_refused")
            return None
        # The key names one node: whoever looks for another one does so without it.
        own = PickOptions(pick.deadline_ms, 0.0, None)
        host = yield from self._another(mod_id, cmd_id, own, end_ms, tried)
        if host is None:
            with self._lock:
                self._budgets.of(mod_id, cmd_id).give_back(self.io.now_ms())
            return None
        self._counters.add("retried")
        return host

    def _another(
        self, mod_id: int, cmd_id: int, pick: PickOptions, end_ms: float, tried: List[Host]
    ) -> Flow[Optional[Host]]:
        """A node that was not tried yet, else one that was not the last; None when there is none."""
        addresses = [host.address for host in tried]
        known: Optional[Host] = None
        for _ in range(_PICKS_MAX):
            try:
                host = yield from self._pick(mod_id, cmd_id, pick, end_ms)
            except LarsError:
                return known
            if host.address not in addresses:
                return host
            if host.address != addresses[-1]:
                known = host
        return known


class _SilentError(TimeoutError):
    """The agent did not answer a moment ago, and was not asked now."""


def silent_error(settings: Settings) -> TimeoutError:
    """Why a node stands in without a question."""
    address = settings.address_of(0)
    return _SilentError(f"No answer from the agent at {address} a moment ago: is it running?", 0)


def _failed_code(error: Exception, host: Host, options: RetryOptions) -> int:
    """The code to report for a try that failed; what the caller says must not make it a success."""
    named = options.retcode_of(error, host) if options.retcode_of else None
    is_code = isinstance(named, int) and named != 0 and -0x80000000 <= named <= 0x7FFFFFFF
    code = named if is_code and named is not None else retcode_of(error)
    return code if -0x80000000 <= code <= 0x7FFFFFFF else OTHER


def _late_call(timeout_ms: float, host: Host, cause: Optional[Exception] = None) -> TimeoutError:
    """The time of the call was over before its outcome, whatever that was."""
    message = f"No outcome of the call in {timeout_ms:.0f} ms; the last node was {host.address}"
    error = TimeoutError(message, timeout_ms)
    error.__cause__ = cause
    return error


def _read_explanation(text: str) -> Optional[Dict[str, Any]]:
    """One page; None when the agent does not know the module."""
    if text == "":
        return None
    try:
        value: Dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ProtocolError(f"Explanation must be JSON: {error}") from error
    module = value.get("module") if isinstance(value, dict) else None
    good = isinstance(value, dict) and isinstance(value.get("state"), str)
    if good and module is not None:
        good = isinstance(module.get("nodes"), list) and isinstance(module.get("nodeCount"), int)
    if not good:
        raise ProtocolError("Explanation must have a state, and nodes with their number")
    return value
