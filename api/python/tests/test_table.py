# Test. Picks from a table in shared memory, and outcomes in batches.
from __future__ import annotations

import asyncio
import json
import math
import os
import pathlib
import struct
import tempfile
import threading
import time
import unittest
from typing import Dict, List, Tuple

import lars
from lars import _wire
from lars._batch import BATCH_RECORDS, BATCHED_REPORT, Batch, pack_record
from lars._mapping import REFUSAL, TableReader
from lars._stats import Counters
from lars._table import OUT, PROBE, REFUSED, Image, maglev_skip, module_hash, table_key

from .fake_agent import FakeAgent, Received
from .table_file import TableFile, entry
from .test_client import until

_VECTORS = pathlib.Path(__file__).parents[3] / "proto" / "shared_table_vectors.json"
PATIENT_MS = 20_000
Record = Tuple[int, int, int, int, int]


def records_of(agent: FakeAgent) -> List[Record]:
    """Every record of every batch that came, in order."""
    found: List[Record] = []
    for one in agent.of(BATCHED_REPORT):
        for number, kind, content in _wire.fields(one.datagram, 8, len(one.datagram)):
            if number == 3 and kind == 2:
                start, end = content  # type: ignore[misc]
                found += struct.iter_unpack("<IIQiI", one.datagram[start:end])  # type: ignore[arg-type]
    return found


def stop_sending(client: lars.Client) -> None:
    """From now on a batch is sent when it is full, or the client closes."""
    client._flusher.close()
    thread = client._flusher._thread
    if thread is not None:
        thread.join()
    client._flows.batch.flush()


def outcomes_of(agent: FakeAgent) -> List[Record]:
    """Records that are outcomes of calls."""
    return [one for one in records_of(agent) if one[2] >> 32 & 0xFFFF]


class Vectors(unittest.TestCase):
    def test_the_numbers_of_the_contract(self) -> None:
        vectors = json.loads(_VECTORS.read_text())
        for one in vectors["moduleHashes"]:
            self.assertEqual(module_hash(one["modId"], one["cmdId"]), one["hash"])
        for one in vectors["keys"]:
            key = table_key(bytes.fromhex(one["bytes"]))
            self.assertEqual((key, maglev_skip(key)), (one["tableKey"], one["maglevSkip"]))
        for one in vectors["entries"]:
            word = int(one["word"], 16)
            marks = (bool(word & PROBE), bool(word & OUT), bool(word & REFUSED))
            self.assertEqual(marks, (one["probe"], one["out"], one["refused"]))
            self.assertEqual(word >> 32 & 0xFFFF, one["port"])


