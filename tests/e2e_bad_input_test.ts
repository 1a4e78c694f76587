// Bytes, rows and settings that are wrong: a clear word or a count, nobody dies, others are served.

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { nextInt, seededRng } from "../reactor/time/rng.ts";
import {
  addNodes,
  agentFlags,
  hostKeys,
  nodeOf,
  sqliteTestStore,
  startFleet,
  withStoredNode,
} from "./support/fleet.ts";
import { timeFigure } from "./support/figure.ts";
import { assertInTime } from "./support/in_time.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import {
  BODY_BYTES_MAX,
  bytesField,
  frameBytes,
  getHostRequest,
  getRouteRequest,
  Id,
  int32Field,
  monotonicMs,
  reportStatusRequest,
  WireCaller,
  WireConnection,
} from "./support/wire_client.ts";

/** A number that no message has. */
const UNKNOWN_ID = 999;

const MIBIBYTE = 1024 * 1024;

/** Numbers that look random and are the same in every run. */
function scrambler(seed: number): () => number {
  const rng = seededRng(seed);
  return () => nextInt(rng, 2 ** 24);
}

function garbage(next: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => next() & 0xff);
}

/** What a hostile peer sends, and whether the service ends its connection for it. */
interface HostileCase {
  readonly what: string;
  readonly bytes: Uint8Array;
  readonly ends: boolean;
}

function hostileCases(msgId: number): HostileCase[] {
  const none = new Uint8Array(0);
  const lie = (length: number): Uint8Array => frameBytes(msgId, none, length);
  const many = (id: number, count: number): Uint8Array =>
    Uint8Array.from(Array.from({ length: count }, () => [...frameBytes(id, none)]).flat());
  const body = (...bytes: number[]): Uint8Array => frameBytes(msgId, Uint8Array.from(bytes));
  return [
    { what: "length -1", bytes: lie(-1), ends: true },
    { what: "length -2^31", bytes: lie(-2_147_483_648), ends: true },
    { what: "length one too large", bytes: lie(BODY_BYTES_MAX + 1), ends: true },
    { what: "length 2^31-1", bytes: lie(2_147_483_647), ends: true },
    { what: "a broken varint", bytes: body(0x08, 0x80), ends: true },
    { what: "a varint without end", bytes: body(0x08, ...Array(12).fill(0xff)), ends: true },
    { what: "an inner length beyond the body", bytes: body(0x1a, 0x7f, 1), ends: true },
    { what: "an inner message that is none", bytes: body(0x22, 2, 0x08, 0x80), ends: true },
    { what: "one unknown id", bytes: many(UNKNOWN_ID, 1), ends: false },
    { what: "one negative id", bytes: many(-5, 1), ends: false },
    { what: "many unknown ids", bytes: many(UNKNOWN_ID, 30), ends: true },
    { what: "half a head", bytes: Uint8Array.of(1, 0, 0), ends: false },
    { what: "a head that promises more", bytes: lie(100), ends: false },
  ];
}

/** Runs every hostile case, then random bytes, then peers that break off; `check` in between. */
async function attack(port: number, msgId: number, check: () => Promise<void>): Promise<void> {
  for (const { what, bytes, ends } of hostileCases(msgId)) {
    // An inner message is decoded only where the message has one.
    if (msgId === Id.GetRouteRequest && what.startsWith("an inner message")) continue;
    const peer = await WireConnection.open(port);
    peer.sendRaw(bytes);
    if (ends) {
      await peer.untilEnded().catch((error) => {
        throw new Error(`${what}: ${error.message}`);
      });
    } else await check();
    assert.equal(peer.ended, ends, what);
    peer.close();
    await check();
  }
  const next = scrambler(msgId);
  const peers: WireConnection[] = [];
  for (let i = 0; i < 60; i++) {
    const peer = await WireConnection.open(port);
    peer.sendRaw(garbage(next, 1 + next() % 400));
    if (i % 3 === 0) peer.reset();
    else peers.push(peer);
  }
  for (let i = 0; i < 10; i++) {
    const peer = await WireConnection.open(port);
    peer.sendRaw(frameBytes(msgId, new Uint8Array(50), 5000)); // RST in mid-frame
    peer.reset();
  }
  await check();
  for (const peer of peers) peer.close();
}

