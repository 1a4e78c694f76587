// Shell. `lars sample call`: real calls by HTTP, and which node got how many of them.

import { checkStatus, type LarsClient } from "../api/mod.ts";
import { modulePair } from "../model/module.ts";
import { LarsError } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { CommandError } from "./cli_errors.ts";
import { quantity } from "../model/quantity.ts";
import { StopSignal } from "./stop_signal.ts";
import { coloursOf, printJson, printLine } from "./terminal.ts";

/** Time a call may take, in milliseconds. */
const CALL_TIMEOUT_MS = 2000;

/** Time the first answer of the agent may take, in milliseconds. */
const FIRST_ROUTE_MS = 2000;

/** Calls under way at once; those beyond are left out and counted as not made. */
const CALLS_UNDER_WAY_MAX = 256;

/** Nodes that have columns; calls of further ones are added up in one. */
const NODES_SHOWN_MAX = 64;

/** Width of a node's column: `50, 50 failed, out` and two spaces. */
const COLUMN_WIDTH = 20;

/** The head is printed again after so many lines. */
const LINES_BETWEEN_HEADS = 20;

/** Conditions of a node that gets no calls, or probes alone. */
const OUT = new Map([
  ["overload", "out"],
  ["resting", "out"],
  ["drain", "drained"],
  ["off", "off"],
]);

/** What is called, and how often. */
export interface CallsPlan {
  readonly modId: number;
  readonly cmdId: number;
  /** Calls a second. */
  readonly rate: number;
  /** Undefined: until a signal. */
  readonly seconds: number | undefined;
  readonly json: boolean;
}

/** Counts of one node. */
interface Tally {
  calls: number;
  failed: number;
}

/**
 * Calls until the time is over or a signal comes, and prints a line each second.
 *
 * @returns the exit code: 1 when not one call could be made.
 * @throws {CommandError} when no agent answers, or the module has no node.
 */
export async function runCalls(client: LarsClient, plan: CallsPlan): Promise<number> {
  const calls = new SampleCalls(client, plan);
  await calls.begin();
  const stop = new StopSignal();
  const startMs = systemClock.nowMs();
  const endMs = startMs + (plan.seconds ?? Infinity) * 1000;
  let made = 0;
  let lines = 0;
  while (!stop.given && systemClock.nowMs() < endMs) {
    const passedMs = systemClock.nowMs() - startMs;
    for (; made < passedMs / 1000 * plan.rate; made++) calls.make();
    if (passedMs >= (lines + 1) * 1000) await calls.printSecond(++lines);
    await stop.sleep(Math.min(1000 / plan.rate, 100));
  }
  await calls.settled();
  calls.printTotal();
  return calls.madeCount > 0 ? 0 : 1;
}

class SampleCalls {
  readonly #client: LarsClient;
  readonly #plan: CallsPlan;
  readonly #total = new Map<string, Tally>();
  readonly #underWay = new Set<Promise<void>>();
  #second = new Map<string, Tally>();
  #refused = { second: 0, total: 0 };
  #made = 0;

  constructor(client: LarsClient, plan: CallsPlan) {
    this.#client = client;
    this.#plan = plan;
  }

  /** Calls that reached a node. */
  get madeCount(): number {
    return this.#made;
  }

  /** Waits for the first route, and learns all nodes, so that one without calls is shown too. */
  async begin(): Promise<void> {
    const { modId, cmdId } = this.#plan;
    const endMs = systemClock.nowMs() + FIRST_ROUTE_MS;
    try {
      while (systemClock.nowMs() < endMs) {
        await this.#client.regInit(modId, cmdId);
        const hosts = await this.#client.getRoute(modId, cmdId);
        for (const { ip, port } of hosts) this.#tally(this.#total, `${ip}:${port}`);
        if (hosts.length > 0) return;
      }
    } catch (error) {
      if (!(error instanceof LarsError)) throw error;
      throw new CommandError(error.message, { cause: error });
    }
    throw new CommandError(
      `Module (${modulePair(this.#plan)}) has no node: see \`lars route ls\` for modules that have`,
    );
  }

