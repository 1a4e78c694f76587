// Shell. Who starts and stops nodes: a webhook, or a command of the service's configuration.

import { postSigned, type SignedPostOptions } from "../control/alerts/signed_post.ts";
import type { ScaleRule } from "../control/schemas.ts";
import type { ModuleKey } from "../model/module.ts";
import { runBounded } from "../daemon/run_bounded.ts";
import { messageOf } from "../reactor/errors.ts";
import { type Clock, sleep } from "../reactor/time/clock.ts";
import type { ConsoleStore } from "../sql/console/console_store.ts";
import type { ScaleOrder } from "./fleet_scaler.ts";

/** Attempts at one order; then it is given up, said, and decided anew. */
export const ORDER_ATTEMPTS_MAX = 5;
/** Pause after the first attempt; it doubles. Milliseconds. */
const PAUSE_MS = 1_000;
/** A command that takes longer is ended. */
const COMMAND_TIMEOUT_MS = 60_000;

/** An order with all that a driver is told. */
export interface DriverOrder extends ScaleOrder, ModuleKey {
  /** The same for each attempt: what was done for it before need not be done again. */
  readonly id: string;
  /** Name of the module; empty when it has none. */
  readonly name: string;
  readonly atMs: number;
}

/** How an order went. */
export interface OrderOutcome {
  readonly isDone: boolean;
  readonly text: string;
}

/** What drivers work with. */
export interface ScaleDriverOptions extends SignedPostOptions {
  readonly store: Pick<ConsoleStore, "webhooks">;
  /** Program and arguments of the command; empty: there is none. */
  readonly command: readonly string[];
}

/** The text that a driver gets. */
function bodyOf(order: DriverOrder): string {
  const { id, action, modId, cmdId, name, from, to, nodes, reason, atMs } = order;
  return JSON.stringify({
    ...{ version: 1, type: `scale.${action}`, id, at: new Date(atMs).toISOString() },
    module: { modId, cmdId, name },
    ...{ from, to, nodes, reason },
  });
}

/** Gives orders to whoever a rule names. Never throws. */
export class ScaleDrivers {
  readonly #options: ScaleDriverOptions;

  constructor(options: ScaleDriverOptions) {
    this.#options = options;
  }

  /** Gives an order, again after a failure, at most {@linkcode ORDER_ATTEMPTS_MAX} times. */
  async give(rule: ScaleRule, order: DriverOrder): Promise<OrderOutcome> {
    for (let attempt = 1;; attempt++) {
      const outcome = await this.#once(rule, order);
      if (outcome.isDone || attempt >= ORDER_ATTEMPTS_MAX) return outcome;
      await sleep(this.#options.clock, PAUSE_MS * 2 ** (attempt - 1));
    }
  }

  async #once({ driver, webhook }: ScaleRule, order: DriverOrder): Promise<OrderOutcome> {
    const { command, clock, store } = this.#options;
    if (driver === "command") return await runOrder(command, bodyOf(order), clock);
    if (driver === "dry") return { isDone: true, text: "dry" };
    try {
      const hook = (await store.webhooks())
        .find(({ title, format }) => title === webhook && format === "scaling");
      if (hook === undefined) {
        return { isDone: false, text: `there is no webhook "${webhook}" of format scaling` };
      }
      if (!hook.enabled) return { isDone: false, text: `webhook "${webhook}" is switched off` };
      return await postSigned(this.#options, hook, order.id, bodyOf(order));
    } catch (error) {
      return { isDone: false, text: messageOf(error) };
    }
  }
}

/** Gives an order to the command of the configuration. */
async function runOrder(
  command: readonly string[],
  body: string,
  clock: Clock,
): Promise<OrderOutcome> {
  if (command.length === 0) {
    return { isDone: false, text: "no command is configured: set [web] scale_command" };
  }
  const options = { input: `${body}\n`, timeoutMs: COMMAND_TIMEOUT_MS };
  const { isDone, how, output } = await runBounded(command, clock, options);
  const said = output.split("\n").at(-1) ?? "";
  const text = isDone ? how : `${command[0]} ${how}`;
  return { isDone, text: (said === "" ? text : `${text}: ${said}`).slice(0, 300) };
}
