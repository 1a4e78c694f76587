# Test. The parts without I/O: bytes, options, memory of nodes, budget, kinds of failure, seals.
from __future__ import annotations

import copy
import errno
import hmac
import json
import math
import pathlib
import pickle
import random
import socket
import unittest
import urllib.error

import lars
from lars import _wire
from lars._host import Host, format_ipv4, parse_ipv4, port_index
from lars._last_good import LAST_GOOD_HOSTS_MAX, LAST_GOOD_MODULES_MAX, LastGood
from lars._outcome import check_status, retcode_of
from lars._question import read_answer
from lars._retry_budget import RetryBudget
from lars._seal import SEAL_BYTES, Sealer

_VECTORS = pathlib.Path(__file__).parents[3] / "proto" / "golden_vectors.json"


def _request(vector: dict) -> "bytes | None":
    value = vector["value"]
    kind = vector["message"]
    if kind == "GetHostRequest" and "token" not in value:
        key = bytes.fromhex(value["key"]) if "key" in value else None
        return _wire.get_host_request(value["seq"], value["modId"], value["cmdId"], key)
    if kind == "GetRouteRequest" and "token" not in value:
        return _wire.get_route_request(value["modId"], value["cmdId"])
    if kind == "ReportRequest" and "token" not in value and not {"weight", "zone"} & set(value["host"]):
        host = value["host"]
        cost = value.get("timecostMs")
        return _wire.report_request(
            value["modId"], value["cmdId"], host["ip"], host["port"], value["retcode"], cost
        )
    if kind == "ExplainRequest" and set(value) == {"seq", "modId", "cmdId", "from"}:
        return _wire.explain_request(value["seq"], value["modId"], value["cmdId"], value["from"])
    return None


class GoldenVectors(unittest.TestCase):
    """Bytes made with the C++ implementation of Protocol Buffers."""

    def setUp(self) -> None:
        self.vectors = json.loads(_VECTORS.read_text())

    def test_requests_are_written_byte_by_byte(self) -> None:
        seen = set()
        for vector in self.vectors:
            datagram = _request(vector)
            if datagram is not None:
                seen.add(vector["message"])
                self.assertEqual(datagram[8:].hex(), vector["hex"], vector["name"])
        self.assertLessEqual({"GetHostRequest", "GetRouteRequest", "ReportRequest"}, seen)

    def test_answers_are_read(self) -> None:
        seen = set()
        for vector in self.vectors:
            value = vector["value"]
            body = bytes.fromhex(vector["hex"])
            if vector["message"] == "GetHostResponse":
                self._check_host(vector["name"], value, body)
            elif vector["message"] == "GetRouteResponse":
                datagram = _wire.frame(8, body)
                reply = _wire.read_route_reply(datagram, len(datagram))
                wanted = [
                    (format_ipv4(host["ip"]), host["port"], host.get("weight"), host.get("zone"))
                    for host in value["hosts"]
                    if 1 <= host["port"] <= 65535
                ]
                got = [(host.ip, host.port, host.weight, host.zone) for host in reply.hosts]
                self.assertEqual(got, wanted, vector["name"])
            elif vector["message"] == "ExplainResponse":
                datagram = _wire.frame(77, body)
                page = _wire.read_explain_reply(datagram, len(datagram))
                self.assertEqual((page.seq, page.explanation), (value["seq"], value["explanation"]))
            else:
                continue
            seen.add(vector["message"])
        self.assertLessEqual({"GetHostResponse", "GetRouteResponse"}, seen)

    def _check_host(self, name: str, value: dict, body: bytes) -> None:
        datagram = _wire.frame(5, body)
        host = value.get("host")
        if value["retcode"] == 0 and (host is None or not 1 <= host["port"] <= 65535):
            with self.assertRaises(lars.ProtocolError, msg=name):
                _wire.read_host_reply(datagram, len(datagram))
            return
        reply = _wire.read_host_reply(datagram, len(datagram))
        got = (reply.seq, reply.mod_id, reply.cmd_id, reply.retcode)
        self.assertEqual(got, tuple(value[key] for key in ("seq", "modId", "cmdId", "retcode")), name)
        if value["retcode"] == 0:
            self.assertEqual(reply.host.address, f"{format_ipv4(host['ip'])}:{host['port']}")


