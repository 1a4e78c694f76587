// Programs that register themselves by the api and by `lars register`, with every service as a process.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { createServer as createHttpServer } from "node:http";
import { test } from "node:test";
import { register } from "../api/register.ts";
import { sqliteTestStore, startFleet, type TestStore } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

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
    await untilPorts(caller, 7, []);
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
