// Shell. Plays one exchange: commands to the driver, answers of the agent, and what must come of it.

import { mkdtemp, rm } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { ClientDriver } from "./driver.ts";
import { type Exchange, isExpected, type Step } from "./exchange.ts";
import { HELD_UP_MS, HeldUp } from "./held_up.ts";
import { type PlayedAgent, ScriptedAgent, type SecretPlace } from "./scripted_agent.ts";
import { ScriptedTable } from "./scripted_table.ts";

/** How long something may take to come true. */
const UNTIL_MS = 20_000;
const LOOK_MS = 10;

/** What a busy machine may add to a time. */
const SLACK_MS = 5_000;

/** How often an exchange is played that fails while the machine holds up who takes part. */
const PLAYS_MAX = 4;

/** Timers of some systems are early by less than a tick. */
const EARLY_MS = 2;

/** True when an outcome is the one that is wanted; its last word may be any for `*`. */
function isOutcome(wanted: string, came: string): boolean {
  return wanted === came ||
    (wanted.endsWith(" *") && came.replace(/ [^ ]+$/, "") === wanted.slice(0, -2));
}

function checkPortsAsked(wanted: readonly number[], agent: PlayedAgent): void {
  const came = agent.portsOf().join();
  if (came !== wanted.join()) throw new Error(`they came to ${came}`);
}

/** How the real agent of an exchange is. */
export interface RealAgentOptions {
  /** Its routes, as in an exchange. */
  readonly routes: Readonly<Record<string, readonly string[]>>;
  /** @default {on loopback, without a secret} */
  readonly place?: SecretPlace | undefined;
  /** Path of the table that it is to keep. @default {none} */
  readonly tablePath?: string | undefined;
}

/** Makes the real agent of an exchange that names routes. */
export type OpenRealAgent = (options: RealAgentOptions) => Promise<PlayedAgent>;

/** What came of an exchange. */
export interface Played {
  readonly name: string;
  /** `passed`; `left out` with what is missing; or what went wrong, with the step. */
  readonly outcome: string;
}

const LOOPBACK = "127.0.0.1";

/** An address of this host that is not loopback; undefined: it has none. */
function addressBeyondLoopback(): string | undefined {
  return Object.values(networkInterfaces()).flat()
    .find((one) => one?.family === "IPv4" && !one.internal)?.address;
}

/** The table of an exchange, if it is not the real agent's own. */
function openTable(
  exchange: Exchange,
  path: string | undefined,
  port: number,
  address: string,
): ScriptedTable | undefined {
  if (path === undefined || exchange.agent === undefined) return undefined;
  const table = new ScriptedTable(path, address);
  if (exchange.table !== undefined) table.write(exchange.table, port);
  return table;
}

function changeTable(
  change: NonNullable<Step["table"]>,
  table: ScriptedTable | undefined,
  port: number,
): void {
  if (table === undefined) throw new RangeError('The exchange must need "table"');
  if (change === "retire") table.retire();
  else if (change === "age") table.age();
  else if (change === "revive") table.revive();
  else table.write(change, port);
}

/** What is needed of a driver. */
export type PlayedDriver = Pick<ClientDriver, "features" | "run" | "pid">;

/** Plays exchanges with one driver. */
export class Player {
  readonly #driver: PlayedDriver;
  readonly #openReal: OpenRealAgent;
  readonly #heldUp: Pick<HeldUp, "begin" | "end">;
  readonly #begun = new Map<string, { result: Promise<string>; startMs: number }>();

  constructor(
    driver: PlayedDriver,
    openReal: OpenRealAgent,
    heldUp: Pick<HeldUp, "begin" | "end"> = new HeldUp(driver.pid),
  ) {
    this.#driver = driver;
    this.#openReal = openReal;
    this.#heldUp = heldUp;
  }