class HostileBytes(unittest.TestCase):
    def test_what_breaks_the_rules_is_a_protocol_error(self) -> None:
        bodies = {
            "varint of 11 bytes": "08" + "80" * 10 + "00",
            "ends inside a varint": "0880",
            "length beyond the end": "2a05aabb",
            "length of more than 31 bits": "2affffffff0f",
            "field number 0": "0001",
            "tag of more than 32 bits": "888080801000",
            "wire type 6": "0e",
            "group without end": "3b0801",
            "group with another end": "3b0801" + "44",
            "end without a group": "3c",
            "groups 200 deep": "3b" * 200 + "3c" * 200,
            "inner message cut": "2a020801"[:-2],
        }
        for name, text in bodies.items():
            with self.subTest(name), self.assertRaises(lars.ProtocolError):
                read_answer(_wire.frame(5, bytes.fromhex(text)))
        for datagram in (b"", b"1234567", _wire.frame(5, b"")[:-1], _wire.frame(5, b"") + b"\0"):
            with self.assertRaises(lars.ProtocolError):
                read_answer(datagram)

    def test_random_bytes_never_raise_anything_else(self) -> None:
        chance = random.Random(7)
        good = bytes.fromhex("0801100118012a040801100250")
        read = 0
        for _ in range(20_000):
            body = bytearray(good)
            for _ in range(chance.randrange(1, 5)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            message_id = chance.choice((5, 8, 64, 77, 9))
            try:
                read_answer(_wire.frame(message_id, bytes(body[: chance.randrange(len(body) + 1)])))
                read += 1
            except lars.ProtocolError:
                pass
        self.assertGreater(read, 100)

    def test_what_nobody_knows_is_skipped_and_inner_messages_are_merged(self) -> None:
        body = bytes.fromhex("0801" "1001" "1801" "3b08013c" "fd0100000000" "2a0208012a021050")
        host = _wire.read_host_reply(_wire.frame(5, body), 8 + len(body)).host
        self.assertEqual((host.ip, host.port), ("0.0.0.1", 80))


class Names(unittest.TestCase):
    def test_ports_of_modules_are_never_negative(self) -> None:
        cases = {(1, 1): 2, (0, 0): 0, (0xFFFFFFFF, 0): 2, (0x80000000, 0): 1, (0xFFFFFFFF, 1): 0}
        for (mod_id, cmd_id), wanted in cases.items():
            self.assertEqual(port_index(mod_id, cmd_id), wanted, (mod_id, cmd_id))

    def test_addresses(self) -> None:
        self.assertEqual(parse_ipv4("192.168.1.177"), 3232235953)
        self.assertEqual(format_ipv4(3232235953), "192.168.1.177")
        for text in ("", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.04", "1.2.3.-1", "a.b.c.d"):
            with self.assertRaises(ValueError, msg=text):
                parse_ipv4(text)


class Memory(unittest.TestCase):
    def test_a_node_that_failed_is_passed_over_and_not_forgotten(self) -> None:
        memory = LastGood(math.inf)
        one, two = lars.Host("10.0.0.1", 1), lars.Host("10.0.0.2", 2)
        memory.remember(1, 1, one, 0)
        memory.remember(1, 1, two, 0)
        memory.judge(1, 1, one.ip, one.port, False, 0)
        self.assertEqual([memory.next(1, 1, 999) for _ in range(3)], [two, two, two])
        self.assertIn(one, [memory.next(1, 1, 1000) for _ in range(2)])
        memory.judge(1, 1, one.ip, one.port, False, 1000)
        memory.judge(1, 1, two.ip, two.port, False, 1000)
        self.assertEqual({memory.next(1, 1, 1001) for _ in range(2)}, {one, two})

    def test_it_is_bounded_and_grows_old(self) -> None:
        memory = LastGood(100)
        for number in range(LAST_GOOD_HOSTS_MAX + 3):
            memory.remember(1, 1, lars.Host(f"10.0.0.{number}", 80), 0)
        seen = {memory.next(1, 1, 50).ip for _ in range(30)}
        self.assertEqual(len(seen), LAST_GOOD_HOSTS_MAX)
        self.assertNotIn("10.0.0.0", seen)
        self.assertIsNone(memory.next(1, 1, 101))
        for number in range(LAST_GOOD_MODULES_MAX + 5):
            memory.remember(2, number, lars.Host("10.0.0.1", 80), 0)
        self.assertEqual(len(memory), LAST_GOOD_MODULES_MAX)


class Budget(unittest.TestCase):
    def test_a_share_of_calls_and_a_floor(self) -> None:
        budget = RetryBudget(0.2, 0)
        self.assertFalse(budget.take(0))
        for _ in range(10):
            budget.add_call(0)
        self.assertEqual([budget.take(1) for _ in range(3)], [True, True, False])
        budget.give_back(2)
        self.assertTrue(budget.take(3))
        self.assertTrue(RetryBudget(0, 0.1).take(0))

    def test_it_forgets_after_ten_seconds(self) -> None:
        budget = RetryBudget(1, 0)
        budget.add_call(0)
        self.assertFalse(budget.take(10_000))


class Outcomes(unittest.TestCase):
    def test_exceptions_have_the_code_of_their_kind(self) -> None:
        chained = ValueError("outer")
        chained.__cause__ = ConnectionResetError()
        http = urllib.error.HTTPError("http://x", 503, "busy", None, None)  # type: ignore[arg-type]
        cases = [
            (ConnectionRefusedError(), 111),
            (OSError(errno.EHOSTUNREACH, "x"), 111),
            (urllib.error.URLError(ConnectionRefusedError()), 111),
            (chained, 111),
            (socket.timeout(), 110),
            (TimeoutError(), 110),
            (lars.TimeoutError("late", 5), 110),
            (lars.StatusError(429), 429),
            (http, 503),
            (ValueError("x"), 2),
            (OSError(errno.ENOENT, "x"), 2),
        ]
        for error, code in cases:
            self.assertEqual(retcode_of(error), code, repr(error))

    def test_a_status_that_is_the_callers_fault_says_nothing_about_the_node(self) -> None:
        missing = urllib.error.HTTPError("http://x", 404, "none", None, None)  # type: ignore[arg-type]
        self.assertEqual(retcode_of(missing), 0)

        class Response:
            def __init__(self, status: int) -> None:
                self.status = status

        for status in (200, 304, 404):
            response = Response(status)
            self.assertIs(check_status(response), response)
        for status in (408, 429, 500, 599):
            with self.assertRaises(lars.StatusError):
                check_status(Response(status))


class Hosts(unittest.TestCase):
    def test_a_host_is_a_value_that_does_not_change(self) -> None:
        one = Host("10.0.0.1", 80, 5, "a")
        self.assertEqual(one, Host("10.0.0.1", 80, weight=5, zone="a"))
        self.assertEqual(len({one, Host("10.0.0.1", 80, 5, "a"), one.as_stale()}), 2)
        self.assertNotEqual(one, ("10.0.0.1", 80, 5, "a", False))
        self.assertTrue(one.as_stale().stale)
        self.assertEqual(one.address, "10.0.0.1:80")
        self.assertEqual(
            repr(one), "Host(ip='10.0.0.1', port=80, weight=5, zone='a', stale=False)"
        )
        for same in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
            self.assertEqual(same, one)
        with self.assertRaises(AttributeError):
            one.port = 81
        with self.assertRaises(AttributeError):
            del one.port
        with self.assertRaises(AttributeError):
            one.other = 1


class Seals(unittest.TestCase):
    def test_seals_are_those_of_the_vectors(self) -> None:
        for vector in json.loads((_VECTORS.parent / "seal_vectors.json").read_text()):
            with self.subTest(vector["what"]):
                given = {name: bytes.fromhex(vector[name]) for name in ("secret", "sender", "message")}
                sealer = Sealer(given["secret"], given["sender"], lambda at=vector["wallMs"]: at)
                for _ in range(vector["number"]):
                    sealed = sealer.seal(given["message"])
                self.assertEqual(sealed.hex(), vector["sealed"])
                self.assertTrue(sealer.is_answer(bytes.fromhex(vector["answer"])))
                self.assertFalse(sealer.is_answer(sealed), "a question is no answer")

    def test_a_seal_signs_all_before_it_and_numbers_each_datagram(self) -> None:
        sealer = Sealer(b"secret", b"12345678", lambda: 1_700_000_000_000)
        datagram = _wire.get_route_request(1, 1)
        first, second = sealer.seal(datagram), sealer.seal(datagram)
        self.assertNotEqual(first, second)
        _, end = _wire.read_frame(first)
        self.assertEqual(end, len(datagram) + SEAL_BYTES)
        mac = hmac.new(b"secret", b"lars question" + first[:-16], "sha256").digest()[:16]
        self.assertEqual(first[-16:], mac)
        self.assertEqual(first[-SEAL_BYTES : -SEAL_BYTES + 3], b"\xfa\x01\x24")

    def test_only_a_sealed_answer_to_this_sender_is_one(self) -> None:
        sealer = Sealer(b"secret", b"12345678", lambda: 5)

        def answer(secret: bytes, sender: bytes) -> bytes:
            signed = _wire.frame(8, b"\x08\x01") + b"\xfa\x01\x24" + sender + bytes(12)
            return signed + hmac.new(secret, b"lars answer" + signed, "sha256").digest()[:16]

        self.assertTrue(sealer.is_answer(answer(b"secret", b"12345678")))
        self.assertFalse(sealer.is_answer(answer(b"secret", b"12345679")))
        self.assertFalse(sealer.is_answer(answer(b"other", b"12345678")))
        self.assertFalse(sealer.is_answer(_wire.frame(8, b"\x08\x01")))


class Options(unittest.TestCase):
    def test_what_is_out_of_range_is_a_value_error(self) -> None:
        bad = [
            {"port": 0},
            {"port": 65534},
            {"port": [1, 2]},
            {"hostname": ""},
            {"hostname": "a:1"},
            {"deadline_ms": 0},
            {"deadline_ms": 60_001},
            {"deadline_ms": math.nan},
            {"first_route_ms": -1},
            {"token": b""},
            {"token": bytes(1025)},
            {"last_good_ms": -1},
            {"pending_max": 0},
            {"retry_share": 1.1},
            {"retry_floor_per_second": 1001},
        ]
        for options in bad:
            for kind in (lars.Client, lars.AsyncClient):
                with self.subTest(options=options, kind=kind), self.assertRaises(ValueError):
                    kind(**options)
        with self.assertRaises(TypeError):
            lars.Client(unknown=1)


if __name__ == "__main__":
    unittest.main()
