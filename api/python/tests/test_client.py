# Test. The client for threads, against an agent whose answers the test decides.
from __future__ import annotations

import hmac
import os
import select
import struct
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import List

import lars
from lars import _wire
from lars._seal import SEAL_BYTES, Sealer
from lars._settings import Settings
from lars._stats import Counters
from lars._udp import ThreadLine

from .fake_agent import FakeAgent, Received, echo_node, host_response, route_response

PATIENT_MS = 20_000


def until(condition, what: str) -> None:
    """Waits for something to become true."""
    end_s = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end_s:
            raise AssertionError(f"{what} did not come")
        time.sleep(0.005)


class Questions(unittest.TestCase):
    def test_many_threads_get_each_their_own_answer(self) -> None:
        def by_command(question: Received) -> List[bytes]:
            return [host_response(question.seq, question.mod_id, question.cmd_id, question.cmd_id, 80)]

        with FakeAgent(by_command) as agent, lars.Client(port=agent.ports) as client:
            def pick(number: int) -> bool:
                host = client.get_host(1, number, deadline_ms=PATIENT_MS)
                return host.ip == f"0.0.{number >> 8}.{number & 255}"

            with ThreadPoolExecutor(32) as pool:
                self.assertTrue(all(pool.map(pick, range(2000))))
            self.assertEqual(client.stats.pending, 0)
            self.assertEqual(client.stats.garbage, 0)

    def test_questions_beyond_the_limit_are_refused(self) -> None:
        with FakeAgent(lambda _: []) as agent:
            client = lars.Client(port=agent.ports, pending_max=1)
            outcome = []

            def wait() -> None:
                try:
                    client.get_route(1, 1, deadline_ms=60_000)
                except lars.LarsError as error:
                    outcome.append(error)

            thread = threading.Thread(target=wait)
            thread.start()
            until(lambda: client.stats.pending == 1, "the question")
            with self.assertRaises(lars.LimitError):
                client.get_route(1, 1)
            client.close()
            thread.join(20)
            self.assertIsInstance(outcome[0], lars.ClosedError)

    def test_a_socket_that_cannot_be_had_is_a_connect_error(self) -> None:
        client = lars.Client("no-such-host.invalid", first_route_ms=0)
        with self.assertRaises(lars.ConnectError):
            client.get_host(1, 1)
        client.report(1, 1, "10.0.0.1", 80, 0)
        self.assertEqual(client.stats.dropped, 1)
        self.assertEqual(client.reg_init(1, 1), lars.RetCode.SYSTEM_ERROR)

    def test_a_refusal_does_not_eat_the_next_datagram(self) -> None:
        with FakeAgent() as agent:
            ports = agent.ports
        line = ThreadLine(Settings(port=ports), 2, Counters())
        self.assertTrue(line.send(_wire.get_route_request(1, 1)))

        # The news waits in the socket, and would be given to the next send instead of sending.
        poll = select.poll()
        poll.register(line.socket, 0)
        self.assertTrue(poll.poll(20_000), "the refusal")
        with FakeAgent(ports=ports) as agent:
            self.assertTrue(line.send(_wire.get_route_request(1, 1)))
            until(lambda: len(agent.received) == 1, "the datagram")
        line.close()


class Forks(unittest.TestCase):
    def test_a_child_has_sockets_and_numbers_of_its_own(self) -> None:
        with FakeAgent() as agent, lars.Client(port=agent.ports, deadline_ms=PATIENT_MS) as client:
            client.get_host(1, 1)
            before = {one.caller for one in agent.received}
            child = os.fork()
            if child == 0:
                try:
                    good = all(client.get_host(1, 1).port == 80 for _ in range(50))
                    os._exit(0 if good and client.stats.late == 0 else 1)
                except BaseException:
                    os._exit(2)
            for _ in range(50):
                self.assertEqual(client.get_host(1, 1).port, 80)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            self.assertEqual(client.stats.late, 0)
            self.assertEqual(len({one.caller for one in agent.received} - before), 1)

    def test_a_lock_held_by_another_thread_is_no_lock_in_the_child(self) -> None:
        with FakeAgent() as agent, lars.Client(port=agent.ports, deadline_ms=PATIENT_MS) as client:
            client.get_host(1, 1)
            with client._io.lines._lock, client._flows._lock, client._counters._lock:
                child = os.fork()
                if child == 0:
                    try:
                        os._exit(0 if client.get_host(1, 1).port == 80 else 1)
                    except BaseException:
                        os._exit(2)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)


