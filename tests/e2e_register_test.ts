// Programs that register themselves by the api and by `lars register`, with every service as a process.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { createServer as createHttpServer } from "node:http";
import { test } from "node:test";
import { NodeRegistrar, register, type RegisteredNode } from "../api/register.ts";
import { Registrar } from "../api/registrar.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { sqliteTestStore, startFleet, type TestStore } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

/** Bun would give up after 5 s. */
const SLOW = { timeout: 120_000 };

/** A registrar that is never connected. */
const UNUSED = { clock: new ManualClock(), rng: seededRng(1), addressOf: () => 1 };

interface World extends TestStore {
  readonly processes: Processes;
  readonly discoveryPort: number;
  readonly discovery: TestProcess;
  readonly caller: WireCaller;
  startDiscovery(): Promise<TestProcess>;
}

async function withWorld(body: (world: World) => Promise<void>): Promise<void> {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const discoveryPort = await freePort();
    const startDiscovery = (): Promise<TestProcess> =>
      processes.start("discovery", [
        ...[`--reactor-port=${discoveryPort}`, `--store=${url}`, "--metrics-port=0"],
      ]);
    const [{ agent }, discovery] = await Promise.all([
      startFleet(processes, url),
      startDiscovery(),
    ]);
    const caller = await WireCaller.open(agent.port());
    try {
      await body({ processes, url, store, discovery, discoveryPort, caller, startDiscovery });
    } finally {
      caller.close();
      await store.close();
    }
  });
}

/** Ports of a module at the agent. */
async function portsOf(caller: WireCaller, modId: number): Promise<number[]> {
  const route = await caller.getRoute(modId, 1, 500).catch(() => undefined);
  return (route?.hosts ?? []).map(({ port }) => port).sort((a, b) => a - b);
}

function untilPorts(caller: WireCaller, modId: number, ports: readonly number[]): Promise<void> {
  let seen: number[] = [];
  return until(async () => {
    seen = await portsOf(caller, modId);
    return JSON.stringify(seen) === JSON.stringify([...ports].sort((a, b) => a - b));
  }, { what: () => `ports ${ports}, not ${seen}`, timeoutMs: 30_000 });
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.on("error", () => {}));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

test("register(): a node beats, survives kill -9 and an end of its lease, and leaves in order", () =>
  withWorld(async ({ discovery, discoveryPort, caller, store, startDiscovery }) => {
    const states: string[] = [];
    const node = await register({
      ...{ discovery: `127.0.0.1:${discoveryPort}`, modId: 7, cmdId: 1, port: 4001 },
      ...{ createModule: true, ttlMs: 3_000, weight: 40, note: { version: "1.2" } },
      onState: (state) => states.push(state),
    });
    assert.equal(node.state, "registered");
    assert.equal(node.address, "127.0.0.1:4001");
    await untilPorts(caller, 7, [4001]);
    await discovery.kill9();
    await until(() => node.state === "connecting", { what: "the loss to be noticed" });
    await startDiscovery();
    await until(() => node.state === "registered", { what: "it to come again" });
    assert.deepEqual(await portsOf(caller, 7), [4001], "it was never out");
    const [lease] = await store.leases.list({ modId: 7 }, 9);
    assert.deepEqual([lease.weight, lease.note, lease.phase], [40, '{"version":"1.2"}', "live"]);
    // An operator ends it: a program that lives registers again.
    await store.editRoutes([{ op: "remove", modId: 7, cmdId: 1, ip: 0x7f000001, port: 4001 }]);
    const isRouted = async (): Promise<boolean> =>
      (await store.readModules([{ modId: 7, cmdId: 1 }])).length === 1;
    assert.equal(await isRouted(), false);
    await until(isRouted, { what: "another registration", timeoutMs: 30_000 });
    await untilPorts(caller, 7, [4001]);
    await node.update({ weight: 60 });
    assert.equal((await store.readModules([{ modId: 7, cmdId: 1 }]))[0].weight, 60);
    assert.deepEqual(await node.close({ limitMs: 20_000, quietMs: 200 }), {
      ...{ safe: true, waitsFor: "" },
    });
    assert.deepEqual(await store.readModules([{ modId: 7, cmdId: 1 }]), []);
    assert.equal(states.at(-1), "closed");
  }));