test("dns outlives what hostile peers send, and serves the others meanwhile", async () => {
  await withStoredNode(async ({ processes, url }) => {
    const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
    const good = await WireConnection.open(dns.port());
    const check = async (): Promise<void> => {
      assert.deepEqual(hostKeys((await good.route(1, 1)).hosts), hostKeys([nodeOf(1)]));
    };
    await check();
    const halfOpen = await WireConnection.open(dns.port());
    halfOpen.sendRaw(frameBytes(Id.GetRouteRequest, new Uint8Array(2), 20));
    await attack(dns.port(), Id.GetRouteRequest, check);

    // The original died of a frame without a body; it is legal and asks for module 0/0.
    const newcomerMs = monotonicMs();
    const empty = await WireConnection.open(dns.port());
    empty.send(Id.GetRouteRequest, new Uint8Array(0));
    assert.deepEqual((await empty.nextRoute(0, 0)).hosts, []);
    // Connections that were broken before they were accepted must not hold up the next ones.
    assertInTime("a newcomer is served", monotonicMs() - newcomerMs, 2000);
    // And of a frame in several segments.
    for (const byte of frameBytes(Id.GetRouteRequest, getRouteRequest(1, 1))) {
      empty.sendRaw(Uint8Array.of(byte));
      await check();
    }
    assert.equal((await empty.nextRoute(1, 1)).hosts.length, 1);
    empty.close();

    const startMs = monotonicMs();
    await halfOpen.untilEnded(30_000);
    console.log(`a half-open frame was ended (${Math.round(monotonicMs() - startMs)} ms waited)`);
    await check();
    assert.ok(dns.alive);
    good.close();
  });
});

test("reporter outlives what hostile peers send, and stores the results of others", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const reporter = await processes.start("reporter", ["--reactor-port=0", `--store=${url}`]);
    const good = await WireConnection.open(reporter.port());
    let sent = 0;
    const check = (): Promise<void> => {
      sent++;
      const result = { ...nodeOf(sent), succ: sent, err: 1, overload: false };
      good.send(
        Id.ReportStatusRequest,
        reportStatusRequest(7, 7, nodeOf(0).ip, [result], 1_700_000_000 + sent),
      );
      return Promise.resolve();
    };
    await check();
    await attack(reporter.port(), Id.ReportStatusRequest, check);
    // Numbers that are no node, or beyond what the columns hold, must not take the others along.
    const strange = { ...nodeOf(1), port: -1, succ: 4_294_967_295, err: 4_294_967_295 };
    for (const port of [0, -1, 70_000, 2_147_483_647]) {
      good.send(
        Id.ReportStatusRequest,
        reportStatusRequest(8, 8, -1, [{ ...strange, port, overload: true }], 4_294_967_295),
      );
    }
    await check();
    await until(
      async () => (await store.readCallStatus({ modId: 7, cmdId: 7 })).length === sent,
      { timeoutMs: 15_000, what: `${sent} rows` },
    );
    assert.ok(!good.ended && reporter.alive);
    assert.deepEqual([...good.idsSeen], [], "a report has no answer");
    good.close();
    await store.close();
  });
});

