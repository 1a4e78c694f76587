// Nodes of a module die and come back under callers that report each call, with dns and agent as
// processes and the preset that our tools give to modules.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { figure, timeFigure } from "../support/figure.ts";
import { addNodes, nodeOf, sqliteTestStore, startFleet } from "../support/fleet.ts";
import { freePort } from "../support/free_port.ts";
import { withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { ipNumber, monotonicMs, WireCaller, type WireHost } from "../support/wire_client.ts";

const NODES = 10;
const SLOW = { timeout: 240_000 };
/** What a caller reports, by the words of Linux. */
const REFUSED = 111;
const GIVEN_UP = 110;
/** Pause between two calls of a caller: some 150 a second. */
const PAUSE_MS = 5;
/** Time after which a caller gives a call up. */
const GIVE_UP_MS = 100;

interface Call {
  readonly atMs: number;
  readonly node: number;
  readonly isWell: boolean;
}

/** A caller that calls what the agent names; which nodes are dead, and how, is said here. */
class NodeCaller {
  readonly calls: Call[] = [];
  /** get_host without a node. */
  refused = 0;
  /** Return code of calls to a node; without one they go well. */
  readonly dead = new Map<number, number>();
  readonly #caller: WireCaller;
  readonly #baseIp: number;
  readonly #loop: Promise<void>;
  #isStopped = false;

  constructor(caller: WireCaller, baseIp: number) {
    this.#caller = caller;
    this.#baseIp = baseIp;
    this.#loop = this.#run();
  }

  since(fromMs: number): Call[] {
    return this.calls.filter(({ atMs }) => atMs >= fromMs);
  }

  /** Share of the calls of the last second that went to a node. */
  share(node: number): number {
    const last = this.since(monotonicMs() - 1000);
    return last.filter((call) => call.node === node && call.isWell).length /
      Math.max(1, last.length);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loop;
    this.#caller.close();
  }

  async #run(): Promise<void> {
    const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    while (!this.#isStopped) {
      const answer = await this.#caller.getHost(1, 1).catch(() => undefined);
      // Who asks by datagrams asks again: on a machine that is busy enough one is lost.
      if (answer === undefined) continue;
      const { retCode, host } = answer;
      if (retCode !== 0 || host === undefined) this.refused++;
      else {
        const node = host.ip - this.#baseIp;
        const code = this.dead.get(node) ?? 0;
        const atMs = monotonicMs();
        if (code === GIVEN_UP) await pause(GIVE_UP_MS);
        this.#caller.report(1, 1, host, code);
        this.calls.push({ atMs, node, isWell: code === 0 });
      }
      await pause(PAUSE_MS);
    }
  }
}

/** Keys that go on top of the preset, and where the nodes are. */
interface NodesOptions {
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Node number 0, which does not exist. */
  readonly base?: WireHost;
}

const AWAY_FROM_HERE = nodeOf(0);

async function withCaller(
  body: (caller: NodeCaller) => Promise<void>,
  { policy = {}, base = AWAY_FROM_HERE }: NodesOptions = {},
): Promise<void> {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const nodes = Array.from({ length: NODES }, (_, i) => ({ ...base, ip: base.ip + i + 1 }));
    await addNodes(store, 1, 1, nodes);
    const text = JSON.stringify({ policy: "recommended", ...policy });
    await store.setModules([{ modId: 1, cmdId: 1, name: "n", policy: text }]);
    const { agent } = await startFleet(processes, url);
    const wire = await WireCaller.open(agent.port());
    await until(async () => {
      const { hosts } = await wire.getRoute(1, 1);
      return hosts.length === NODES;
    }, { what: "the route" });
    const caller = new NodeCaller(wire, base.ip);
    // Each node has been called, and none is new any more.
    await until(() => caller.calls.length > 600, { timeoutMs: 90_000, what: "calls" });
    try {
      await body(caller);
    } finally {
      await caller.stop();
    }
    await store.close();
  });
}

const forMs = async (ms: number): Promise<void> => {
  const endMs = monotonicMs() + ms;
  await until(() => monotonicMs() >= endMs, { timeoutMs: ms + 20_000, what: "time to pass" });
};

