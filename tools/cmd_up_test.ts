import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { SeedClient } from "../discovery/testing/seed_bench.ts";
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
  readonly samples?: readonly { modid: number; cmdid: number; node: string; delay_ms: number }[];
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

    const samples = events.at(-1)?.samples ?? [];
    assert.deepEqual(
      samples.map((sample) => [sample.modid, sample.cmdid, sample.delay_ms]),
      [[1, 1], [1, 2], [1, 2], [1, 2], [2, 1], [2, 1], [2, 1]]
        .map((key, index) => [...key, index === 3 ? 10 : 0]),
    );
    const caller = await WireCaller.open(agentPort);
    const host = await caller.untilHost(1, 1);
    assert.equal(samples[0].node, `127.0.0.1:${host.port}`);
    assert.equal(host.ip, 0x7f000001);
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
    assert.deepEqual([row.ip, row.port, row.succCount, row.errCount], [
      0x7f000001,
      host.port,
      7,
      1,
    ]);
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
    assert.ok(
      first.stdout.includes(`  lars test gethost shop --data ${data} --agent 127.0.0.1:`),
      first.stdout,
    );
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
    assert.equal(policy, "recommended");
    assert.equal(nodes.length, 3);
    const isKnown = async (): Promise<boolean> => {
      const answer = await fetch(`${link[1]}/api/v1/services`, { headers: { Cookie: cookie } });
      const { services } = await answer.json() as { services: { kind: string }[] };
      const kinds = services.map(({ kind }) => kind);
      return ["dns", "reporter", "agent"].every((kind) => kinds.includes(kind));
    };
    await until(isKnown, { what: "all services in the console" });
    assert.equal((await first.stop()).code, 0);

    const hello = /sample module \(1,1\) hello: (127\.0\.0\.1:\d+)\n/.exec(first.stdout)?.[1] ?? "";
    const removed = ["route", "rm", "1", "1", hello, "--data", data];
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

test("lars up: with --discovery programs of the seed find each other, and agents find them", async () => {
  await withProcesses(async (processes) => {
    const { process, agentPort } = await startUp(processes, [
      "--no-samples",
      "--discovery=127.0.0.1:0",
    ]);
    const ready = eventsOf(process).find(({ service }) => service === "discovery");
    const port = Number(ready?.addresses?.[0].split(":").at(-1));
    const server = await SeedClient.open(port);
    assert.equal(await server.register("127.0.0.1", 5001), 0);
    const client = await SeedClient.open(port);
    assert.equal((await client.connect()).port, 5001);
    const caller = await WireCaller.open(agentPort);
    assert.equal((await caller.untilHost(0, 0)).port, 5001);
    caller.close();
    server.close();
    client.close();
    assert.equal((await process.stop()).code, 0);
  });
});