test("the agent outlives datagrams of every size and kind", async () => {
  await withStoredNode(async ({ processes, url }) => {
    const { agent } = await startFleet(processes, url);
    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    const check = async (): Promise<void> => {
      const { retCode, host } = await caller.getHost(1, 1);
      assert.deepEqual([retCode, host], [0, nodeOf(1)]);
    };
    const good = frameBytes(Id.GetHostRequest, getHostRequest(5, 1, 1));
    const datagrams: [string, Uint8Array][] = [
      ["empty", new Uint8Array(0)],
      ["half a head", good.slice(0, 4)],
      ["a head alone", good.slice(0, 8)],
      ["cut", good.slice(0, good.length - 1)],
      ["a length that is too large", frameBytes(Id.GetHostRequest, getHostRequest(5, 1, 1), 500)],
      ["a length that is too small", frameBytes(Id.GetHostRequest, getHostRequest(5, 1, 1), 1)],
      ["a negative length", frameBytes(Id.GetHostRequest, getHostRequest(5, 1, 1), -8)],
      ["no module", frameBytes(Id.GetHostRequest, new Uint8Array(0))],
      ["the largest there is", new Uint8Array(65_507)],
      ["the largest, with a head", frameBytes(Id.GetHostRequest, new Uint8Array(65_499))],
      ["a report of no node", frameBytes(Id.ReportRequest, Uint8Array.from(int32Field(1, 1)))],
      [
        "a report of half a node",
        frameBytes(Id.ReportRequest, Uint8Array.from(bytesField(3, [0x08]))),
      ],
      ...[0, -1, 1, 2, 3, 5, 8, 64, 65, 2_147_483_647].map((id): [string, Uint8Array] => [
        `id ${id}`,
        frameBytes(id, getHostRequest(5, 1, 1)),
      ]),
    ];
    const stranger = await WireCaller.open(agent.port());
    for (const [what, datagram] of datagrams) {
      for (const offset of [0, 1, 2]) stranger.sendRaw(datagram, offset);
      await check().catch((error) => {
        throw new Error(`after ${what}: ${error.message}`);
      });
    }
    const next = scrambler(1);
    for (let i = 0; i < 2000; i++) {
      stranger.sendRaw(garbage(next, next() % 80), i % 3);
      if (i % 50 === 0) await check();
    }
    await check();
    assert.ok(agent.alive);
    stranger.close();
    caller.close();
  });
});

test("unknown modules neither fill the agent nor push out the known ones", async () => {
  await withStoredNode(async ({ processes, url }) => {
    const { agent, dns } = await startFleet(processes, url);
    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    const stranger = await WireCaller.open(agent.port());
    const before = await agent.residentBytes() ?? 0;
    const count = 30_000;
    for (let i = 0; i < count; i++) {
      stranger.sendRaw(frameBytes(Id.GetHostRequest, getHostRequest(9, 1000 + i, 2)), i % 3);
      if (i % 200 !== 0) continue;
      const { retCode } = await caller.getHost(1, 1); // also keeps the flood at the agent's pace
      assert.equal(retCode, 0, `after ${i} unknown modules`);
    }
    const grown = ((await agent.residentBytes() ?? 0) - before) / MIBIBYTE;
    const what = `${count} unknown modules: agent grew by`;
    timeFigure({ what, value: grown, atMost: 30, unit: "MiB" });
    assert.ok(agent.alive && dns.alive);
    stranger.close();
    caller.close();
  });
});

test("a peer that never reads costs dns a bounded amount of memory", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await addNodes(store, 1, 1, Array.from({ length: 4000 }, (_, index) => nodeOf(index)));
    await addNodes(store, 2, 2, [nodeOf(1)]);
    const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
    const good = await WireConnection.open(dns.port());
    await good.route(1, 1);
    const before = await dns.residentBytes() ?? 0;
    const request = frameBytes(Id.GetRouteRequest, getRouteRequest(1, 1));
    const requests = new Uint8Array(1000 * request.length);
    for (let i = 0; i < 1000; i++) requests.set(request, i * request.length);
    const silent: WireConnection[] = [];
    for (let i = 0; i < 5; i++) {
      const peer = await WireConnection.open(dns.port());
      peer.pause();
      peer.sendRaw(requests); // answers of 56 KiB each: 280 MiB in all
      silent.push(peer);
      const startMs = monotonicMs();
      assert.equal((await good.route(2, 2)).hosts.length, 1);
      assertInTime("others are served meanwhile", monotonicMs() - startMs, 3000);
    }
    await addNodes(store, 2, 2, [nodeOf(2)]);
    await good.nextRoute(2, 2, (route) => route.hosts.length === 2);
    const grown = ((await dns.residentBytes() ?? 0) - before) / MIBIBYTE;
    console.log(`five peers that never read: dns grew by ${grown.toFixed(1)} MiB`);
    assert.ok(grown < 150, `${grown} MiB`);
    assert.ok(dns.alive);
    for (const peer of silent) peer.close();
    good.close();
    await store.close();
  });
});