for (const [code, what] of [[REFUSED, "refused"], [GIVEN_UP, "given up"]] as const) {
  test(
    `a node dies: few calls fail until it is out, calls ${what}`,
    SLOW,
    () =>
      withCaller(async (caller) => {
        const fromMs = monotonicMs();
        caller.dead.set(3, code);
        await forMs(4000);
        const failed = caller.since(fromMs).filter(({ isWell }) => !isWell);
        // After that they are single probes.
        const out = failed.findIndex(({ atMs }, i) =>
          atMs > (failed[i - 1]?.atMs ?? fromMs) + 1000
        );
        const early = out < 0 ? failed : failed.slice(0, out);
        const value = (early.at(-1)?.atMs ?? fromMs) - fromMs;
        figure(
          `calls ${what}: ${early.length} failed, then ${failed.length - early.length} probes`,
        );
        assert.ok(early.length > 0);
        if (code === REFUSED) assert.ok(early.length <= 3, `${early.length}, of 3 as promised`);
        else timeFigure({ what: "the last one after", value, atMost: 1000, unit: "ms" });
        assert.equal(caller.refused, 0);
      }),
  );
}

/** Has a node be away, and says when it has its share again. */
async function backAfter(
  caller: NodeCaller,
  awayMs: number,
  what: string,
  atMost: number,
  power: (isOn: boolean) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  await power(false);
  caller.dead.set(5, REFUSED);
  await forMs(awayMs);
  assert.equal(caller.share(5), 0);
  await power(true);
  caller.dead.delete(5);
  const fromMs = monotonicMs();
  await until(() => caller.share(5) >= 0.8 / NODES, { timeoutMs: 90_000, what: "its share" });
  const value = (monotonicMs() - fromMs) / 1000;
  timeFigure({
    what: `away for ${awayMs / 1000} s, ${what}: back after`,
    value,
    atMost,
    unit: "s",
  });
}

/** A node has its share of calls one second later than it is back: its calls of a second are counted. */
const COUNTED_S = 1;
/** The first rest of a node of the preset, its random part included. */
const FIRST_REST_S = 10;

for (const rampMs of [0, 10_000]) {
  const how = rampMs === 0 ? "whole share at once" : "share that grows";
  test(`a node is back, found by calls alone: ${how}`, SLOW, () =>
    withCaller(async (caller) => {
      // Four fifths are reached after as much of the time in which the share grows: up to twice as long.
      const growS = 2 * 0.8 * rampMs / 1000;
      const atMost = FIRST_REST_S - 5 + COUNTED_S + growS;
      await backAfter(caller, 5_000, `found by calls alone, ${how}`, atMost);
    }, { policy: { rampMs } }));
}

test("a node is back, found by the checks of the agent", SLOW, async () => {
  const port = await freePort();
  const base = { ip: ipNumber("127.0.7.0"), port };
  const listening = new Map<number, Server>();
  const listen = async (node: number): Promise<void> => {
    const server = createServer((socket) => void socket.on("error", () => {}).end());
    listening.set(node, server);
    await new Promise<void>((resolve) => server.listen(port, `127.0.7.${node}`, resolve));
  };
  const close = (node: number): Promise<void> =>
    new Promise((resolve) => {
      const server = listening.get(node);
      listening.delete(node);
      if (server === undefined) resolve();
      else server.close(() => resolve());
    });
  for (let node = 1; node <= NODES; node++) await listen(node);
  const healthCheck = { kind: "tcp", intervalMs: 1000, timeoutMs: 500, rise: 2, dwellMs: 1000 };
  await withCaller(async (caller) => {
    const power = (isOn: boolean): Promise<void> => isOn ? listen(5) : close(5);
    for (const awayMs of [5_000, 20_000]) {
      await backAfter(caller, awayMs, "checked each second", 5, power);
    }
  }, { policy: { rampMs: 0, healthCheck }, base });
  for (const node of [...listening.keys()]) await close(node);
});

test(
  "every node fails: nobody is refused, then or when they are back",
  SLOW,
  () =>
    withCaller(async (caller) => {
      for (let node = 1; node <= NODES; node++) caller.dead.set(node, REFUSED);
      const fromMs = monotonicMs();
      await forMs(4000);
      const called = new Set(caller.since(monotonicMs() - 2000).map(({ node }) => node));
      const during = caller.since(fromMs).length;
      caller.dead.clear();
      const backMs = monotonicMs();
      await until(() =>
        Array.from({ length: NODES }, (_, i) => caller.share(i + 1)).every((one) =>
          one >= 0.5 / NODES
        ), { timeoutMs: 60_000, what: "each to have half of its share" });
      figure(
        `${during} get_host while all ${NODES} nodes failed, ${caller.refused} refused, ` +
          `${called.size} of ${NODES} nodes in use; all called again ` +
          `${((monotonicMs() - backMs) / 1000).toFixed(1)} s after their return`,
      );
      assert.equal(caller.refused, 0);
    }),
);
