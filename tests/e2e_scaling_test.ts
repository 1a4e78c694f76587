// A wave of load on a module whose nodes are started and stopped by a webhook, all as real processes.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer, get, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { LarsClient } from "../api/client.ts";
import { type ScaleRule, ScaleRuleShape } from "../control/schemas.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { type ChartedFleet, drawScaling } from "../sim/scaling_chart.ts";
import type { AuditEntry } from "../sql/console/console_store.ts";
import type { Store } from "../sql/mod.ts";
import { sqliteTestStore, startFleet } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const MODULE = { modId: 7, cmdId: 1 } as const;
const SECRET = "a secret of sixteen";
/** Time that a node takes for a call. */
const SERVICE_MS = 5;
const AUDIT: AuditEntry = {
  ...{ atMs: 1, who: "test", action: "test", target: "", outcome: "done", detail: "" },
  address: "",
};

/** Windows so small that a wave takes a minute. */
const RULE: ScaleRule = ScaleRuleShape.parse({
  ...{ metric: "calls", target: 20, min: 1, max: 6, stepUp: 6, stepDown: 2, windowS: 6 },
  ...{ coolDownUpS: 5, coolDownDownS: 5, stabilisationS: 10, startS: 30, warmUpS: 0 },
  ...{ drainS: 30, quietS: 2, driver: "webhook", webhook: "fleet" },
});

interface Order {
  readonly type: string;
  readonly id: string;
  readonly from: number;
  readonly to: number;
  readonly nodes: readonly string[];
}

function textOf(message: IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    message.setEncoding("utf8").on("data", (part: string) => text += part)
      .on("end", () => resolve(text));
  });
}

/** What starts and stops nodes, as an operator would write it: it does what orders say, once each. */
class FleetDriver {
  readonly orders: Order[] = [];
  readonly nodes = new Map<string, TestProcess>();
  readonly faults: string[] = [];
  refusals = 1;
  readonly #server: Server;
  readonly #processes: Processes;
  readonly #discovery: string;

