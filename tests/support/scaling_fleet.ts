// Shell. A fleet for tests of scaling: a webhook that starts and stops real nodes, and callers that count.

import { createHmac } from "node:crypto";
import { createServer, get, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { LarsClient } from "../../api/client.ts";
import type { ScaleRule } from "../../control/schemas.ts";
import type { AuditEntry } from "../../sql/console/console_store.ts";
import type { Store } from "../../sql/mod.ts";
import { sqliteTestStore, startFleet } from "./fleet.ts";
import { until } from "./until.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { freePort } from "./free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./processes.ts";

/** Secret of the webhook. */
const FLEET_SECRET = "a secret of sixteen";
const AUDIT: AuditEntry = {
  ...{ atMs: 1, who: "test", action: "test", target: "", outcome: "done", detail: "" },
  address: "",
};

/**
 * A call, and a question for a node, that takes longer has failed: it hangs. What is tried is that no
 * node is stopped in use, which refuses or resets a call; a busy machine makes calls slow.
 */
const CALL_HUNG_MS = 60_000;
const QUESTION_HUNG_MS = 5_000;

/** What the webhook is told. */
interface Order {
  readonly type: string;
  readonly module: { readonly modId: number };
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

/** How nodes of a module serve. */
export interface ScaledTestModule {
  readonly modId: number;
  /** Its driver is the webhook "fleet". */
  readonly rule: ScaleRule;
  /** Time that a node takes for a call, in milliseconds. */
  readonly serviceMs: number;
  /** Calls that a node serves at a time; more wait. */
  readonly slots: number;
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
  readonly #modules: readonly ScaledTestModule[];

  constructor(processes: Processes, discovery: string, modules: readonly ScaledTestModule[]) {
    this.#processes = processes;
    this.#discovery = discovery;
    this.#modules = modules;
    this.#server = createServer((request, response) => {
      void textOf(request).then(async (text) => {
        const { "x-lars-timestamp": at, "x-lars-signature": signature } = request.headers;
        const mac = createHmac("sha256", FLEET_SECRET).update(`${at}.${text}`).digest("hex");
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

  async start(modId: number): Promise<void> {
    const module = this.#modules.find((one) => one.modId === modId);
    if (module === undefined) throw new Error(`Nobody knows module ${modId}`);
    const port = await freePort();
    const numbers = [modId, port, module.serviceMs, module.slots].map(String);
    const args = [this.#discovery, ...numbers];
    const program = "tests/support/scaling_node_program.ts";
    this.nodes.set(`127.0.0.1:${port}`, this.#processes.spawn(`node ${port}`, program, args));
  }

  close(): void {
    this.#server.close();
  }

  async #take(order: Order): Promise<void> {
    this.orders.push(order);
    if (order.type === "scale.start") {
      for (let count = order.from; count < order.to; count++) await this.start(order.module.modId);
    }
    for (const name of order.nodes) {
      this.nodes.get(name)?.signal("SIGTERM");
      this.nodes.delete(name);
    }
  }
}

/** Callers of a module, and what they saw in each second. */
class FleetLoad {
  readonly seconds: { calls: number; failed: number; error: string }[] = [];
  callsPerSecond = 0;
  #stopped = false;
  readonly #client: LarsClient;
  readonly #modId: number;
  readonly #startMs = systemClock.nowMs();

  constructor(client: LarsClient, modId: number) {
    this.#client = client;
    this.#modId = modId;
  }

  /** Calls, and why some failed. */
  get totals(): { readonly calls: number; readonly failed: number; readonly errors: string[] } {
    const sum = (name: "calls" | "failed"): number =>
      this.seconds.reduce((all, one) => all + one[name], 0);
    const errors = this.seconds.map(({ error }) => error).filter((one) => one !== "");
    return { calls: sum("calls"), failed: sum("failed"), errors };
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
    const [modId, cmdId] = [this.#modId, 1];
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
    const request = get({ hostname, port, agent: false, timeout: CALL_HUNG_MS }, (response) => {
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

/** Modules that scale, with one node each and nobody who calls yet. */
export interface ScaledWorld {
  readonly store: Store;
  readonly driver: FleetDriver;
  /** Callers, in the order of the modules. */
  readonly loads: readonly FleetLoad[];
  /** Nodes of a module that get calls. */
  countOf(modId: number): Promise<number>;
  /** Steps of a module, oldest first. */
  stepsOf(modId: number): Promise<{ readonly kind: string; readonly atMs: number }[]>;
}

/** How often a fleet changed from growing to shrinking or back. */
export function turnsIn(steps: readonly { readonly kind: string }[]): number {
  return steps.filter(({ kind }, index) => index > 0 && kind !== steps[index - 1].kind).length;
}

/** Starts dns, reporter, agent, discovery and a console, and the first node of each module. */
export function withScaledFleet(
  modules: readonly ScaledTestModule[],
  fn: (world: ScaledWorld) => Promise<void>,
): Promise<void> {
  return withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const discoveryPort = await freePort();
    const flags = [`--reactor-port=${discoveryPort}`, `--store=${url}`, "--metrics-port=0"];
    const [{ agent }] = await Promise.all([
      startFleet(processes, url),
      processes.start("discovery", flags),
    ]);
    const driver = new FleetDriver(processes, `127.0.0.1:${discoveryPort}`, modules);
    const client = new LarsClient({ port: agent.port(), deadlineMs: QUESTION_HUNG_MS });
    const loads = modules.map(({ modId }) => new FleetLoad(client, modId));
    try {
      const hook = { title: "fleet", url: await driver.listen(), secret: FLEET_SECRET };
      const about = { enabled: true, format: "scaling", timeoutS: 10, groupS: 0 };
      await store.console.addWebhook({ ...hook, ...about }, AUDIT);
      const countOf = async (modId: number): Promise<number> => {
        const rows = await store.readModules([{ modId, cmdId: 1 }]);
        return rows.filter(({ state }) => state === "on").length;
      };
      for (const { modId, rule } of modules) {
        await driver.start(modId);
        await until(async () => await countOf(modId) === 1, { what: "the first node" });
        const row = { modId, cmdId: 1, content: JSON.stringify(rule), updatedAtMs: 1 };
        await store.console.putScaleRule(row, AUDIT);
      }
      await processes.start("web", ["--web-port=0", `--store=${url}`]);
      for (const { modId } of modules) {
        const isThere = async (): Promise<boolean> =>
          (await client.tryGetHost(modId, 1)).retcode === 0;
        await until(isThere, { what: "a route" });
      }
      const stepsOf: ScaledWorld["stepsOf"] = async (modId) => {
        const of = { module: { modId, cmdId: 1 }, limit: 100 };
        const events = await store.readEvents({ kinds: ["scale.up", "scale.down"], ...of });
        return events.toReversed();
      };
      await fn({ store, driver, loads, countOf, stepsOf });
    } finally {
      for (const load of loads) load.stop();
      driver.close();
      await client.close();
      await store.close();
    }
  });
}
