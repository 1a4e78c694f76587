import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { openStore } from "../sql/mod.ts";
import { assertInTime } from "../tests/support/in_time.ts";
import { freePort } from "../tests/support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";
import { monotonicMs, WireCaller, WireConnection } from "../tests/support/wire_client.ts";
import { metricsFlags } from "./cmd_up.ts";

/** What is promised for Ctrl-C, with some room for the test's own looks. */
const STOP_PROMISED_MS = 2000;

const FREE_PORTS = [
  "--dns=127.0.0.1:0",
  "--reporter=127.0.0.1:0",
  "--agent=127.0.0.1:0",
  "--console=127.0.0.1:0",
];

interface Up {
  readonly process: TestProcess;
  readonly dnsPort: number;
  readonly agentPort: number;
}

interface UpEvent {
  readonly event: string;
  readonly service?: string;
  readonly addresses?: readonly string[];
}

function eventsOf(process: TestProcess): UpEvent[] {
  return process.stdout.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as UpEvent);
}

function spawnUp(processes: Processes, args: readonly string[]): TestProcess {
  return processes.spawn("lars up", "tools/lars.ts", ["up", ...args]);
}

async function startUp(processes: Processes, args: readonly string[] = []): Promise<Up> {
  const process = spawnUp(processes, ["--json", ...FREE_PORTS, ...args]);
  await until(() => {
    assert.ok(process.alive, process.stderr);
    return eventsOf(process).some(({ event }) => event === "up");
  }, { timeoutMs: 30_000, what: "lars up" });
  const portOf = (service: string): number => {
    const ready = eventsOf(process).find((event) => event.service === service);
    return Number(ready?.addresses?.[0].split(":").at(-1));
  };
  return { process, dnsPort: portOf("dns"), agentPort: portOf("agent") };
}

test("lars up: ready lines as JSON, samples answered, routes pushed, Ctrl-C loses nothing", async () => {
  await withProcesses(async (processes) => {
    const { process, dnsPort, agentPort } = await startUp(processes);
    const events = eventsOf(process);
    assert.deepEqual(events.map(({ event, service }) => service ?? event), [
      "dns",
      "reporter",
      "agent",
      "web",
      "up",
    ]);
    for (const { event, addresses } of events.slice(0, 4)) {
      assert.equal(event, "ready");
      assert.match(addresses?.[0] ?? "", /^127\.0\.0\.1:[1-9]\d*$/);
    }

    const caller = await WireCaller.open(agentPort);
    const host = await caller.untilHost(1, 1);
    assert.deepEqual(host, { ip: 3232235953, port: 7777 });
    assert.equal((await caller.untilHost(2, 1)).ip, 0x7f000001);

    const subscriber = await WireConnection.open(dnsPort);
    assert.equal((await subscriber.route(1, 2)).hosts.length, 3);
    const added = await processes.run("tools/lars.ts", [
      ...["route", "add", "1", "2", "10.0.0.1:1", "--data", join(processes.directory, "data")],
      "--json",
    ]);
    assert.equal(added.code, 0, added.stderr);
    assert.equal((await subscriber.nextRoute(1, 2)).hosts.length, 4);
    subscriber.close();

    // Reported right before the end: it has to travel from agent to reporter to database.
    for (let i = 0; i < 7; i++) caller.report(1, 1, host, 0);
    caller.report(1, 1, host, 1);
    await caller.getHost(1, 1);
    caller.close();
    const startMs = monotonicMs();
    process.signal("SIGINT");
    const { code, stderr } = await process.untilEnded();
    const tookMs = monotonicMs() - startMs;
    assert.equal(code, 0, stderr);
    assertInTime("lars up stops", tookMs, STOP_PROMISED_MS);
    assert.deepEqual(eventsOf(process).at(-1), { event: "stopped", clean: true });

    const store = await openStore(`sqlite:${join(processes.directory, "data/lars.db")}`);
    const rows = await store.readCallStatus({ modId: 1, cmdId: 1 });
    await store.close();
    const [row] = rows;
    assert.equal(rows.length, 1, stderr);
    assert.deepEqual([row.ip, row.port, row.succCount, row.errCount], [3232235953, 7777, 7, 1]);
  });
});