test("register(): what cannot be is refused at once, with the reason", () =>
  withWorld(async ({ discoveryPort, store }) => {
    const discovery = `127.0.0.1:${discoveryPort}`;
    const wish = { discovery, modId: 7, cmdId: 1, port: 4001 };
    await assert.rejects(register(wish), /There is no module 7\/1/);
    await assert.rejects(register({ ...wish, createModule: true, ttlMs: 1 }), /ttl must be/);
    await assert.rejects(
      register({ ...wish, cidr: "203.0.113.0/24" }),
      /No address of this machine/,
    );
    assert.deepEqual(await store.leases.list({}, 9), []);
  }));

test(
  "NodeRegistrar: nodes of a program share a connection and its heartbeat, and leave alone",
  SLOW,
  () =>
    withWorld(async ({ discovery, discoveryPort, caller, store, startDiscovery }) => {
      const registrar = new NodeRegistrar({ discovery: `127.0.0.1:${discoveryPort}` });
      const ports = [4001, 4002, 4003];
      const nodes = await Promise.all(
        ports.map((port) =>
          registrar.register({ modId: 7, cmdId: 1, port, ttlMs: 1_500, createModule: true })
        ),
      );
      await untilPorts(caller, 7, ports);
      await assert.rejects(registrar.register({ modId: 9, cmdId: 9, port: 1 }), /no module 9\/9/);
      const seen = async (): Promise<unknown> =>
        (await store.instances(["discovery"])).at(-1)?.detail.connections;
      await until(async () => await seen() === 1, {
        what: () => "one connection",
        timeoutMs: 30_000,
      });
      assert.deepEqual(await portsOf(caller, 7), ports, "heartbeats of one reach for all");
      await discovery.kill9();
      await startDiscovery();
      await until(() => nodes.every(({ state }) => state === "registered"), { what: "all back" });
      await nodes[0].close({ limitMs: 0 });
      await untilPorts(caller, 7, ports.slice(1));
      assert.deepEqual((await registrar.close({ limitMs: 0 })).length, 2);
      await untilPorts(caller, 7, []);
      assert.deepEqual(nodes.map(({ state }) => state), ["closed", "closed", "closed"]);
    }),
);

test(
  "register() and lars register take a module by its name, and say when there is none",
  SLOW,
  () =>
    withWorld(async ({ processes, discoveryPort, store, url }) => {
      const discovery = `127.0.0.1:${discoveryPort}`;
      await assert.rejects(
        register({ discovery, module: "shopp", port: 4001 }),
        /No module is called "shopp"/,
      );
      await store.setModules([{ modId: 11, cmdId: 2, name: "shop" }]);
      let node: RegisteredNode | undefined;
      await until(async () => {
        node = await register({ discovery, module: "shop", port: 4001 }).catch(() => undefined);
        return node !== undefined;
      }, { what: "discovery to know the name" });
      assert.deepEqual((await store.leases.list({}, 9)).map(({ modId, cmdId }) => [modId, cmdId]), [
        ...[[11, 2]],
      ]);
      await node?.update({ weight: 7 });
      assert.equal((await store.readModules([{ modId: 11, cmdId: 2 }]))[0].weight, 7);
      await node?.close({ limitMs: 0 });
      assert.throws(() => new Registrar(UNUSED).add({ port: 1 }), /must name a module/);
      const run = (...words: string[]) =>
        processes.run("tools/lars.ts", ["register", ...words, "--", "true"]);
      const words = ["--discovery", discovery, "--check", "none"];
      assert.equal((await run("shop", "4002", ...words)).code, 0);
      const { rows } = await store.leases.since(0, 9);
      assert.deepEqual(rows.map(({ modId, port }) => [modId, port]), [[11, 4001], [11, 4002]]);
      const unknown = await processes.spawn("register", "tools/lars.ts", [
        ...["register", "shopp", "4002", ...words, "--", "sleep", "60"],
      ]).untilEnded(30_000);
      assert.equal(unknown.code, 1);
      assert.match(unknown.stderr, /did you mean/);
      assert.equal((await run("shop", ...words)).code, 2, "without a port");
      assert.ok(url !== "");
    }),
);