  /** Begins one call. */
  make(): void {
    if (this.#underWay.size >= CALLS_UNDER_WAY_MAX) return this.#refuse();
    const call = this.#call().finally(() => this.#underWay.delete(call));
    this.#underWay.add(call);
  }

  /** Resolves when no call is under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async #call(): Promise<void> {
    const { modId, cmdId } = this.#plan;
    let node: string | undefined;
    let failed = false;
    try {
      await this.#client.call(modId, cmdId, async (host, { signal }) => {
        node = `${host.ip}:${host.port}`;
        const response = checkStatus(await fetch(`http://${node}/`, { signal }));
        await response.arrayBuffer();
      }, { timeoutMs: CALL_TIMEOUT_MS });
    } catch {
      // How it failed has been reported; here only the number counts.
      failed = true;
    }
    if (node === undefined) return this.#refuse();
    this.#made++;
    for (const tallies of [this.#second, this.#total]) {
      const tally = this.#tally(tallies, node);
      tally.calls++;
      if (failed) tally.failed++;
    }
  }

  #refuse(): void {
    this.#refused.second++;
    this.#refused.total++;
  }

  #tally(tallies: Map<string, Tally>, node: string): Tally {
    const name = tallies.has(node) || tallies.size < NODES_SHOWN_MAX ? node : "others";
    const tally = tallies.get(name) ?? { calls: 0, failed: 0 };
    tallies.set(name, tally);
    return tally;
  }

  /** A line for the second that is over. */
  async printSecond(second: number): Promise<void> {
    const tallies = this.#second;
    const refused = this.#refused.second;
    this.#second = new Map();
    this.#refused.second = 0;
    const out = await this.#nodesOut();
    const nodes = [...this.#total.keys()].sort();
    const rowOf = (node: string): Tally => tallies.get(node) ?? { calls: 0, failed: 0 };
    if (this.#plan.json) {
      return printJson({
        second,
        nodes: nodes.map((node) => ({ node, ...rowOf(node), out: out.has(node) })),
        refused,
      });
    }
    const { bad, strong } = coloursOf("stdout");
    if (second % LINES_BETWEEN_HEADS === 1) {
      printLine(
        `       ${nodes.map((node) => strong(node.padEnd(COLUMN_WIDTH))).join("")}`.trimEnd(),
      );
    }
    const cells = nodes.map((node) => {
      const { calls, failed } = rowOf(node);
      const why = out.get(node);
      const isOut = why === "out";
      const text = `${calls}${failed > 0 ? `, ${failed} failed` : ""}${why ? `, ${why}` : ""}`;
      return (failed > 0 || isOut ? bad : (well: string) => well)(text.padEnd(COLUMN_WIDTH));
    });
    if (refused > 0) cells.push(bad(`${refused} refused`));
    printLine(`${String(second).padStart(4)} s ${cells.join("")}`.trimEnd());
  }

  /**
   * Nodes that get no calls now, and in a word why not; none when the agent cannot say, one of the
   * original say.
   */
  async #nodesOut(): Promise<Map<string, string>> {
    const { modId, cmdId } = this.#plan;
    try {
      const view = await this.#client.explain(modId, cmdId);
      const nodes = view?.module?.nodes ?? [];
      return new Map(nodes.flatMap(({ node, condition }): [string, string][] => {
        const why = OUT.get(condition);
        return why === undefined ? [] : [[node, why]];
      }));
    } catch (error) {
      if (!(error instanceof LarsError)) throw error;
      return new Map();
    }
  }

  /** The sum of all. */
  printTotal(): void {
    const tallies = [...this.#total.values()];
    const failed = tallies.reduce((sum, tally) => sum + tally.failed, 0);
    const refused = this.#refused.total;
    if (this.#plan.json) return printJson({ event: "total", calls: this.#made, failed, refused });
    const more = refused > 0 ? `, ${refused} refused` : "";
    printLine(`${quantity(this.#made, "call")}, ${failed} failed${more}`);
  }
}
