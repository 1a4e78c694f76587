// Goal: names are answered as resolvers need it, also where not all fits, and nothing that comes
// over the network ends the server or gets more than its share.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
// @ts-types="./dns_packet.d.ts"
import dnsPacket, { type Packet } from "dns-packet";
import fc from "fast-check";
import type { HostInfo } from "../../proto/codec.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { FleetView } from "../fleet_view.ts";
import { NAME_HEAD_BYTES, NameZone, Rcode, UDP_BYTES_MAX } from "./answers.ts";
import { dnsCodec } from "./packets.ts";
import { ANSWERS_KEPT_MAX, NameServer, QuestionReader } from "./name_server.ts";

interface Bench {
  readonly view: FleetView;
  readonly server: NameServer;
  readonly clock: ManualClock;
  ask(name: string, type: string, more?: { udp?: number; tcp?: boolean; host?: string }): Packet;
}

const OPT = { type: "OPT", name: ".", extendedRcode: 0, ednsVersion: 0, flags: 0 } as const;

function question(name: string, type: string, udp?: number, id = 7): Buffer {
  const additionals = udp === undefined
    ? []
    : [{ ...OPT, udpPayloadSize: udp, flag_do: false, options: [] }];
  return dnsPacket.encode({
    ...{ type: "query", id, flags: 0x0100 },
    questions: [{ name, type }],
    additionals,
  });
}

/** Module (1,2) "login" with the nodes, (3,4) without a name and without nodes, (5,6) never read. */
function setUp(nodes: HostInfo[], bytesPerSecond?: number): Bench {
  const clock = new ManualClock();
  const server: { it?: NameServer } = {};
  const view = new FleetView({
    outShare: 0.25,
    request: () => {},
    forget: () => {},
    onChanged: () => server.it?.changed(),
    onListed: () => server.it?.changed(),
  });
  const zone = new NameZone(view, { codec: dnsCodec, zone: "lars", ttlS: 1, host: "ns.lars" });
  const made = new NameServer(zone, clock, bytesPerSecond);
  server.it = made;
  const modules = [
    { modId: 1, cmdId: 2, name: "Login", gone: false },
    { modId: 3, cmdId: 4, name: "", gone: false },
    { modId: 5, cmdId: 6, name: "fresh", gone: false },
  ];
  view.takeModules({ modules, first: true, last: true });
  for (const [modId, cmdId, hosts] of [[1, 2, nodes], [3, 4, []]] as const) {
    view.want({ modId, cmdId });
    view.takeRoute({ modId, cmdId, hosts: [...hosts], policy: "" });
  }
  return {
    ...{ view, clock, server: made },
    ask: (name, type, { udp, tcp = false, host = "127.0.0.1" } = {}) => {
      const bytes = question(name, type, udp);
      const answer = tcp ? made.streamed(bytes) : made.datagram(bytes, host);
      assert.ok(answer !== undefined);
      const limit = tcp ? 65_535 : Math.min(UDP_BYTES_MAX, Math.max(512, udp ?? 512));
      assert.ok(answer.length <= limit, `${answer.length} bytes, at most ${limit}`);
      const packet = dnsPacket.decode(answer);
      assert.deepEqual([packet.id, packet.type], [7, "response"]);
      return packet;
    },
  };
}

const node = (last: number, more: Partial<HostInfo> = {}): HostInfo => ({
  ...{ ip: 0x0a000000 + last, port: 8000 + last },
  ...more,
});
const THREE = [node(1), node(2, { weight: 50 }), node(3, { state: "drain" })];
const rcodeOf = ({ flags }: Packet): number => flags & 15;

/** Answers as short texts, sorted. */
function texts({ answers = [] }: Packet): string[] {
  return answers.map((answer) => {
    if (answer.type === "SRV") {
      const { priority, weight, port, target } = answer.data;
      return `${priority} ${weight} ${port} ${target}`;
    }
    if (answer.type === "TXT") return answer.data.map(String).join(" ");
    return answer.type === "A" || answer.type === "NS" ? answer.data : answer.type;
  }).sort();
}