  constructor(processes: Processes, discovery: string) {
    this.#processes = processes;
    this.#discovery = discovery;
    this.#server = createServer((request, response) => {
      void textOf(request).then(async (text) => {
        const { "x-lars-timestamp": at, "x-lars-signature": signature } = request.headers;
        const mac = createHmac("sha256", SECRET).update(`${at}.${text}`).digest("hex");
        if (signature !== `sha256=${mac}`) this.faults.push("a signature is wrong");
        // The first is refused: it comes again under the same id.
        if (this.refusals-- > 0) return response.writeHead(503).end();
        const order = JSON.parse(text) as Order;
        if (order.id !== request.headers["x-lars-delivery"]) this.faults.push("ids differ");
        if (!this.orders.some(({ id }) => id === order.id)) await this.#take(order);
        response.end();
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", () => resolve()));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  async start(): Promise<void> {
    const port = await freePort();
    const args = [this.#discovery, `${MODULE.modId}`, `${port}`, `${SERVICE_MS}`];
    const program = "tests/support/scaling_node_program.ts";
    this.nodes.set(`127.0.0.1:${port}`, this.#processes.spawn(`node ${port}`, program, args));
  }

  close(): void {
    this.#server.close();
  }

  async #take(order: Order): Promise<void> {
    this.orders.push(order);
    if (order.type === "scale.start") {
      for (let count = order.from; count < order.to; count++) await this.start();
    }
    for (const name of order.nodes) {
      this.nodes.get(name)?.signal("SIGTERM");
      this.nodes.delete(name);
    }
  }
}

/** Callers of the module, and what they saw in each second. */
class Load {
  readonly seconds: { calls: number; failed: number; error: string }[] = [];
  callsPerSecond = 0;
  #stopped = false;
  readonly #client: LarsClient;
  readonly #startMs = systemClock.nowMs();

  constructor(client: LarsClient) {
    this.#client = client;
  }

  async run(): Promise<void> {
    const open = new Set<Promise<void>>();
    let owed = 0;
    let atMs = systemClock.nowMs();
    while (!this.#stopped) {
      await sleep(systemClock, 20);
      const nowMs = systemClock.nowMs();
      owed += this.callsPerSecond * (nowMs - atMs) / 1000;
      atMs = nowMs;
      for (; owed >= 1; owed--) {
        const call = this.#call();
        open.add(call);
        void call.finally(() => open.delete(call));
      }
    }
    await Promise.all(open);
  }

  stop(): void {
    this.#stopped = true;
  }

  get second(): number {
    return Math.floor((systemClock.nowMs() - this.#startMs) / 1000);
  }

  async #call(): Promise<void> {
    const { modId, cmdId } = MODULE;
    const second = this.second;
    while (this.seconds.length <= second) this.seconds.push({ calls: 0, failed: 0, error: "" });
    const count = this.seconds[second];
    count.calls++;
    const { host, retcode } = await this.#client.tryGetHost(modId, cmdId);
    if (host === undefined) {
      count.failed++;
      count.error = `no node: ${retcode}`;
      return;
    }
    const beganMs = systemClock.nowMs();
    const error = await fetched(host.ip, host.port);
    const tookMs = Math.round(systemClock.nowMs() - beganMs);
    this.#client.report(modId, cmdId, host.ip, host.port, error === undefined ? 0 : 1, tookMs);
    if (error === undefined) return;
    count.failed++;
    count.error = error;
  }
}

/** Calls a node; why it failed. */
function fetched(hostname: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get({ hostname, port, agent: false, timeout: 5000 }, (response) => {
      response.resume().on(
        "end",
        () => resolve(response.statusCode === 200 ? undefined : `${response.statusCode}`),
      );
      response.on("error", (error) => resolve(`${port}: ${error.message}`));
    });
    request.on("error", (error) => resolve(`${port}: ${error.message}`));
    request.on("timeout", () => request.destroy(new Error("timeout")));
  });
}

/** The chart that docs keep; `LARS_SCALING_CHART=FILE` writes it. */
async function drawWave(
  store: Store,
  load: Load,
  counts: readonly number[],
  wallMs: number,
): Promise<void> {
  const file = process.env.LARS_SCALING_CHART;
  if (file === undefined) return;
  const steps = new Map<number, "up" | "down">();
  const events = await store.readEvents({ kinds: ["scale.up", "scale.down"], limit: 100 });
  for (const { atMs, kind } of events) {
    steps.set(Math.floor((atMs - wallMs) / 1000), kind === "scale.up" ? "up" : "down");
  }
  const points = load.seconds.map(({ calls, failed }, second): ChartedFleet => ({
    ...{ second, load: calls, failed, nodes: counts[second] ?? counts[counts.length - 1] ?? 0 },
    step: steps.get(second),
  }));
  const title = "1x, 10x, 1x: nodes are processes that a webhook starts and stops";
  const about = `tests/e2e_scaling_test.ts, target ${RULE.target} calls/s of a node`;
  writeFileSync(file, drawScaling([{ title, points, target: RULE.target }], about));
}

test("a wave of load: nodes come and go with it, no call fails, none is stopped in use", {
  timeout: 300_000,
}, () =>
  withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const discoveryPort = await freePort();
    const flags = [`--reactor-port=${discoveryPort}`, `--store=${url}`, "--metrics-port=0"];
    const [{ agent }] = await Promise.all([
      startFleet(processes, url),
      processes.start("discovery", flags),
    ]);
    const driver = new FleetDriver(processes, `127.0.0.1:${discoveryPort}`);
    const client = new LarsClient({ port: agent.port() });
    const load = new Load(client);
    try {
      const hook = { title: "fleet", url: await driver.listen(), secret: SECRET, enabled: true };
      const about = { format: "scaling", timeoutS: 10, groupS: 0 };
      await store.console.addWebhook({ ...hook, ...about }, AUDIT);
      const row = { ...MODULE, content: JSON.stringify(RULE), updatedAtMs: 1 };
      await driver.start();
      await until(async () => (await store.readModules([MODULE])).length === 1, {
        what: "the first node",
      });
      await store.console.putScaleRule(row, AUDIT);
      const web = await processes.start("web", ["--web-port=0", `--store=${url}`]);
      assert.ok(web.alive);
      await until(async () => (await client.tryGetHost(7, 1)).retcode === 0, { what: "a route" });
      const counts: number[] = [];
      const wallMs = systemClock.wallMs() - load.second * 1000;
      const counted = async (): Promise<number> => {
        const on = (await store.readModules([MODULE])).filter(({ state }) => state === "on").length;
        while (counts.length <= load.second) counts.push(on);
        return on;
      };
      const running = load.run();
      const hold = async (callsPerSecond: number, seconds: number): Promise<void> => {
        load.callsPerSecond = callsPerSecond;
        const endS = load.second + seconds;
        await until(async () => (await counted(), load.second >= endS), { timeoutMs: 120_000 });
      };
      await hold(10, 12);
      assert.deepEqual(driver.orders, [], "one node is enough");
      await hold(100, 5);
      await until(async () => await counted() >= 5, { timeoutMs: 60_000, what: "5 nodes" });
      await hold(100, 8);
      load.callsPerSecond = 10;
      await until(async () => await counted() === 1, {
        ...{ timeoutMs: 120_000, what: () => `1 node, not ${counts.at(-1)}` },
      });
      await until(() => driver.nodes.size === 1, { timeoutMs: 60_000, what: "the last stop" });
      await hold(10, 5);
      load.stop();
      await running;
      await drawWave(store, load, counts, wallMs);
      const calls = load.seconds.reduce((sum, one) => sum + one.calls, 0);
      const failed = load.seconds.reduce((sum, one) => sum + one.failed, 0);
      const errors = load.seconds.map(({ error }) => error).filter((one) => one !== "");
      assert.ok(failed / calls <= 0.001, `${failed} of ${calls} failed: ${errors.join("; ")}`);
      assert.deepEqual(driver.faults, []);
      const events = await store.readEvents({ kinds: ["scale."], module: MODULE, limit: 100 });
      const steps = events.map(({ kind }) => kind)
        .filter((kind) => kind === "scale.up" || kind === "scale.down");
      const turns = steps.filter((kind, index) => index > 0 && kind !== steps[index - 1]).length;
      assert.equal(turns, 1, steps.join());
      assert.ok(Math.max(...counts) <= RULE.max);
      const left = (await store.leases.list({ modId: 7 }, 99)).filter(({ phase }) =>
        phase === "gone"
      );
      assert.deepEqual(left, [], "nothing is kept of nodes that have stopped");
    } finally {
      load.stop();
      driver.close();
      await client.close();
      await store.close();
    }
  }));