test("lars up: text output, second start keeps the data, SIGTERM ends it too", async () => {
  await withProcesses(async (processes) => {
    const data = join(processes.directory, "some", "where");
    const first = spawnUp(processes, [...FREE_PORTS, "--data", data]);
    // Lines may come one by one: wait for the last.
    const isUp = (): boolean => /lars status .*\n/.test(first.stdout);
    await until(isUp, { timeoutMs: 30_000, what: "lars up" });
    assert.match(
      first.stdout,
      /^dns ready on 127\.0\.0\.1:\d+\nreporter ready on 127\.0\.0\.1:\d+\nagent ready on (127\.0\.0\.1:\d+(, )?){3}\n/,
    );
    assert.match(first.stdout, /lars test gethost 1 1/);
    const link = /(http:\/\/127\.0\.0\.1:\d+)\/#once=(\S+)/.exec(first.stdout);
    assert.ok(link !== null, first.stdout);
    const login = (): Promise<Response> =>
      fetch(`${link[1]}/api/v1/session/link`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ token: link[2] }),
      });
    const once = await login();
    assert.equal(once.status, 200);
    const cookie = once.headers.get("Set-Cookie")?.split(";")[0] ?? "";
    const overview = await fetch(`${link[1]}/api/v1/overview`, { headers: { Cookie: cookie } });
    assert.equal((await overview.json()).moduleCount, 3);
    assert.equal((await login()).status, 401, "a link logs in once");
    const explain = (): Promise<Response> =>
      fetch(`${link[1]}/api/v1/modules/1/2/explain`, { headers: { Cookie: cookie } });
    assert.equal((await (await explain()).json()).routeState, "unknown", "nobody has asked for it");
    const agent = /agent ready on 127\.0\.0\.1:(\d+)/.exec(first.stdout);
    const asking = await WireCaller.open(Number(agent?.[1]));
    await asking.untilHost(1, 2);
    asking.close();
    const { policy, nodes } = await (await explain()).json();
    assert.equal(policy, "lars");
    assert.equal(nodes.length, 3);
    const isKnown = async (): Promise<boolean> => {
      const answer = await fetch(`${link[1]}/api/v1/services`, { headers: { Cookie: cookie } });
      const { services } = await answer.json() as { services: { kind: string }[] };
      const kinds = services.map(({ kind }) => kind);
      return ["dns", "reporter", "agent"].every((kind) => kinds.includes(kind));
    };
    await until(isKnown, { what: "all services in the console" });
    assert.equal((await first.stop()).code, 0);

    const removed = ["route", "rm", "1", "1", "192.168.1.177:7777", "--data", data];
    assert.equal((await processes.run("tools/lars.ts", removed)).code, 0);
    const { process, agentPort } = await startUp(processes, ["--data", data]);
    const caller = await WireCaller.open(agentPort);
    await caller.untilHost(1, 2);
    assert.equal((await caller.getHost(1, 1)).retCode, 3, "samples are added once only");
    caller.close();
    assert.equal((await process.stop()).code, 0);
  });
});

function occupy(): Promise<{ server: Server; port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve({ server, port: address !== null && typeof address === "object" ? address.port : 0 });
    });
  });
}

for (const service of ["dns", "reporter"]) {
  test(`lars up: a taken ${service} port is named, and what was started is stopped`, async () => {
    await withProcesses(async (processes) => {
      const { server, port } = await occupy();
      try {
        const args = [...FREE_PORTS, `--${service}=127.0.0.1:${port}`];
        const { code, stdout, stderr } = await spawnUp(processes, args).untilEnded(30_000);
        assert.equal(code, 1, stderr);
        assert.equal(stdout, "");
        assert.match(stderr, new RegExp(`^lars: .*127\\.0\\.0\\.1:${port}.*in use`, "m"));
        assert.doesNotMatch(stderr, /^\s+at /m);
      } finally {
        server.close();
      }
    });
  });
}