const SRV = ["0 32768 8002 10-0-0-2.node.lars", "0 65280 8001 10-0-0-1.node.lars"];
const NAMES: [name: string, type: string, rcode: number, answers: string[]][] = [
  ["login.lars", "A", Rcode.ok, ["10.0.0.1", "10.0.0.2"]],
  ["LOGIN.Lars", "A", Rcode.ok, ["10.0.0.1", "10.0.0.2"]],
  ["2.1.lars", "A", Rcode.ok, ["10.0.0.1", "10.0.0.2"]],
  ["2.1.lars", "SRV", Rcode.ok, SRV],
  ["_http._tcp.login.lars", "SRV", Rcode.ok, SRV],
  ["login.lars", "TXT", Rcode.ok, ["module=1/2 name=Login nodes=3 up=2"]],
  ["login.lars", "AAAA", Rcode.ok, []],
  ["login.lars", "UNKNOWN_65", Rcode.ok, []],
  ["4.3.lars", "A", Rcode.ok, []],
  ["4.3.lars", "TXT", Rcode.ok, ["module=3/4 name= nodes=0 up=0"]],
  ["10-0-0-1.node.lars", "A", Rcode.ok, ["10.0.0.1"]],
  ["10-0-0-1.node.lars", "SRV", Rcode.ok, []],
  ["10-0-0-256.node.lars", "A", Rcode.nxDomain, []],
  ["10-0-0-01.node.lars", "A", Rcode.nxDomain, []],
  ["1.2.lars", "A", Rcode.nxDomain, []],
  ["99999999999.1.lars", "A", Rcode.nxDomain, []],
  ["nobody.lars", "SRV", Rcode.nxDomain, []],
  ["fresh.lars", "A", Rcode.servFail, []],
  ["example.com", "A", Rcode.refused, []],
  ["notlars", "A", Rcode.refused, []],
  ["lars", "SOA", Rcode.ok, ["SOA"]],
  ["lars", "NS", Rcode.ok, ["ns.lars"]],
  ["lars", "A", Rcode.ok, []],
];

for (const [name, type, rcode, answers] of NAMES) {
  test(`${name} ${type}`, () => {
    for (const tcp of [false, true]) {
      const packet = setUp(THREE).ask(name, type, { tcp, udp: 1232 });
      assert.deepEqual([rcodeOf(packet), texts(packet)], [rcode, answers]);
      const isNegative = answers.length === 0 && (rcode === Rcode.ok || rcode === Rcode.nxDomain);
      assert.deepEqual(packet.authorities?.map((one) => one.type), isNegative ? ["SOA"] : []);
      assert.equal(packet.additionals?.filter((one) => one.type === "OPT").length, 1);
    }
  });
}

test("SRV brings the addresses of its targets, each once", () => {
  const two = [node(1), { ip: 0x0a000001, port: 9000 }, node(2)];
  const { additionals = [] } = setUp(two).ask("login.lars", "SRV");
  assert.deepEqual(
    additionals.map((one) => one.type === "A" && `${one.name} ${one.data}`).sort(),
    ["10-0-0-1.node.lars 10.0.0.1", "10-0-0-2.node.lars 10.0.0.2"],
  );
});

test("a node that agents keep out is not answered, one of several orders comes first", () => {
  const { view, ask } = setUp([node(1), node(2), node(3)]);
  const firsts = new Set(Array.from({ length: 6 }, () => {
    const [first] = ask("login.lars", "A").answers ?? [];
    return first.type === "A" && first.data;
  }));
  assert.deepEqual([...firsts].sort(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  const out = [{ ip: 0x0a000002, port: 8002, agents: 1 }];
  view.takeOuts(0, { modId: 1, cmdId: 2, nodes: out, agents: 1 });
  assert.deepEqual(texts(ask("login.lars", "A")), ["10.0.0.1", "10.0.0.3"]);
});

test("what does not fit is left out, the same nodes each time, and never marked as cut", () => {
  const nodes = (length: number): HostInfo[] =>
    Array.from({ length }, (_, index) => node(index + 1));
  for (const type of ["A", "SRV"]) {
    for (const udp of [undefined, 1232, 4096, 8192, 60_000]) {
      const { ask } = setUp(nodes(2_000));
      const [first, second] = [ask("login.lars", type, { udp }), ask("login.lars", type, { udp })];
      assert.deepEqual(texts(first), texts(second));
      assert.equal(first.flags & 0x0200, 0);
      const least = type === "A" ? 15 : 4;
      assert.ok(
        texts(first).length >= least && texts(first).length < 2_000,
        `${texts(first).length}`,
      );
    }
    assert.equal(texts(setUp(nodes(300)).ask("login.lars", type, { tcp: true })).length, 300);
  }
});

test("until the list of modules has come nobody is told that there is no such name", () => {
  const ports = { request: () => {}, forget: () => {}, onChanged: () => {}, onListed: () => {} };
  const view = new FleetView({ outShare: 0.25, ...ports });
  const zone = new NameZone(view, { codec: dnsCodec, zone: "lars", ttlS: 1, host: "ns.lars" });
  const server = new NameServer(zone, new ManualClock());
  for (const name of ["nobody.lars", "2.1.lars"]) {
    const answer = server.datagram(question(name, "A"), "127.0.0.1");
    assert.equal(rcodeOf(dnsPacket.decode(answer ?? Buffer.alloc(0))), Rcode.servFail);
  }
  assert.equal(view.wantedCount, 1, "a number may be a module: its route is asked for");
});

test("nobody beyond loopback gets more bytes than his share", () => {
  const { server, clock } = setUp(THREE, 1_000);
  const ask = (host: string): boolean =>
    server.datagram(question("login.lars", "A"), host) !== undefined;
  const answered = (host: string): number =>
    Array.from({ length: 100 }, () => ask(host)).filter(Boolean).length;
  const size = server.datagram(question("login.lars", "A"), "127.0.0.1")?.length ?? 0;
  assert.equal(answered("10.9.9.9"), Math.floor(1_000 / size));
  assert.equal(answered("10.9.9.8"), Math.floor(1_000 / size), "another one has his own");
  assert.equal(answered("127.0.0.1"), 100);
  clock.advance(1_000);
  assert.ok(answered("10.9.9.9") >= 1);
});

test("whatever comes is answered or dropped, and answers are never answered", () => {
  const { server } = setUp(THREE);
  const answer = server.datagram(question("login.lars", "A"), "127.0.0.1");
  assert.equal(server.datagram(Buffer.from(answer ?? []), "127.0.0.1"), undefined);
  assert.equal(server.datagram(new Uint8Array(11), "127.0.0.1"), undefined);
  assert.equal(server.datagram(new Uint8Array(0), "127.0.0.1"), undefined);
  const notify = question("lars", "SOA");
  notify[2] |= 0x20;
  const refused = dnsPacket.decode(server.datagram(notify, "127.0.0.1") ?? Buffer.alloc(0));
  assert.equal(rcodeOf(refused), Rcode.notImp);
  const base = question("login.lars", "SRV", 1232);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(255))), fc.nat(80), (changes, cut) => {
      const bytes = Buffer.from(base.subarray(0, base.length - (cut % base.length)));
      for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
      const got = server.datagram(bytes, "127.0.0.1");
      if (got !== undefined) assert.equal(dnsPacket.decode(got).type, "response");
      server.streamed(bytes);
    }),
    { numRuns: 2_000 },
  );
  for (let id = 0; id < ANSWERS_KEPT_MAX + 10; id++) {
    server.datagram(question(`m${id}.lars`, "A"), "127.0.0.1");
  }
});

