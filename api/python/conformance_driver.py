# Shell. The driver of the Python clients: commands as lines, see api/conformance/README.md.
"""``conformance_driver.py`` drives Client, ``conformance_driver.py asyncio`` drives AsyncClient."""
from __future__ import annotations

import asyncio
import inspect
import os
import pathlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Optional

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import lars  # noqa: E402 - it lies beside this file

_THREADS_MAX = 64
#: Calls that each thread of `load` makes at least, however late it is.
_LOAD_CALLS_MIN = 20

#: The first class that fits names the error.
_ERROR_WORDS = (
    (lars.OverloadError, "overload"),
    (lars.NoRouteError, "no_route"),
    (lars.NoAgentError, "no_agent"),
    (lars.TimeoutError, "timeout"),
    (lars.ConnectError, "connect"),
    (lars.AgentError, "agent"),
    (lars.LimitError, "limit"),
    (lars.ClosedError, "closed"),
    (ValueError, "range"),
)


class NodeFailure(Exception):
    """The function of ``call`` raises it for a node that is to fail."""


def error_words(error: Exception) -> str:
    for kind, word in _ERROR_WORDS:
        if isinstance(error, kind):
            return f"error {word}"
    raise error


def number(text: str) -> Any:
    """A whole number where it is one."""
    return float(text) if "." in text else int(text)


class Words:
    """The words of a command after its name."""

    def __init__(self, words: List[str]) -> None:
        self.plain = [word for word in words if "=" not in word]
        self.named = dict(word.split("=", 1) for word in words if "=" in word)

    @property
    def module(self) -> "tuple[int, int]":
        return int(self.plain[0]), int(self.plain[1])

    def numbers(self, **names: str) -> Dict[str, Any]:
        """The named numbers that are there, by the names of options."""
        return {
            option: number(self.named[name]) for option, name in names.items() if name in self.named
        }

    def pick(self, *names: str) -> Dict[str, Any]:
        options = self.numbers(**{name: name for name in names})
        if "key" in self.named:
            options["key"] = bytes.fromhex(self.named["key"])
        return options

    def list(self, name: str) -> List[str]:
        return self.named[name].split(",") if name in self.named else []


def host_words(host: lars.Host) -> str:
    words = ["host", host.address]
    if host.weight is not None:
        words.append(f"weight={host.weight}")
    if host.zone is not None:
        words.append(f"zone={host.zone.encode().hex()}")
    if host.stale:
        words.append("stale")
    return " ".join(words)


class LoadCounts:
    """What `load` saw."""

    def __init__(self) -> None:
        self.ok = self.stale = self.failed = 0
        self.longest_ms = 0.0
        self.nodes: Dict[str, int] = {}
        self.lock = threading.Lock()

    def add(self, host: Optional[lars.Host], took_ms: float) -> None:
        with self.lock:
            self.longest_ms = max(self.longest_ms, took_ms)
            if host is None:
                self.failed += 1
                return
            if host.stale:
                self.stale += 1
            else:
                self.ok += 1
            self.nodes[host.address] = self.nodes.get(host.address, 0) + 1

    def words(self) -> str:
        seen = ",".join(sorted(self.nodes))
        most = max(self.nodes, key=lambda node: self.nodes[node], default="")
        return (
            f"load ok={self.ok} stale={self.stale} failed={self.failed} "
            f"longest_ms={int(self.longest_ms) + 1} nodes={seen} most={most}"
        )