class TableCase(unittest.TestCase):
    """With a folder for the file, and an agent that answers with 10.0.0.1:80."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "table")
        self.agent = FakeAgent()
        self.addCleanup(self.agent.close)

    def file(self, entries: "List[int] | None" = None) -> TableFile:
        table = TableFile(self.path, self.agent.ports[0])
        table.set_schedule(1, 1, entries or [entry(number, 80) for number in (1, 2, 3)])
        return table

    def reader(self) -> TableReader:
        return TableReader(self.path, Batch(Counters()), self.agent.ports[0])

    def client(self, **options: object) -> lars.Client:
        client = lars.Client(
            port=self.agent.ports, shared_table=self.path, deadline_ms=PATIENT_MS, **options
        )
        self.addCleanup(client.close)
        return client


class Picks(TableCase):
    def test_a_walk_through_the_schedule_from_any_place(self) -> None:
        self.file().write()
        starts = set()
        for _ in range(40):
            reader = self.reader()
            ips = [reader.pick(1, 1).ip for _ in range(6)]
            self.assertEqual(ips[:3], ips[3:])
            self.assertEqual(sorted(ips[:3]), ["0.0.0.1", "0.0.0.2", "0.0.0.3"])
            starts.add(ips[0])
        self.assertEqual(len(starts), 3, "callers do not walk in step")

    def test_what_the_table_does_not_have_is_asked_for(self) -> None:
        table = self.file()
        table.set_schedule(2, 1, [])
        table.write()
        client = self.client()
        self.assertEqual(client.get_host(1, 1).ip[:4], "0.0.")
        self.assertEqual(len(self.agent.of(_wire.GET_HOST_REQUEST)), 0)
        for module in ((9, 9), (2, 1)):
            self.assertEqual(client.get_host(*module).ip, "10.0.0.1")
        self.assertEqual(len(self.agent.of(_wire.GET_HOST_REQUEST)), 2)
        self.assertEqual(client.get_host(-1, 7).ip, "10.0.0.1")

    def test_a_refusal_is_overload_and_is_told(self) -> None:
        self.file([entry(0, 0, 4)]).write()
        client = self.client()
        for _ in range(2):
            with self.assertRaises(lars.OverloadError):
                client.get_host(1, 1)
        self.assertEqual(client.try_get_host(1, 1).retcode, lars.RetCode.OVERLOAD)
        client.close()
        until(lambda: [one[3] for one in records_of(self.agent)].count(1) == 3, "the refusals")

    def test_changes_in_place_are_seen_and_a_new_file_is_mapped(self) -> None:
        table = self.file()
        table.write()
        reader = self.reader()
        self.assertEqual(reader.pick(1, 1).port, 80)
        table.set_schedule(1, 1, [entry(7, 70)])
        table.rewrite()
        # What was read is kept for 5 ms at most, as this writer does not number its changes.
        time.sleep(0.005)
        self.assertEqual(reader.pick(1, 1).address, "0.0.0.7:70")
        newer = self.file([entry(8, 88)])
        newer.write()
        table.retire()
        # The old file has no name any more; a look finds the new one.
        until(lambda: reader.pick(1, 1).address == "0.0.0.8:88", "the new table")

    def test_a_retired_or_old_table_is_not_used(self) -> None:
        for wrong in ("retire", "old", "ahead"):
            table = self.file()
            table.write()
            client = self.client()
            self.assertEqual(client.get_host(1, 1).port, 80)
            if wrong == "retire":
                table.retire()
            else:
                table.beat(5000 if wrong == "old" else -5000)
            table.rewrite()
            until(lambda: client.get_host(1, 1).ip == "10.0.0.1", f"UDP instead of: {wrong}")

    def test_a_file_that_is_none_is_left_alone(self) -> None:
        def broken(offset: int, kind: str, value: int) -> None:
            table = self.file()
            table.put(offset, kind, value)
            table.write()
            reader = self.reader()
            self.assertIsNone(reader.pick(1, 1), (offset, value))

        broken(0, "<Q", 1)
        broken(8, "<I", 2)
        broken(16, "<Q", 4096)
        broken(32, "<I", 15)
        broken(32, "<I", 1 << 31)
        broken(36, "<I", 24)
        broken(40, "<I", 1)
        pathlib.Path(self.path).write_bytes(b"LARSTBL1")
        self.assertIsNone(self.reader().pick(1, 1))
        os.unlink(self.path)
        os.mkdir(self.path)
        self.assertIsNone(self.reader().pick(1, 1))

    def test_a_schedule_beyond_the_file_ends_its_use(self) -> None:
        for first, count in ((1, 1), (1 << 30, 5), (600, (1 << 32) - 1)):
            table = self.file()
            table.put(table.slot_offset(1, 1) + 8, "<II", first, count)
            table.write()
            reader = self.reader()
            self.assertIsNone(reader.pick(1, 1))
            self.assertFalse(reader.is_usable)
            self.assertIsNone(reader.pick_old(1, 1, lambda _: False))


class Keys(TableCase):
    def keyed(self, words: List[int], flags: int = 0) -> TableReader:
        table = self.file()
        table.set_keyed(1, 1, words)
        table.put(table.slot_offset(1, 1) + 24, "<I", flags)
        table.write()
        return self.reader()

    def test_a_ring(self) -> None:
        hashes = [100, 1 << 30, (1 << 31) - 5]
        packed = [hashes[0] | hashes[1] << 32, hashes[2]]
        reader = self.keyed([1 | 3 << 32, *packed, entry(11, 80), entry(12, 80), entry(13, 80)])
        seen: Dict[str, int] = {}
        for number in range(200):
            key = f"user-{number}".encode()
            index = next((i for i, one in enumerate(hashes) if one >= table_key(key)), 0)
            host = reader.pick_keyed(1, 1, key)
            self.assertEqual(host.ip, f"0.0.0.{11 + index}")
            seen[host.ip] = seen.get(host.ip, 0) + 1
        self.assertGreaterEqual(len(seen), 2)

    def test_maglev_passes_over_nodes_that_are_out(self) -> None:
        count = 7
        entries = [entry(20 + i, 80, 2 if i % 2 else 0) for i in range(count)]
        reader = self.keyed([2 | count << 32, *entries])
        for number in range(100):
            key = f"user-{number}".encode()
            hashed = table_key(key)
            index, step = hashed % count, maglev_skip(hashed) % (count - 1) + 1
            while index % 2:
                index = (index + step) % count
            self.assertEqual(reader.pick_keyed(1, 1, key).ip, f"0.0.0.{20 + index}")

    def test_what_the_table_cannot_say_is_asked_for(self) -> None:
        ring = [1 | 1 << 32, 5, entry(11, 80)]
        self.assertIsNone(self.keyed(ring, flags=1).pick_keyed(1, 1, b"a"))
        self.assertIsNone(self.keyed(ring).pick_keyed(1, 1, b"\xff"))
        self.assertIsNone(self.keyed([3 | 1 << 32, 5]).pick_keyed(1, 1, b"a"))
        self.assertIsNone(self.keyed([1 | 1 << 63, 5]).pick_keyed(1, 1, b"a"))
        all_out = [1 | 1 << 32, 5, entry(11, 80, 2)]
        self.assertIn(self.keyed(all_out).pick_keyed(1, 1, b"a").ip, ("0.0.0.1", "0.0.0.2", "0.0.0.3"))

    def test_probes_and_refusals_come_before_the_key(self) -> None:
        table = self.file([entry(5, 80, 1)])
        table.set_keyed(1, 1, [1 | 1 << 32, 5, entry(11, 80)])
        table.write()
        self.assertEqual(self.reader().pick_keyed(1, 1, b"a").ip, "0.0.0.5")
        self.file([entry(0, 0, 4)]).write()
        self.assertIs(self.reader().pick_keyed(1, 1, b"a"), REFUSAL)


class OldTables(TableCase):
    def test_an_old_table_is_the_best_memory_of_nodes(self) -> None:
        table = self.file([entry(0, 0, 4), entry(1, 80), entry(2, 80, 1), entry(3, 80)])
        table.write()
        client = lars.Client(
            port=self.agent.ports, shared_table=self.path, deadline_ms=100, first_route_ms=0
        )
        client.try_get_host(1, 1)
        self.agent.close()
        table.retire()
        table.rewrite()

        def is_stale() -> bool:
            host = client.try_get_host(1, 1).host
            return host is not None and host.stale

        until(is_stale, "the first old node")
        hosts = [client.get_host(1, 1) for _ in range(20)]
        self.assertEqual({host.ip for host in hosts}, {"0.0.0.1", "0.0.0.3"}, "no probe")
        self.assertTrue(all(host.stale for host in hosts))
        client.report(1, 1, "0.0.0.1", 80, 111)
        self.assertEqual({client.get_host(1, 1).ip for _ in range(5)}, {"0.0.0.3"})
        again = FakeAgent(ports=self.agent.ports)
        until(lambda: client.get_host(1, 1).ip == "10.0.0.1", "the agent")
        self.assertFalse(client.get_host(1, 1).stale)
        client.close()
        again.close()


class Batches(TableCase):
    def test_outcomes_go_out_together_in_order_each_once(self) -> None:
        self.file().write()
        client = self.client()
        client.get_host(1, 1)
        for number in range(5 * BATCH_RECORDS):
            client.report(1, 1, "0.0.0.1", 80, 0, number)
        client.report(1, 1, "0.0.0.2", 80, 0)
        client.close()
        until(lambda: len(outcomes_of(self.agent)) == 5 * BATCH_RECORDS + 1, "all outcomes")
        found = outcomes_of(self.agent)
        self.assertEqual([one[4] for one in found[:-1]], list(range(5 * BATCH_RECORDS)))
        self.assertEqual(found[-1], (1, 1, entry(2, 80), 0, 0xFFFFFFFF))
        self.assertLess(len(self.agent.of(BATCHED_REPORT)), 5 * BATCH_RECORDS / 4)
        self.assertEqual(len(self.agent.of(_wire.REPORT_REQUEST)), 0)

    def test_each_batch_says_how_many_came_before(self) -> None:
        self.file().write()
        client = self.client()
        client.get_host(1, 1)
        for _ in range(3):
            client.report(1, 1, "0.0.0.1", 80, 0, 1)
            client._flows.batch.flush()
        client.close()
        until(lambda: len(outcomes_of(self.agent)) == 3, "all outcomes")
        total, senders = 0, set()
        for one in self.agent.of(BATCHED_REPORT):
            values = {1: 0, 2: 0, 3: 0}
            for number, kind, content in _wire.fields(one.datagram, 8, len(one.datagram)):
                values[number] = content if kind == 0 else (content[1] - content[0]) // 24
            senders.add(values[1])
            self.assertEqual(values[2], total)
            total += values[3]
        self.assertEqual(len(senders), 1)
        self.assertNotIn(0, senders)

    def test_a_single_outcome_does_not_wait_for_others(self) -> None:
        self.file().write()
        client = self.client()
        client.get_host(1, 1)
        client.report(1, 1, "0.0.0.1", 80, 0)
        until(lambda: len(outcomes_of(self.agent)) == 1, "the outcome")

    def test_outcomes_of_two_threads_at_once_do_not_wait_for_others(self) -> None:
        batch = Batch(Counters())
        timed: List[int] = []
        batch.on_first = lambda: timed.append(len(batch.waiting))
        # Another thread has put one there, and has not looked yet how many there are.
        batch.waiting.append(pack_record(1, 1, entry(1, 80), 0, 1))
        batch.add(1, 1, entry(1, 80), 0, 1)
        batch.add(1, 1, entry(1, 80), 0, 1)
        self.assertEqual(timed, [2], "somebody sees to it, once")
        batch.flush()
        batch.add(1, 1, entry(1, 80), 0, 1)
        self.assertEqual(timed, [2, 1])
        batch.close()

    def test_the_first_failure_of_a_node_goes_out_at_once(self) -> None:
        self.file().write()
        client = self.client()
        client.get_host(1, 1)
        client._flusher.close()  # nothing else sends
        client.report(1, 1, "0.0.0.1", 80, 0)
        client.report(1, 1, "0.0.0.1", 80, 111)
        until(lambda: len(outcomes_of(self.agent)) == 2, "the failure")
        client.report(1, 1, "0.0.0.1", 80, 111)
        self.assertEqual(len(outcomes_of(self.agent)), 2, "the second one waits")
        client.report(1, 1, "0.0.0.1", 80, 0)
        client.report(1, 1, "0.0.0.1", 80, -5)
        until(lambda: [one[3] for one in outcomes_of(self.agent)] == [0, 111, 111, 0, -5], "all")

    def test_equal_outcomes_are_one_record_where_the_agent_takes_such(self) -> None:
        file = self.file()
        file.put(56, "<I", 1)
        file.write()
        client = self.client()
        client.get_host(1, 1)
        stop_sending(client)
        for host in (1, 2, 1, 1, 2, 1):
            client.report(1, 1, f"0.0.0.{host}", 80, 0, 3)
        client.report(1, 1, "0.0.0.1", 80, 0, 4)
        client.report(1, 2, "0.0.0.1", 80, 0, 3)
        client.report(1, 1, "0.0.0.1", 80, 0)
        client.report(1, 1, "0.0.0.2", 80, 111, 3)
        client.report(1, 1, "0.0.0.1", 80, 0, 3)
        client.report(1, 1, "0.0.0.1", 80, 0, 3)
        client.report(1, 1, "0.0.0.2", 80, 111, 3)
        client.report(1, 1, "0.0.0.1", 80, 0, 3)
        client.close()
        run, one, two = 0x8000, entry(1, 80), entry(2, 80)
        until(lambda: len(outcomes_of(self.agent)) == 9, "all outcomes")
        self.assertEqual(
            outcomes_of(self.agent),
            [
                (1, 1, entry(1, 80, run), 4, 3),
                (1, 1, entry(2, 80, run), 2, 3),
                (1, 1, one, 0, 4),
                (1, 2, one, 0, 3),
                (1, 1, one, 0, 0xFFFFFFFF),
                (1, 1, two, 111, 3),
                (1, 1, entry(1, 80, run), 2, 3),
                (1, 1, two, 111, 3),
                (1, 1, one, 0, 3),
            ],
        )
        self.assertEqual([first for _, first in self.batches()], [0, 1, 11])

    def batches(self) -> List[Tuple[int, int]]:
        """Sender and number of each batch."""
        found = []
        for one in self.agent.of(BATCHED_REPORT):
            values = {1: 0, 2: 0}
            for number, kind, content in _wire.fields(one.datagram, 8, len(one.datagram)):
                if kind == 0:
                    values[number] = content  # type: ignore[assignment]
            found.append((values[1], values[2]))
        return found

    def test_many_outcomes_of_a_few_nodes_are_few_records(self) -> None:
        file = self.file()
        file.put(56, "<I", 1)
        file.write()
        client = self.client()
        client.get_host(1, 1)
        stop_sending(client)
        for number in range(70_000):
            client.report(1, 1, f"0.0.0.{1 + number % 3}", 80, 0, number % 2)
        client.close()
        until(lambda: len(outcomes_of(self.agent)) == 12, "all outcomes")
        self.assertEqual(sum(one[3] for one in outcomes_of(self.agent)), 70_000)
        firsts = [first for _, first in self.batches()]
        self.assertEqual(firsts[:2], [0, 1])
        self.assertEqual(len(firsts), 3, "an agent takes 65,536 at once")

    def test_many_threads_that_report_at_once_lose_no_outcome(self) -> None:
        file = self.file()
        file.put(56, "<I", 1)
        file.write()
        client = self.client()
        client.get_host(1, 1)

        def tell() -> None:
            for number in range(3000):
                client.report(1, 1, f"0.0.0.{1 + number % 3}", 80, 0 if number % 500 else 9, 1)

        threads = [threading.Thread(target=tell) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        client.close()

        def told() -> int:
            return sum(one[3] if one[2] >> 63 else 1 for one in outcomes_of(self.agent))

        until(lambda: told() == 12_000, "all outcomes")

    def test_a_caller_that_only_picks_says_so(self) -> None:
        self.file().write()
        client = self.client()
        for _ in range(10):
            client.get_host(1, 1)
        until(lambda: records_of(self.agent) == [(1, 1, 0, 0, 0xFFFFFFFF)], "the use")

    def test_arguments_out_of_range_do_not_get_into_a_batch(self) -> None:
        self.file().write()
        client = self.client()
        client.get_host(1, 1)
        client.report(1, 1, "0.0.0.1", 80, 0)
        for bad in (
            (1, 1, "0.0.0.1", 80, 0, -1),
            (1 << 32, 1, "0.0.0.1", 80, 0, 1),
            (1, 1, "0.0.0.1", 80, 1 << 31, 1),
            (1, 1, "0.0.0.1", 65536, 0, 1),
            (1, 1, "0.0.0.1", 0, 0, 1),
            (1, 1, "0.0.0.1", -1, 0, 1),
            (1, 1, "0.0.0.1", "80", 0, 1),
            (1, 1, "0.0.0.1", 80, 0, 1 << 64 | -1),
            (1, -1 << 40, "0.0.0.1", 80, 0, 1),
            (1, 1, "0.0.0", 80, 0, 1),
        ):
            with self.assertRaises(ValueError, msg=bad):
                client.report(*bad)
        client.report(-1, 1, "0.0.0.1", 80, 0, 1.5)
        client.close()
        until(lambda: len(outcomes_of(self.agent)) == 2, "the good ones")
        self.assertEqual(outcomes_of(self.agent)[1], (0xFFFFFFFF, 1, entry(1, 80), 0, 2))

    def test_a_fork_sends_what_waits_and_begins_anew(self) -> None:
        self.file().write()
        client = self.client()
        client.get_host(1, 1)
        client.report(1, 1, "0.0.0.1", 80, 0, 1)
        child = os.fork()
        if child == 0:
            try:
                client.get_host(1, 1)
                client.report(1, 1, "0.0.0.2", 80, 0, 2)
                client.close()
                os._exit(0)
            except BaseException:
                os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        client.report(1, 1, "0.0.0.3", 80, 0, 3)
        client.close()
        until(lambda: len(outcomes_of(self.agent)) == 3, "all outcomes")
        self.assertEqual(sorted(one[4] for one in outcomes_of(self.agent)), [1, 2, 3])

    def test_with_asyncio(self) -> None:
        self.file().write()

        async def main() -> None:
            async with lars.AsyncClient(
                port=self.agent.ports, shared_table=self.path, deadline_ms=PATIENT_MS
            ) as client:
                for _ in range(10):
                    host = await client.get_host(1, 1)
                    client.report(1, 1, host.ip, host.port, 0, 1)
                self.assertEqual(len(client._plain_addresses), 3, "successes go the short way")
                while len(outcomes_of(self.agent)) < 10:
                    await asyncio.sleep(0.005)
                self.assertEqual(math.isinf(client._table.turns_until_s), False)

        asyncio.run(main())
        self.assertEqual(len(self.agent.of(_wire.GET_HOST_REQUEST)), 0)

    def test_what_waits_when_a_loop_ends_leaves_with_the_next_one(self) -> None:
        self.file().write()
        client = lars.AsyncClient(
            port=self.agent.ports, shared_table=self.path, deadline_ms=PATIENT_MS
        )

        async def use(outcomes: int) -> None:
            host = await client.get_host(1, 1)
            client.report(1, 1, host.ip, host.port, 0, 1)
            end_s = time.monotonic() + PATIENT_MS / 1000
            while len(outcomes_of(self.agent)) < outcomes and time.monotonic() < end_s:
                await asyncio.sleep(0.005)

        try:
            asyncio.run(use(0))
            asyncio.run(use(2))
            self.assertEqual(len(outcomes_of(self.agent)), 2)
        finally:
            asyncio.run(client.close())


if __name__ == "__main__":
    unittest.main()