test("connections beyond maxConn are closed at once, and room is given again", async () => {
  await withStoredNode(async ({ processes, url }) => {
    const dns = await processes.start("dns", [
      "--reactor-port=0",
      "--reactor-max-conn=5",
      `--store=${url}`,
    ]);
    const inside: WireConnection[] = [];
    for (let i = 0; i < 5; i++) {
      inside.push(await WireConnection.open(dns.port()));
      await inside[i].route(1, 1);
    }
    for (let i = 0; i < 30; i++) {
      const outside = await WireConnection.open(dns.port()).catch(() => undefined);
      await outside?.untilEnded();
    }
    for (const peer of inside) assert.equal((await peer.route(1, 1)).hosts.length, 1);
    inside[0].close();
    await until(async () => {
      const peer = await WireConnection.open(dns.port());
      const served = await peer.route(1, 1, 1000).then(() => true, () => false);
      peer.close();
      return served;
    }, { what: "room for another connection" });
    for (const peer of inside) peer.close();
  });
});

test("rows with impossible ports and double rows are counted and passed over", async () => {
  await withStoredNode(async ({ processes, url }) => {
    const raw = new DatabaseSync(url.replace("sqlite:", ""), { timeout: 5000 });
    const insert = raw.prepare(
      "INSERT INTO RouteData(modid, cmdid, serverip, serverport) VALUES(?, ?, ?, ?)",
    );
    for (const port of [0, 70_000, 4_294_967_295]) insert.run(1, 1, nodeOf(9).ip, port);
    insert.run(1, 1, nodeOf(2).ip, 65_535);
    insert.run(1, 1, nodeOf(2).ip, 65_535);
    insert.run(2, 2, nodeOf(9).ip, 0);
    raw.close();
    const { dns, agent } = await startFleet(processes, url);
    const peer = await WireConnection.open(dns.port());
    const expected = hostKeys([nodeOf(1), { ip: nodeOf(2).ip, port: 65_535 }]);
    assert.deepEqual(hostKeys((await peer.route(1, 1)).hosts), expected);
    assert.deepEqual((await peer.route(2, 2)).hosts, [], "no node left");
    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    assert.deepEqual(hostKeys((await caller.getRoute(1, 1)).hosts), expected);
    assert.match(dns.stderr, /not served.*(badPort|port)=?\D*4/, "dns says how many, and where");
    caller.close();
    peer.close();
  });
});

/** A wrong configuration and the words that must be in the complaint. */
interface ConfigCase {
  readonly service: "dns" | "reporter" | "agent";
  readonly content: string;
  readonly expected: RegExp;
}

const CONFIG_CASES: readonly ConfigCase[] = [
  {
    service: "dns",
    content: "[reactor]\nip = 127.0.0.1\nmaxCon = 5\n",
    expected: /x\.conf:3: .*maxCon.*did you mean maxConn/,
  },
  {
    service: "dns",
    content: "[reactor]\nport = many\n",
    expected: /x\.conf:2: .*port.*whole number from 0 to 65535.*"many"/,
  },
  {
    service: "reporter",
    content: "[reactor]\n\nport = 70000\n[repoter]\ndb_thread_cnt = three\n",
    expected: /x\.conf:3: .*port.*"70000"[\s\S]*x\.conf:5: .*db_thread_cnt.*"three"/,
  },
  { service: "dns", content: "port = 7778\n[reactor]\n", expected: /x\.conf:1\b.*section/ },
  { service: "reporter", content: "[reactor]\nport 7779\n", expected: /x\.conf:2\b.*=/ },
  { service: "agent", content: "[loadbalance\nprobe_num = 5\n", expected: /x\.conf:1\b/ },
  {
    service: "agent",
    content: "[loadbalanc]\nprobe_num = 5\n",
    expected: /x\.conf:2: .*loadbalanc.*did you mean loadbalance/,
  },
  {
    service: "agent",
    content: "[loadbalance]\nerr_rate = high\nprobe_num = 1.5\nidle_timeout = soon\n",
    expected:
      /probe_num.*"1\.5"[\s\S]*x\.conf:2: .*err_rate.*0 to 1.*"high"[\s\S]*x\.conf:4: .*"soon"/,
  },
  { service: "agent", content: "[dnsserver]\nip = 127.0.0.1:99999\n", expected: /x\.conf:2: / },
  {
    service: "dns",
    content: "[reactor]\nport = 0\n[store]\nurl = oracle:somewhere\n",
    expected: /sqlite:.*mysql:/,
  },
  ...(["dns", "reporter", "agent"] as const).map((service): ConfigCase => ({
    service,
    content: `[${service === "agent" ? "agent" : "reactor"}]\nip = 0.0.0.0\nport = 0\n`,
    expected: /0\.0\.0\.0.*\[auth\] token_file.*allow_insecure/,
  })),
  {
    service: "dns",
    content: "[reactor]\nport = 0\n[auth]\ntoken_file = nowhere.txt\n",
    expected: /token_file.*nowhere\.txt/,
  },
  {
    service: "dns",
    content: "[reactor]\nport = 0\n[auth]\ntoken_file = short.txt\n",
    expected: /token_file.*16 bytes/,
  },
];