test("what is asked in another way is refused in that way: opcode, class, version of EDNS", () => {
  const { server } = setUp(THREE);
  const plain = question("login.lars", "A", 1232);
  /** Bytes of the answer, and what the package reads of it. */
  const ask = (at: number, value: number): { bytes: Buffer; packet: Packet } => {
    const bytes = Buffer.from(plain);
    bytes[at] = value;
    const answer = Buffer.from(server.datagram(bytes, "127.0.0.1") ?? []);
    return { bytes: answer, packet: dnsPacket.decode(answer) };
  };
  const update = ask(2, plain[2] | 5 << 3);
  assert.deepEqual([update.bytes[2] >> 3 & 15, update.bytes[3] & 15], [5, Rcode.notImp]);
  const classAt = NAME_HEAD_BYTES + "login.lars".length + 2 + 3;
  assert.equal(plain[classAt], 1);
  const chaos = ask(classAt, 3);
  assert.equal(chaos.bytes[3] & 15, Rcode.refused);
  assert.deepEqual(chaos.packet.questions, [{ name: "login.lars", type: "A", class: "CH" }]);
  // Behind the question: root, type, size, then the upper part of the outcome and the version.
  const version = ask(classAt + 1 + 1 + 2 + 2 + 1, 5);
  assert.equal(version.bytes[3] & 15, Rcode.badVers & 15);
  const edns = version.packet.additionals?.find((record) => record.type === "OPT");
  assert.deepEqual([edns?.extendedRcode, edns?.ednsVersion], [Rcode.badVers >> 4, 0]);
  assert.deepEqual(version.packet.answers, []);
});

test("a label with a dot in it is refused: as text it is another name, or none", () => {
  const { server } = setUp(THREE);
  const plain = question("login.lars", "SRV", 1232);
  // Each letter of both labels in turn.
  const [first, last] = [13, 23];
  for (let at = first; at < last; at++) {
    const bytes = Buffer.from(plain);
    if (bytes[at] < 64) continue; // The length of a label.
    bytes[at] = 0x2e;
    const got = dnsPacket.decode(server.datagram(bytes, "127.0.0.1") ?? Buffer.alloc(0));
    assert.equal(rcodeOf(got), Rcode.formErr, `${at}`);
  }
});

test("QuestionReader finds questions however a stream is cut, and ends one that is none", () => {
  const framed = (bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
  const all = Buffer.concat([question("a.lars", "A"), question("b.lars", "A")].map(framed));
  for (let cut = 0; cut <= all.length; cut++) {
    const reader = new QuestionReader();
    const got = [reader.read(all.subarray(0, cut)), reader.read(all.subarray(cut))].flat();
    assert.equal(got.length, 2, `cut at ${cut}`);
  }
  assert.equal(new QuestionReader().read(Buffer.from([255, 255])), undefined);
  assert.equal(new QuestionReader().read(Buffer.from([0, 3])), undefined);
});
