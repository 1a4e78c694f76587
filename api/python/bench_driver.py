# Shell. Measures the Python client by lines, see bench/README.md, "Programs of the languages".
from __future__ import annotations

import json
import multiprocessing
import pathlib
import socket
import sys
import time
from typing import Callable, Dict, List, Tuple

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lars import Client, LarsError  # noqa: E402 - it lies beside this file

#: Calls between two looks at the clock.
_CALLS_PER_LOOK = 1000

#: What one round of calls did: how many failed.
Round = Callable[[], int]


def pick_round(words: Dict[str, str], has_report: bool, is_udp: bool) -> Tuple[Round, Client]:
    """Each module once, in turn."""
    table = "" if is_udp else words["table"]
    client = Client(port=int(words["port"]), shared_table=table, deadline_ms=1000)
    modules = range(1, int(words["modules"]) + 1)
    get_host, report = client.get_host, client.report

    def go() -> int:
        failed = 0
        for module in modules:
            try:
                host = get_host(module, 1)
            except LarsError:
                failed += 1
                continue
            if has_report:
                report(module, 1, host.ip, host.port, 0, 1)
        return failed

    return go, client


def echo_round(words: Dict[str, str]) -> Round:
    """21 bytes there and back."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect(("127.0.0.1", int(words["echo"])))
    one.settimeout(1)
    message = bytes(21)

    def go() -> int:
        failed = 0
        for _ in range(_CALLS_PER_LOOK):
            one.send(message)
            try:
                one.recv(64)
            except socket.timeout:
                failed += 1
        return failed

    return go


def measure(words: Dict[str, str], mode: str, ms: int) -> Tuple[int, int, int, int]:
    """Calls, failed calls, and nanoseconds of wall and processor."""
    client = None
    calls_each = int(words["modules"])
    if mode == "echo":
        go, calls_each = echo_round(words), _CALLS_PER_LOOK
    else:
        go, client = pick_round(words, mode != "pick", mode == "udp")
    go()
    calls = failed = 0
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    while calls == 0 or time.perf_counter_ns() - wall < ms * 1_000_000:
        failed += go()
        calls += calls_each
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    if client is not None:
        client.close()
    return calls, failed, wall, cpu


def main() -> None:
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    for line in sys.stdin:
        mode, threads, ms = line.split()
        if mode not in ("pick", "table", "udp", "echo"):
            print(json.dumps({"mode": mode, "unsupported": True}), flush=True)
            continue
        jobs = [(words, mode, int(ms))] * int(threads)
        results: List[Tuple[int, int, int, int]]
        if len(jobs) == 1:
            results = [measure(*jobs[0])]
        else:
            with multiprocessing.Pool(len(jobs)) as pool:
                results = pool.starmap(measure, jobs)
        calls, failed, wall, cpu = (sum(one[at] for one in results) for at in range(4))
        answer = {
            "mode": mode,
            "threads": len(jobs),
            "calls": calls,
            "failed": failed,
            "ns": round(wall / calls, 1),
            "cpuNs": round(cpu / calls, 1),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