async function expectRefusal(
  processes: Processes,
  service: string,
  args: readonly string[],
  expected: { code: number; words: RegExp },
  env: Record<string, string> = {},
): Promise<void> {
  const ended = await processes.run(`${service}/main.ts`, args, { env });
  const told = `${service} ${args.join(" ")}: ${ended.stdout}${ended.stderr}`;
  assert.equal(ended.code, expected.code, told);
  assert.match(ended.stderr, expected.words, told);
  assert.doesNotMatch(ended.stderr, /^\s+at /m, `no stack trace: ${told}`);
  assert.equal(ended.stdout, "", "no ready line");
}

test("a wrong configuration ends with exit code 2 and names file, line, key and range", async () => {
  await withProcesses(async (processes) => {
    writeFileSync(join(processes.directory, "short.txt"), "secret");
    await inTurn(2, CONFIG_CASES, async ({ service, content, expected }, index) => {
      const path = join(processes.directory, `${index}x.conf`);
      writeFileSync(path, content);
      const data = `--data=${processes.directory}`;
      const args = ["-c", path, ...(service === "agent" || content.includes("url") ? [] : [data])];
      await expectRefusal(processes, service, args, { code: 2, words: expected });
    });
    await expectRefusal(processes, "dns", ["-c", "nowhere.conf"], {
      code: 2,
      words: /nowhere\.conf/,
    });
    await expectRefusal(processes, "agent", ["--loadbalance-probe-num=ten"], {
      code: 2,
      words: /--loadbalance-probe-num.*"ten"/,
    });
    await expectRefusal(processes, "agent", ["--no-such-flag"], { code: 2, words: /no-such-flag/ });
    await expectRefusal(processes, "reporter", ["--store=sqlite:x.db"], {
      code: 2,
      words: /LARS_REACTOR_PORT.*"abc"/,
    }, { LARS_REACTOR_PORT: "abc" });
  });
});

/** Runs `fn` for each item, at most `width` at a time. */
async function inTurn<T>(
  width: number,
  items: readonly T[],
  fn: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const queue = items.map((item, index) => ({ item, index }));
  const work = async (): Promise<void> => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
      await fn(one.item, one.index);
    }
  };
  await Promise.all(Array.from({ length: width }, work));
}

test("an export says which of its modules is none, and lars relay echo says no fault too early", async () => {
  await withStoredNode(async ({ processes, url }) => {
    const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
    const template = join(processes.directory, "template");
    writeFileSync(template, "{{#modules}}{{name}}{{/modules}}");
    const exporter = processes.spawn("export", "tools/lars.ts", [
      ...["export", "file", "--template", template, "--out", join(processes.directory, "out")],
      ...["--modules", "nobody", "--dnsserver-ip", `127.0.0.1:${dns.port()}`, "--metrics-port=0"],
    ]);
    await until(() => /no such module: .*module=nobody/.test(exporter.stderr), {
      what: () => `the module to be named: ${exporter.stderr}`,
    });
    const relay = await processes.start("relay", ["--relay-port=0", "--metrics-port=0"]);
    const echo = processes.spawn("echo", "tools/lars.ts", [
      ...["relay", "echo", "--relay", `127.0.0.1:${relay.port()}`],
    ]);
    await until(() => echo.stdout.includes("attached"), { what: "the worker to be attached" });
    assert.equal(echo.stderr, "");
  });
});

