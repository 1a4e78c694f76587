// Shell. Rules of scaling as they are kept, for a running console and for commands alike.

import { type ModuleKey, moduleText } from "../../model/module.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { ScaleRuleRow } from "../../sql/console/console_store.ts";
import type { Store } from "../../sql/store.ts";
import { type Actor, auditOf } from "../access/actor.ts";
import { ControlError } from "../control_error.ts";
import { type ScaledModule, type ScaleRule, ScaleRuleShape, ScaleStatusShape } from "../schemas.ts";
import { scaleRuleFaults } from "./scale_faults.ts";

/** Schema from which on there are rules of scaling. */
const SCHEMA_VERSION_MIN = 18;

/** Name under which a running console keeps what it decided last. */
export function scaleStateName({ modId, cmdId }: ModuleKey): string {
  return `scaling.${modId}.${cmdId}`;
}

function ruleOf({ content }: ScaleRuleRow): ScaleRule | undefined {
  try {
    return ScaleRuleShape.parse(JSON.parse(content));
  } catch {
    // Of a newer version or a foreign hand: it is not followed, and `set` writes it anew.
    return undefined;
  }
}

function statusOf(text: string | undefined): ScaledModule["status"] {
  if (text === undefined || text === "") return null;
  try {
    const { status } = JSON.parse(text) as { status?: unknown };
    return ScaleStatusShape.safeParse(status).data ?? null;
  } catch {
    return null;
  }
}

/** Reads and edits rules; each edit with its row of the audit. */
export class ScaleSettings {
  readonly #store: Store;
  readonly #clock: Clock;

  constructor({ store, clock }: { readonly store: Store; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Every rule; none on a schema without them. Those that cannot be read are left out. */
  async rules(): Promise<Omit<ScaledModule, "status">[]> {
    if (await this.#store.schemaVersion() < SCHEMA_VERSION_MIN) return [];
    return (await this.#store.console.scaleRules()).flatMap((row) => {
      const rule = ruleOf(row);
      const { modId, cmdId, updatedAtMs } = row;
      return rule === undefined ? [] : [{ modId, cmdId, updatedAtMs, rule }];
    });
  }

  /** The same, with what was decided last. */
  async modules(): Promise<ScaledModule[]> {
    const found: ScaledModule[] = [];
    for (const one of await this.rules()) {
      found.push({
        ...one,
        status: statusOf(await this.#store.console.state(scaleStateName(one))),
      });
    }
    return found;
  }

  /** That of one module. @throws {ControlError} not-found. */
  async module(key: ModuleKey): Promise<ScaledModule> {
    const one = (await this.rules()).find(({ modId, cmdId }) =>
      modId === key.modId && cmdId === key.cmdId
    );
    if (one === undefined) throw noRule(key);
    return { ...one, status: statusOf(await this.#store.console.state(scaleStateName(one))) };
  }

  /** Sets the rule of a module. @throws {ControlError} invalid. */
  async put(actor: Actor, key: ModuleKey, rule: ScaleRule, why = ""): Promise<ScaledModule> {
    const webhooks = await this.#store.console.webhooks();
    const faults = scaleRuleFaults(
      rule,
      webhooks.filter(({ format }) => format === "scaling").map(({ title }) => title),
    );
    if (faults.length > 0) throw new ControlError("invalid", faults.join("; "));
    const { modId, cmdId } = key;
    const updatedAtMs = Math.trunc(this.#clock.wallMs());
    const content = JSON.stringify(rule);
    const detail = why === "" ? content : `${why}: ${content}`;
    const audit = auditOf(actor, updatedAtMs, "scale.set", moduleText(key), detail);
    await this.#store.console.putScaleRule({ modId, cmdId, content, updatedAtMs }, audit);
    return await this.module(key);
  }

  /** Removes the rule of a module. @throws {ControlError} not-found. */
  async remove(actor: Actor, key: ModuleKey, why = ""): Promise<void> {
    const atMs = Math.trunc(this.#clock.wallMs());
    const audit = auditOf(actor, atMs, "scale.off", moduleText(key), why);
    if (!await this.#store.console.removeScaleRule(key, audit)) throw noRule(key);
  }
}

function noRule(key: ModuleKey): ControlError {
  return new ControlError("not-found", `Module ${moduleText(key)} has no rule of scaling`);
}