test(
  "a node is checked by discovery where both want it, at its own address alone",
  SLOW,
  () =>
    withWorld(async ({ processes, discovery: idle, caller, store, url }) => {
      await idle.stop();
      const checking = await processes.start("discovery", [
        ...["--reactor-port=0", `--store=${url}`, "--metrics-port=0", "--discovery-checks=1"],
      ]);
      const port = await freePort();
      const discovery = `127.0.0.1:${checking.port()}`;
      const seen: string[] = [];
      let status = 503;
      const server = createHttpServer((request, response) => {
        seen.push(request.url ?? "");
        response.writeHead(status, { Location: "http://127.0.0.1:1/elsewhere" }).end();
      });
      await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
      const wish = { discovery, modId: 12, cmdId: 1, port, createModule: true } as const;
      const node = await register({ ...wish, check: "http:/up" });
      await until(() => seen.length >= 2, { what: "looks" });
      assert.deepEqual(await store.readModules([{ modId: 12, cmdId: 1 }]), [], "it is not ready");
      status = 302; // An answer; where it points to is nobody's business.
      await untilPorts(caller, 12, [port]);
      assert.ok(seen.every((path) => path === "/up"));
      status = 500;
      await until(async () => (await store.leases.list({}, 9))[0].phase === "failing");
      await untilPorts(caller, 12, []);
      status = 200;
      await untilPorts(caller, 12, [port]);
      await assert.rejects(
        register({ ...wish, ip: "169.254.169.254", check: "tcp" }),
        /ip must be an address that may be checked/,
      );
      await assert.rejects(register({ ...wish, check: "https:/up" }), /check must be/);
      await node.close({ limitMs: 0 });
      server.closeAllConnections();
      server.close();
    }),
);

test("lars register: runs a program, registers it when it is ready, and leaves before it stops", () =>
  withWorld(async ({ processes, discoveryPort, caller, store }) => {
    const port = await freePort();
    let isUp = false;
    const server = createHttpServer((request, response) => {
      response.writeHead(isUp && request.url === "/up" ? 200 : 503).end();
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    const sidecar = processes.spawn("register", "tools/lars.ts", [
      ...["register", "8", "1", String(port), "--discovery", `127.0.0.1:${discoveryPort}`],
      ...["--weight", "30", "--zone", "east", "--check", "http:/up", "--drain-seconds", "20"],
      ...["--", "sh", "-c", 'trap "echo told to stop; exit 7" TERM; while :; do sleep 0.1; done'],
    ]);
    const waiting = async (): Promise<string | undefined> =>
      (await store.leases.list({ modId: 8 }, 9))[0]?.phase;
    await until(async () => await waiting() === "waiting", { what: "it to be registered" });
    assert.deepEqual(await store.readModules([{ modId: 8, cmdId: 1 }]), [], "and not to be picked");
    isUp = true;
    await untilPorts(caller, 8, [port]);
    const [route] = await store.readModules([{ modId: 8, cmdId: 1 }]);
    assert.deepEqual([route.weight, route.zone, route.state], [30, "east", "on"]);
    const listed = await processes.run("tools/lars.ts", [
      ...["node", "ls", "8", "1", "--json", "--data", processes.directory],
    ]);
    assert.deepEqual(JSON.parse(listed.stdout).map((one: { source: string }) => one.source), [
      "lars",
    ]);
    sidecar.signal("SIGTERM");
    const ended = await sidecar.untilEnded(40_000);
    assert.equal(ended.code, 7, ended.stderr);
    assert.match(ended.stdout, /told to stop/);
    assert.doesNotMatch(ended.stderr, /before it was safe/);
    assert.deepEqual(await store.readModules([{ modId: 8, cmdId: 1 }]), []);
    const gone = await processes.run("tools/lars.ts", [
      "lease",
      "ls",
      "--data",
      processes.directory,
    ]);
    assert.match(gone.stdout, /no node has registered itself/);
    await new Promise((resolve) => server.close(resolve));
  }));

test("lars register: a program that ends by itself is out at once, and its code is passed on", () =>
  withWorld(async ({ processes, discoveryPort, caller, store }) => {
    const server = await listen(0);
    const address = server.address();
    const port = address !== null && typeof address === "object" ? address.port : 0;
    const start = (...command: string[]): TestProcess =>
      processes.spawn("register", "tools/lars.ts", [
        ...["register", "9", "1", String(port), "--discovery", `127.0.0.1:${discoveryPort}`],
        ...["--", ...command],
      ]);
    const sidecar = start("sh", "-c", "read line < /dev/null; sleep 2; exit 3");
    await untilPorts(caller, 9, [port]);
    assert.equal((await sidecar.untilEnded(30_000)).code, 3);
    assert.deepEqual(await store.readModules([{ modId: 9, cmdId: 1 }]), []);
    const wrong = await start("no-such-program-here").untilEnded(30_000);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /no-such-program-here/);
    server.close();
  }));