  /**
   * Plays one exchange, again where it fails and the machine held up somebody meanwhile, as that tells
   * nothing of the client; never throws for what the driver does wrong.
   */
  async play(exchange: Exchange): Promise<Played> {
    for (let plays = 1;; plays++) {
      this.#heldUp.begin();
      const played = await this.#playOnce(exchange);
      const heldUpMs = this.#heldUp.end();
      const isFailed = played.outcome !== "passed" && !played.outcome.startsWith("left out");
      if (!isFailed || plays === PLAYS_MAX || heldUpMs < HELD_UP_MS) return played;
    }
  }

  async #playOnce(exchange: Exchange): Promise<Played> {
    const { name, needs = [] } = exchange;
    const missing = needs.filter((feature) => !this.#driver.features.includes(feature));
    if (missing.length > 0) return { name, outcome: `left out: no ${missing.join(", ")}` };
    const address = exchange.secret === undefined ? LOOPBACK : addressBeyondLoopback();
    if (address === undefined) return { name, outcome: "left out: no address beyond loopback" };
    const folder = await mkdtemp(join(tmpdir(), "lars-table-"));
    const path = needs.includes("table") ? join(folder, "agent.table") : undefined;
    const agent = await this.#openAgent(exchange, address, path);
    try {
      await this.#playWith(exchange, agent, address, path);
      return { name, outcome: "passed" };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return { name, outcome: `${text}\n  (${exchange.why})` };
    } finally {
      this.#begun.clear();
      await agent.close();
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #openAgent(
    { name, agent, routes, secret }: Exchange,
    address: string,
    tablePath: string | undefined,
  ): Promise<PlayedAgent> {
    const place = secret === undefined ? undefined : { address, secret };
    if (agent !== undefined) return await ScriptedAgent.open(agent, place);
    if (routes !== undefined) return await this.#openReal({ routes, place, tablePath });
    throw new RangeError(`Exchange "${name}" must have rules (agent) or routes`);
  }

  async #playWith(
    exchange: Exchange,
    agent: PlayedAgent,
    address: string,
    tablePath: string | undefined,
  ): Promise<void> {
    const table = openTable(exchange, tablePath, agent.ports[0], address);
    const options = [`ports=${agent.ports.join(",")}`];
    // Without a table the client must not find one of another agent that had the port before.
    if (this.#driver.features.includes("table")) options.push(`table=${tablePath ?? ""}`);
    if (exchange.options !== undefined) options.push(exchange.options);
    if (exchange.secret !== undefined) {
      options.push(`host=${address}`);
      if (exchange.options?.includes("token=") !== true) options.push(`token=${exchange.secret}`);
    }
    try {
      await this.#do({ do: `open ${options.join(" ")}`, expect: "ok" });
      for (const [index, step] of exchange.steps.entries()) {
        try {
          if (step.table !== undefined) changeTable(step.table, table, agent.ports[0]);
          else await this.#step(step, agent);
        } catch (error) {
          const text = error instanceof Error ? error.message : String(error);
          throw new Error(`step ${index + 1}, ${JSON.stringify(step)}: ${text}`);
        }
      }
    } finally {
      await this.#driver.run("close");
      table?.close();
    }
  }

  async #step(step: Step, agent: PlayedAgent): Promise<void> {
    if (step.do !== undefined) await this.#do(step);
    else if (step.begin !== undefined) this.#begin(step.begin, step.as ?? step.begin);
    else if (step.end !== undefined) await this.#end(step.end, step);
    else if (step.until !== undefined) await this.#until(step.until, step.expect ?? "ok");
    else if (step.agent === "stop") await agent.stop();
    else if (step.agent === "start") await agent.start();
    else if (step.outcomes !== undefined) await this.#outcomes(step.outcomes, agent);
    else if (step.refused !== undefined) await this.#refused(step.refused, agent);
    else if (step.runs !== undefined) await this.#runs(step.runs, agent);
    else if (step.questions !== undefined) await this.#questions(step.questions, agent);
    else if (step.ports !== undefined) checkPortsAsked(step.ports, agent);
    else if (step.routes !== undefined) agent.setRoutes(step.routes);
    else if (step.pauseMs !== undefined) await sleep(systemClock, step.pauseMs);
    else throw new RangeError("A step must do something: see README.md");
  }

