# Test. The client for asyncio, against an agent whose answers the test decides.
from __future__ import annotations

import asyncio
import os
import unittest
from typing import List

import lars
from lars import _wire
from lars.aio import WINDOW_MAX

from .fake_agent import FakeAgent, Received, echo_node, host_response
from .test_client import until

PATIENT_MS = 20_000


class Questions(unittest.IsolatedAsyncioTestCase):
    async def test_many_at_once_get_each_their_own_answer(self) -> None:
        def by_command(question: Received) -> List[bytes]:
            return [host_response(question.seq, question.mod_id, question.cmd_id, question.cmd_id, 80)]

        with FakeAgent(by_command) as agent:
            async with lars.AsyncClient(port=agent.ports) as client:
                numbers = range(5 * WINDOW_MAX)
                hosts = await asyncio.gather(
                    *(client.get_host(1, number, deadline_ms=PATIENT_MS) for number in numbers)
                )
                self.assertEqual(
                    [host.ip for host in hosts], [f"0.0.{n >> 8}.{n & 255}" for n in numbers]
                )
                self.assertEqual(client.stats.pending, 0)

    async def test_a_window_keeps_questions_from_drowning_their_answers(self) -> None:
        with FakeAgent(lambda _: []) as agent:
            async with lars.AsyncClient(port=agent.ports) as client:
                waiting = [
                    asyncio.ensure_future(client.get_route(1, 1, deadline_ms=PATIENT_MS))
                    for _ in range(WINDOW_MAX + 50)
                ]
                while len(agent.received) < WINDOW_MAX:
                    await asyncio.sleep(0.005)
                # One more socket proves that all there was to come has come.
                async with lars.AsyncClient(port=agent.ports) as other:
                    other.report(1, 1, "10.0.0.1", 80, 0)
                    while not agent.of(_wire.REPORT_REQUEST):
                        await asyncio.sleep(0.005)
                self.assertEqual(len(agent.of(_wire.GET_ROUTE_REQUEST)), WINDOW_MAX)
                await client.close()
                for outcome in await asyncio.gather(*waiting, return_exceptions=True):
                    self.assertIsInstance(outcome, lars.ClosedError)

    async def test_a_question_that_is_cancelled_leaves_nothing_behind(self) -> None:
        with FakeAgent(lambda _: []) as agent:
            async with lars.AsyncClient(port=agent.ports) as client:
                task = asyncio.ensure_future(client.get_host(1, 1, deadline_ms=PATIENT_MS))
                while not agent.received:
                    await asyncio.sleep(0.005)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertEqual(client.stats.pending, 0)
                agent.behave = echo_node
                self.assertEqual((await client.get_host(1, 1, deadline_ms=PATIENT_MS)).port, 80)

    async def test_a_name_is_looked_up_and_an_unknown_one_is_a_connect_error(self) -> None:
        with FakeAgent() as agent:
            async with lars.AsyncClient("localhost", agent.ports) as client:
                self.assertEqual((await client.get_host(1, 1, deadline_ms=PATIENT_MS)).port, 80)
        async with lars.AsyncClient("no-such-host.invalid", first_route_ms=0) as client:
            with self.assertRaises(lars.ConnectError):
                await client.get_host(1, 1)


class Calls(unittest.IsolatedAsyncioTestCase):
    async def test_time_that_is_over_cancels_the_function_and_blames_the_node(self) -> None:
        ends = []

        async def hang(_: lars.Attempt) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        with FakeAgent() as agent:
            async with lars.AsyncClient(port=agent.ports) as client:
                with self.assertRaises(lars.TimeoutError):
                    await client.call(1, 1, hang, timeout_ms=300, retries=3)
                while not ends:
                    await asyncio.sleep(0.005)
                until(lambda: agent.of(_wire.REPORT_REQUEST), "the report")
                self.assertIn(b"\x20\x6e\x28", agent.of(_wire.REPORT_REQUEST)[0].datagram)

    async def test_a_plain_function_will_do_as_well(self) -> None:
        with FakeAgent() as agent:
            async with lars.AsyncClient(port=agent.ports, deadline_ms=PATIENT_MS) as client:
                self.assertEqual(await client.call(1, 1, lambda node: node.port), 80)


class Loops(unittest.TestCase):
    def test_one_client_in_one_loop_after_the_other(self) -> None:
        with FakeAgent() as agent:
            client = lars.AsyncClient(port=agent.ports, deadline_ms=PATIENT_MS)
            for _ in range(2):
                self.assertEqual(asyncio.run(client.get_host(1, 1)).port, 80)
            child = os.fork()
            if child == 0:
                try:
                    os._exit(0 if asyncio.run(client.get_host(1, 1)).port == 80 else 1)
                except BaseException:
                    os._exit(2)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
            asyncio.run(client.close())


if __name__ == "__main__":
    unittest.main()