class Calls(unittest.TestCase):
    def test_exceptions_pass_through_and_are_reported_with_their_kind(self) -> None:
        def refuse(_: lars.Attempt) -> None:
            raise ConnectionRefusedError

        with FakeAgent() as agent, lars.Client(port=agent.ports, deadline_ms=PATIENT_MS) as client:
            with self.assertRaises(ConnectionRefusedError):
                client.call(1, 1, refuse)
            until(lambda: agent.of(_wire.REPORT_REQUEST), "the report")
            body = agent.of(_wire.REPORT_REQUEST)[0].datagram[8:]
            self.assertIn(b"\x20\x6f\x28", body)  # field 4, 111, then the time

    def test_an_interrupt_says_nothing_about_the_node(self) -> None:
        def interrupt(_: lars.Attempt) -> None:
            raise KeyboardInterrupt

        with FakeAgent() as agent, lars.Client(port=agent.ports, deadline_ms=PATIENT_MS) as client:
            with self.assertRaises(KeyboardInterrupt):
                client.call(1, 1, interrupt)
            client.report(1, 1, "10.0.0.9", 80, 0)
            until(lambda: agent.of(_wire.REPORT_REQUEST), "the report")
            self.assertEqual(len(agent.of(_wire.REPORT_REQUEST)), 1)

    def test_what_is_left_of_the_time_is_told(self) -> None:
        with FakeAgent() as agent, lars.Client(port=agent.ports, deadline_ms=PATIENT_MS) as client:
            left = client.call(1, 1, lambda node: (node.left_s, node.number), timeout_ms=10_000)
            self.assertEqual(left[1], 0)
            self.assertTrue(0 < left[0] <= 10)
            self.assertEqual(client.call(1, 1, lambda node: node.left_ms), float("inf"))


class FirstRoute(unittest.TestCase):
    def test_one_thread_asks_for_all(self) -> None:
        empty_routes = threading.Semaphore(3)

        def late_route(question: Received) -> List[bytes]:
            if question.message_id == _wire.GET_ROUTE_REQUEST and empty_routes.acquire(blocking=False):
                return [route_response(question.mod_id, question.cmd_id, [])]
            if question.message_id == _wire.GET_HOST_REQUEST and empty_routes._value > 0:
                return [host_response(question.seq, question.mod_id, question.cmd_id, 0, 0, 3)]
            return echo_node(question)

        with FakeAgent(late_route) as agent, lars.Client(port=agent.ports) as client:
            with ThreadPoolExecutor(16) as pool:
                hosts = list(pool.map(lambda _: client.get_host(1, 1, first_route_ms=20_000), range(16)))
            self.assertEqual({host.address for host in hosts}, {"10.0.0.1:80"})
            self.assertLess(len(agent.of(_wire.GET_ROUTE_REQUEST)), 16)


class SealedAgent(unittest.TestCase):
    def test_datagrams_are_sealed_and_answers_must_be(self) -> None:
        secret = b"the shared secret"

        def answer(question: Received) -> List[bytes]:
            stamp = question.datagram[-SEAL_BYTES + 3 : -16]
            bare = host_response(question.seq, 1, 1, 0x0A000001, 80)
            size = struct.pack("<i", len(bare) - 8 + SEAL_BYTES)
            signed = bare[:4] + size + bare[8:] + b"\xfa\x01\x24" + stamp
            good = signed + hmac.new(secret, b"lars answer" + signed, "sha256").digest()[:16]
            forged = host_response(question.seq, 1, 1, 0x0A000066, 80)
            return [forged, good[:-1] + bytes((good[-1] ^ 1,)), good]

        with FakeAgent(answer) as agent:
            client = lars.Client(port=agent.ports, deadline_ms=PATIENT_MS, token=secret)
            self.assertIsNone(client._io.lines._settings.secret, "loopback wants no proof")
            client._io.lines._settings.secret = secret
            self.assertEqual(client.get_host(1, 1).ip, "10.0.0.1")
            self.assertEqual(client.stats.foreign, 2)
            datagram = agent.received[0].datagram
            mac = hmac.new(secret, b"lars question" + datagram[:-16], "sha256").digest()[:16]
            self.assertEqual(datagram[-16:], mac)
            self.assertNotEqual(Sealer(secret, os.urandom(8), lambda: 0).seal(b"12345678"), datagram)
            client.close()


if __name__ == "__main__":
    unittest.main()