  async #do(step: Step): Promise<void> {
    const name = step.do ?? "";
    this.#begin(name, name);
    await this.#end(name, step);
  }

  #begin(command: string, name: string): void {
    // Before it is given: the driver may be done with much of it when this line goes on.
    const startMs = systemClock.nowMs();
    const result = this.#driver.run(command);
    result.catch(() => {}); // told at `end`
    this.#begun.set(name, { result, startMs });
  }

  async #end(name: string, { expect = "ok", atLeastMs = 0, atMostMs }: Step): Promise<void> {
    const begun = this.#begun.get(name);
    if (begun === undefined) throw new RangeError(`Nothing was begun as ${name}`);
    const result = await begun.result;
    const tookMs = systemClock.nowMs() - begun.startMs;
    if (!isExpected(expect, result)) throw new Error(`the result is "${result}"`);
    if (tookMs < atLeastMs - EARLY_MS) throw new Error(`it took ${Math.round(tookMs)} ms only`);
    if (atMostMs !== undefined && tookMs > atMostMs + SLACK_MS) {
      throw new Error(`it took ${Math.round(tookMs)} ms`);
    }
  }

  async #until(command: string, expected: string | readonly string[]): Promise<void> {
    const endMs = systemClock.nowMs() + UNTIL_MS;
    for (;;) {
      const result = await this.#driver.run(command);
      if (isExpected(expected, result)) return;
      if (systemClock.nowMs() > endMs) throw new Error(`after ${UNTIL_MS} ms it is "${result}"`);
      await sleep(systemClock, LOOK_MS);
    }
  }

  async #outcomes(expected: readonly string[], agent: PlayedAgent): Promise<void> {
    const wanted = expected.toSorted();
    await this.#lookUntil(
      () => agent.outcomes.length >= expected.length,
      () => `outcomes are ${agent.outcomes.toSorted().join("; ")}`,
    );
    const came = agent.outcomes.toSorted();
    const fits = came.length === wanted.length &&
      came.every((outcome, index) => isOutcome(wanted[index], outcome));
    if (!fits) throw new Error(`outcomes are ${came.join("; ")}`);
  }

  async #runs(atLeast: number, agent: PlayedAgent): Promise<void> {
    await this.#lookUntil(() => agent.runCount >= atLeast, () => `${agent.runCount} runs came`);
    if (atLeast === 0 && agent.runCount > 0) throw new Error(`${agent.runCount} runs came`);
  }

  async #refused(atLeast: number, agent: PlayedAgent): Promise<void> {
    const state = (): string => `${agent.refusedCount} datagrams had no good seal`;
    await this.#lookUntil(() => agent.refusedCount >= atLeast, state);
    if (atLeast === 0 && agent.refusedCount > 0) throw new Error(state());
  }

  async #questions(
    { message, bodies, atLeast = bodies?.length ?? 1, atMost = Infinity }: NonNullable<
      Step["questions"]
    >,
    agent: PlayedAgent,
  ): Promise<void> {
    const came = (): readonly string[] => agent.bodiesOf(message);
    await this.#lookUntil(() => came().length >= atLeast, () => `${came().length} came`);
    if (came().length > atMost) throw new Error(`${came().length} came`);
    if (bodies !== undefined && came().slice(0, bodies.length).join() !== bodies.join()) {
      throw new Error(`they are ${came().join()}`);
    }
  }

  async #lookUntil(condition: () => boolean, state: () => string): Promise<void> {
    const endMs = systemClock.nowMs() + UNTIL_MS;
    while (!condition()) {
      if (systemClock.nowMs() > endMs) throw new Error(`after ${UNTIL_MS} ms, ${state()}`);
      await sleep(systemClock, LOOK_MS);
    }
  }
}