test("lars up: a taken agent port is named, also when all ports are given", async () => {
  await withProcesses(async (processes) => {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    const { port } = socket.address();
    try {
      const args = [
        `--dns=127.0.0.1:${await freePort()}`,
        `--reporter=127.0.0.1:${await freePort()}`,
        `--agent=127.0.0.1:${port}`,
      ];
      const { code, stdout, stderr } = await spawnUp(processes, args).untilEnded(30_000);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, "");
      assert.match(stderr, new RegExp(`^lars: .*127\\.0\\.0\\.1:${port}.*in use`, "m"));
    } finally {
      socket.close();
    }
  });
});

test("lars up: given ports are used, and another dns on one of them is a clear error", async () => {
  await withProcesses(async (processes) => {
    const ports = [await freePort(), await freePort()];
    const args = [`--dns=127.0.0.1:${ports[0]}`, `--reporter=127.0.0.1:${ports[1]}`];
    const { process, dnsPort, agentPort } = await startUp(processes, args);
    assert.equal(dnsPort, ports[0]);
    const caller = await WireCaller.open(agentPort);
    await caller.untilHost(1, 1);
    caller.close();
    const other = await spawnUp(processes, [...args, "--data=other", "--agent=127.0.0.1:0"])
      .untilEnded(30_000);
    assert.equal(other.code, 1);
    assert.match(other.stderr, new RegExp(`127\\.0\\.0\\.1:${ports[0]}.*in use`));
    assert.equal((await process.stop()).code, 0);
  });
});

test("lars up: a second one on the same data folder says so", async () => {
  await withProcesses(async (processes) => {
    const { process } = await startUp(processes);
    const { code, stderr } = await spawnUp(processes, FREE_PORTS).untilEnded(30_000);
    assert.equal(code, 1);
    assert.match(stderr, /^lars: Another `lars up` uses the data folder \.\/data/);
    await process.kill9();
    const again = await startUp(processes);
    assert.equal((await again.process.stop()).code, 0, "a killed one leaves no lock behind");
  });
});

test("lars up: refuses to listen beyond loopback without authentication", async () => {
  await withProcesses(async (processes) => {
    const open = [...FREE_PORTS, "--agent=0.0.0.0:0"];
    const refused = await spawnUp(processes, open).untilEnded(30_000);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(refused.stderr, /Will not listen on 0\.0\.0\.0 .*token_file.*allow_insecure/);
    const { process } = await startUp(processes, ["--agent=0.0.0.0:0", "--auth-allow-insecure"]);
    assert.equal((await process.stop()).code, 0);
  });
});

test("lars up: a data folder that cannot be used is a clear error", async () => {
  await withProcesses(async (processes) => {
    mkdirSync(join(processes.directory, "data", "lars.db"), { recursive: true });
    const { code, stderr } = await spawnUp(processes, FREE_PORTS).untilEnded(30_000);
    assert.equal(code, 1);
    assert.match(stderr, /^lars: Database sqlite:\.\/data\/lars\.db cannot be used: /);
  });
});

test("metricsFlags() gives each service of lars up a port of its own", () => {
  assert.deepEqual(metricsFlags("dns", "9000"), {});
  assert.deepEqual(metricsFlags("reporter", "9000"), { "metrics.port": "9001" });
  assert.deepEqual(metricsFlags("agent", "9000"), { "metrics.port": "9002" });
  assert.deepEqual(metricsFlags("web", "9000"), { "metrics.port": "9003" });
  for (const text of [undefined, "", "0", "x"]) assert.deepEqual(metricsFlags("agent", text), {});
});

test("lars up: the console stays on loopback, and can be left out", async () => {
  await withProcesses(async (processes) => {
    const args = FREE_PORTS.slice(0, 3);
    const open = await processes.run("tools/lars.ts", ["up", ...args, "--console", "0.0.0.0:0"]);
    assert.equal(open.code, 2);
    assert.match(open.stderr, /--console must be on loopback/);
    const process = spawnUp(processes, ["--json", ...args, "--no-console"]);
    await until(() => eventsOf(process).some(({ event }) => event === "up"), {
      timeoutMs: 30_000,
      what: "lars up",
    });
    assert.deepEqual(eventsOf(process).map(({ event, service }) => service ?? event), [
      "dns",
      "reporter",
      "agent",
      "up",
    ]);
    assert.equal((await process.stop()).code, 0);
  });
});