test("metricsFlags() gives each service of lars up a port of its own", () => {
  assert.deepEqual(metricsFlags("dns", "9000"), {});
  assert.deepEqual(metricsFlags("reporter", "9000"), { "metrics.port": "9001" });
  assert.deepEqual(metricsFlags("agent", "9000"), { "metrics.port": "9002" });
  assert.deepEqual(metricsFlags("web", "9000"), { "metrics.port": "9003" });
  assert.deepEqual(metricsFlags("relay", "9000"), { "metrics.port": "9004" });
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

async function asked(address: string, path: string, method = "GET"): Promise<[number, string]> {
  const response = await fetch(`http://${address}${path}`, { method });
  return [response.status, await response.text()];
}

function samplesOf(process: TestProcess): string[] {
  return eventsOf(process).at(-1)?.samples?.map(({ node }) => node) ?? [];
}

test("lars up: sample nodes answer, fail when told to, and end with it", async () => {
  await withProcesses(async (processes) => {
    const { process } = await startUp(processes);
    const [hello, shop] = samplesOf(process);
    assert.deepEqual(await asked(hello, "/"), [200, "hello from (1,1) hello\n"]);
    const sample = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", ["sample", ...words]);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    assert.equal(await sample("fail"), `${shop} is failing now\n`);
    assert.equal((await asked(shop, "/"))[0], 500);
    assert.equal((await asked(hello, "/"))[0], 200, "the others stay well");
    const states = JSON.parse(await sample("ls", "--json")) as { node: string; mode: string }[];
    assert.deepEqual(
      states.filter(({ mode }) => mode === "failing").map(({ node }) => node),
      [shop],
    );
    assert.equal(await sample("heal", shop), `${shop} is well now\n`);
    assert.equal((await asked(shop, "/"))[0], 200);
    assert.equal((await asked(shop, "/fail", "POST"))[0], 200, "without the command too");
    assert.equal((await asked(shop, "/"))[0], 500);
    assert.equal((await asked(shop, "/fail"))[0], 405, "a look changes nothing");

    assert.equal((await process.stop()).code, 0);
    await assert.rejects(fetch(`http://${hello}/`), "nothing runs outside of it");
    const gone = await processes.run("tools/lars.ts", ["sample", "fail"]);
    assert.equal(gone.code, 1);
    assert.match(
      gone.stderr,
      /No sample node answers at 127\.0\.0\.1:\d+: they run with `lars up`/,
    );
    const foreign = await processes.run("tools/lars.ts", ["sample", "fail", "10.0.0.1:80"]);
    assert.equal(foreign.code, 2);
    assert.match(foreign.stderr, /A sample node is on 127\.0\.0\.1/);
  });
});

test("lars up: a sample node whose port is taken gets another one, and the route follows", async () => {
  await withProcesses(async (processes) => {
    const first = await startUp(processes);
    const before = samplesOf(first.process);
    const other = await startUp(processes, ["--data", "other"]);
    const others = samplesOf(other.process);
    assert.deepEqual(others.filter((node) => before.includes(node)), []);
    assert.equal((await other.process.stop()).code, 0);
    assert.equal((await first.process.stop()).code, 0);

    const port = Number(before[1].split(":")[1]);
    const taker = createServer();
    await new Promise<void>((resolve) => taker.listen(port, "127.0.0.1", resolve));
    try {
      const again = spawnUp(processes, [...FREE_PORTS]);
      await until(() => /lars status.*\n/.test(again.stdout), {
        timeoutMs: 30_000,
        what: "lars up",
      });
      const said = new RegExp(`port ${port} was taken: its sample node is (127\\.0\\.0\\.1:\\d+)`);
      const moved = said.exec(again.stdout)?.[1] ?? "";
      assert.ok(moved !== "", again.stdout);
      assert.deepEqual(await asked(moved, "/"), [200, "hello from (1,2) shop\n"]);
      const routes = await processes.run("tools/lars.ts", ["route", "ls", "1", "2", "--json"]);
      const rows = JSON.parse(routes.stdout) as { ip: string; port: number }[];
      assert.deepEqual(
        rows.map((row) => `${row.ip}:${row.port}`).sort(),
        [moved, before[2], before[3]].sort(),
      );
      assert.equal((await again.stop()).code, 0);
    } finally {
      taker.close();
    }
  });
});

test("lars up --no-samples: neither modules nor nodes", async () => {
  await withProcesses(async (processes) => {
    const { process } = await startUp(processes, ["--no-samples"]);
    assert.deepEqual(samplesOf(process), []);
    const routes = await processes.run("tools/lars.ts", ["route", "ls", "--json"]);
    assert.deepEqual(JSON.parse(routes.stdout), []);
    const none = await processes.run("tools/lars.ts", ["sample", "ls"]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /There are no sample nodes in the data folder \.\/data/);
    assert.equal((await process.stop()).code, 0);
  });
});

test("lars sample call shows a failing node kept out, and back when it is well", async () => {
  await withProcesses(async (processes) => {
    const { process, agentPort } = await startUp(processes);
    const [, shop] = samplesOf(process);
    const agent = `127.0.0.1:${agentPort}`;
    const words = ["sample", "call", "--json", "--seconds=90", "--agent", agent];
    const calls = processes.spawn("calls", "tools/lars.ts", words);
    interface Second {
      readonly nodes?: { node: string; calls: number; failed: number; out: boolean }[];
    }
    const latest = (): { calls: number; failed: number; out: boolean } | undefined => {
      const line = calls.stdout.trimEnd().split("\n").at(-1) ?? "";
      if (!line.startsWith("{")) return undefined;
      return (JSON.parse(line) as Second).nodes?.find(({ node }) => node === shop);
    };
    const seen = (what: string, is: (now: { calls: number; out: boolean }) => boolean) =>
      until(() => {
        const now = latest();
        return now !== undefined && is(now);
      }, { timeoutMs: 40_000, what });
    await seen("calls of the node", (now) => now.calls > 5 && !now.out);
    assert.equal((await asked(shop, "/fail", "POST"))[0], 200);
    await seen("the node kept out", (now) => now.out);
    assert.equal((await asked(shop, "/heal", "POST"))[0], 200);
    await seen("the node back", (now) => now.calls > 5 && !now.out);
    calls.signal("SIGINT");
    const { code, stdout } = await calls.untilEnded();
    assert.equal(code, 0, calls.stderr);
    const total = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as { failed: number };
    assert.ok(total.failed > 0 && total.failed < 300, stdout);
  });
});