class Driver:
    """The commands; each may wait, and several may run at once."""

    def __init__(self, is_async: bool) -> None:
        self._kind: Any = lars.AsyncClient if is_async else lars.Client
        self._client: Any = self._kind()
        self.is_async = is_async
        self.features = "threads table"
        if not is_async:
            self.features += " fork"

    async def answer(self, name: str, words: Words) -> str:
        command: Optional[Callable[[Words], Any]] = getattr(self, f"do_{name}", None)
        if command is None:
            return "unsupported"
        try:
            return await command(words)
        except Exception as error:  # told by its name
            return error_words(error)

    async def _value(self, value: Any) -> Any:
        return await value if inspect.isawaitable(value) else value

    async def do_open(self, words: Words) -> str:
        options = words.numbers(
            deadline_ms="deadline_ms",
            first_route_ms="first_route_ms",
            last_good_ms="last_good_ms",
            retry_share="retry_share",
            retry_floor_per_second="retry_floor",
        )
        if "table" in words.named:
            options["shared_table"] = words.named["table"]
        if "host" in words.named:
            options["hostname"] = words.named["host"]
        if "token" in words.named:
            options["token"] = words.named["token"].encode()
        self._client = self._kind(port=[int(port) for port in words.list("ports")], **options)
        return "ok"

    async def do_get_host(self, words: Words) -> str:
        options = words.pick("deadline_ms", "first_route_ms")
        return host_words(await self._value(self._client.get_host(*words.module, **options)))

    async def do_try_get_host(self, words: Words) -> str:
        options = words.pick("deadline_ms")
        answer = await self._value(self._client.try_get_host(*words.module, **options))
        return f"code {int(answer.retcode)}" if answer.host is None else host_words(answer.host)

    async def do_report(self, words: Words) -> str:
        ip, port, retcode, *cost = words.plain[2:]
        costs = [number(one) for one in cost]
        self._client.report(*words.module, ip, int(port), int(retcode), *costs)
        return "ok"

    async def do_get_route(self, words: Words) -> str:
        options = words.pick("deadline_ms")
        hosts = await self._value(self._client.get_route(*words.module, **options))
        return " ".join(["route", *(host.address for host in hosts)])

    async def do_reg_init(self, words: Words) -> str:
        return f"code {int(await self._value(self._client.reg_init(*words.module)))}"

    async def do_call(self, words: Words) -> str:
        bad = words.list("bad")
        tries = 0
        took_s = float(words.named.get("took_ms", 0)) / 1000

        def judge(node: lars.Attempt) -> lars.Host:
            if node.address in bad:
                raise NodeFailure
            return node.host

        def in_thread(node: lars.Attempt) -> lars.Host:
            nonlocal tries
            tries += 1
            time.sleep(took_s)
            return judge(node)

        async def on_loop(node: lars.Attempt) -> lars.Host:
            nonlocal tries
            tries += 1
            await asyncio.sleep(took_s)
            return judge(node)

        options = words.pick("deadline_ms", "first_route_ms", "retries", "timeout_ms")
        if "bad_code" in words.named:
            options["retcode_of"] = lambda _error, _host: int(words.named["bad_code"])
        try:
            fn = on_loop if self.is_async else in_thread
            host = await self._value(self._client.call(*words.module, fn, **options))
            return f"called {host.address} tries={tries}"
        except NodeFailure:
            return f"failed tries={tries}"
        except Exception as error:  # told by its name
            return f"{error_words(error)} tries={tries}"

    async def do_explain(self, words: Words) -> str:
        explanation = await self._value(self._client.explain(*words.module))
        if explanation is None:
            return "none"
        return f"json nodes={len(explanation['module']['nodes'])}"

    async def do_load(self, words: Words) -> str:
        counts = LoadCounts()
        bad = words.list("bad")
        end_s = time.monotonic() + int(words.named.get("ms", 0)) / 1000
        pause_s = float(words.named.get("pause_ms", 1)) / 1000

        async def loop() -> None:
            calls = 0
            while calls < _LOAD_CALLS_MIN or time.monotonic() < end_s:
                calls += 1
                start_s = time.monotonic()
                answer = await self._value(self._client.try_get_host(*words.module))
                host = answer.host
                counts.add(host, (time.monotonic() - start_s) * 1000)
                if host is not None:
                    retcode = 111 if host.address in bad else 0
                    self._client.report(*words.module, host.ip, host.port, retcode, 1)
                if self.is_async:
                    await asyncio.sleep(pause_s)
                else:
                    time.sleep(pause_s)

        count = int(words.named.get("threads", 1))
        if self.is_async:
            await asyncio.gather(*(loop() for _ in range(count)))
        else:
            threads = [threading.Thread(target=asyncio.run, args=(loop(),)) for _ in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return counts.words()

    async def do_fork(self, words: Words) -> str:
        if self.is_async:
            return "unsupported"
        picks = int(words.named["picks"])
        reader, writer = os.pipe()
        child = os.fork()
        good = sum(self._client.get_host(*words.module) is not None for _ in range(picks))
        late = self._client.stats.late
        if child == 0:
            os.write(writer, f"{good} {late}".encode())
            os._exit(0)
        os.close(writer)
        child_good, child_late = os.read(reader, 100).decode().split()
        os.close(reader)
        os.waitpid(child, 0)
        return f"forked parent={good} child={child_good} late={late + int(child_late)}"

    async def do_stats(self, words: Words) -> str:
        counts = vars(self._client.stats)
        return " ".join(["stats", *(f"{name}={value}" for name, value in counts.items())])

    async def do_close(self, words: Words) -> str:
        await self._value(self._client.close())
        return "ok"


def respond(line_id: str, result: str) -> None:
    """One line, whole."""
    sys.stdout.write(f"{line_id} {result}\n")
    sys.stdout.flush()


def parse(line: str) -> "tuple[str, str, Words]":
    line_id, name, *words = line.split()
    return line_id, name, Words(words)


def drive_threads(driver: Driver) -> None:
    def work(line: str) -> None:
        line_id, name, words = parse(line)
        respond(line_id, asyncio.run(driver.answer(name, words)))

    with ThreadPoolExecutor(_THREADS_MAX) as pool:
        for line in sys.stdin:
            pool.submit(work, line)


async def drive_loop(driver: Driver) -> None:
    async def work(line: str) -> None:
        line_id, name, words = parse(line)
        respond(line_id, await driver.answer(name, words))

    tasks = set()
    while True:
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        if not line:
            break
        task = asyncio.ensure_future(work(line))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def main() -> None:
    driver = Driver("asyncio" in sys.argv[1:])
    respond("driver", f"1 {driver.features}")
    if driver.is_async:
        asyncio.run(drive_loop(driver))
    else:
        drive_threads(driver)


if __name__ == "__main__":
    main()