test("a taken port ends with exit code 1 and names the port", async () => {
  await withProcesses(async (processes) => {
    const tcp = createServer();
    await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", () => resolve()));
    const address = tcp.address();
    const tcpPort = address !== null && typeof address === "object" ? address.port : 0;
    const udp = createSocket("udp4");
    await new Promise<void>((resolve) => udp.bind(0, "127.0.0.1", () => resolve()));
    const udpPort = udp.address().port;
    const words = (port: number): RegExp => new RegExp(`127\\.0\\.0\\.1:${port}\\b`);
    const store = `--store=sqlite:${join(processes.directory, "lars.db")}`;
    for (const service of ["dns", "reporter"]) {
      for (const loops of [1, 2]) {
        const args = [store, `--reactor-port=${tcpPort}`, `--reactor-thread-num=${loops}`];
        await expectRefusal(processes, service, args, { code: 1, words: words(tcpPort) });
      }
    }
    // Whichever of the three ports is taken.
    for (const first of [udpPort, udpPort - 2]) {
      await expectRefusal(processes, "agent", [`--agent-port=${first}`], {
        code: 1,
        words: words(udpPort),
      });
    }
    tcp.close();
    udp.close();
  });
});

test("with a token, strangers are refused and our agent works", async () => {
  await withStoredNode(async ({ processes, store, url }) => {
    const write = (name: string, content: string): string => {
      const path = join(processes.directory, name);
      writeFileSync(path, content);
      return `--auth-token-file=${path}`;
    };
    const token = write("token", "correct horse battery staple\n");
    const flags = ["--reactor-port=0", `--store=${url}`, token];
    const [dns, reporter] = await Promise.all([
      // With a token a service may listen everywhere.
      processes.start("dns", [...flags, "--reactor-ip=0.0.0.0"]),
      processes.start("reporter", flags),
    ]);
    const refused = async (service: TestProcess, bytes: Uint8Array): Promise<void> => {
      const peer = await WireConnection.open(service.port());
      peer.sendRaw(bytes);
      await peer.untilEnded();
      assert.deepEqual([...peer.idsSeen], []);
    };
    await refused(dns, frameBytes(Id.GetRouteRequest, getRouteRequest(1, 1)));
    const result = { ...nodeOf(1), succ: 1, err: 1, overload: false };
    await refused(
      reporter,
      frameBytes(Id.ReportStatusRequest, reportStatusRequest(6, 6, 1, [result], 1_700_000_000)),
    );
    // A wrong proof: Hello, then 32 bytes that are no answer to the nonce.
    const liar = await WireConnection.open(dns.port());
    liar.send(64, Uint8Array.of(0x08, 1));
    await liar.next((frame) => frame.msgId === 64);
    liar.send(69, Uint8Array.from(bytesField(1, new Uint8Array(32))));
    await liar.untilEnded();

    const agents = await Promise.all(
      [token, write("other", "a wrong token of some length\n")].map((flag, index) =>
        processes.start("agent", [
          ...agentFlags(processes, [dns.port()], [reporter.port()], `cache${index}`),
          flag,
        ])
      ),
    );
    const callers = await Promise.all(agents.map((agent) => WireCaller.open(agent.port())));
    const host = await callers[0].untilHost(1, 1);
    callers[0].report(1, 1, host, 0);
    await until(async () => (await store.readCallStatus({ modId: 1, cmdId: 1 })).length === 1, {
      timeoutMs: 15_000,
      what: "the result of our agent in SQL",
    });
    assert.deepEqual(await store.readCallStatus({ modId: 6 }), [], "nothing of the stranger");
    assert.notEqual((await callers[1].getHost(1, 1)).retCode, 0, "the wrong token gets no routes");
    for (const caller of callers) caller.close();
  });
});
