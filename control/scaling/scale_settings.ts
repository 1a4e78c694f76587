// Shell. Rules of scaling as they are kept, for a running console and for commands alike.

import { type ModuleKey, moduleText } from "../../model/module.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { ScaleRuleRow } from "../../sql/console/console_store.ts";
import type { Store } from "../../sql/store.ts";
import { type Actor, auditOf } from "../access/actor.ts";
import { ControlError } from "../control_error.ts";
import {
  type ScaledModule,
  type ScaleRule,
  ScaleRuleShape,
  ScaleStatusShape,
  type ScaleTrack,
  ScaleTrackShape,
  type TrackedModule,
} from "../schemas.ts";
import { scaleRuleFaults } from "./scale_faults.ts";

/** Schema from which on there are rules of scaling. */
const SCHEMA_VERSION_MIN = 18;

/** Names under which a running console keeps what it decided last begin so. */
export const SCALE_STATES = "scaling.";

/** Name under which a running console keeps what it decided last. */
export function scaleStateName({ modId, cmdId }: ModuleKey): string {
  return `${SCALE_STATES}${modId}.${cmdId}`;
}

/** Name under which a running console keeps what a module had lately. */
export function scaleTrackName({ modId, cmdId }: ModuleKey): string {
  return `scale-track.${modId}.${cmdId}`;
}

/** The module of a name of `scaleStateName`; undefined: it is none. */
export function moduleOfScaleState(name: string): ModuleKey | undefined {
  const match = /^scaling\.(\d{1,10})\.(\d{1,10})$/.exec(name);
  return match === null ? undefined : { modId: Number(match[1]), cmdId: Number(match[2]) };
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

/** What a module had lately, as it was kept; undefined: nothing, or of a foreign hand. */
export function parseTrack(text: string | undefined): ScaleTrack | undefined {
  if (text === undefined || text === "") return undefined;
  try {
    const { data } = ScaleTrackShape.safeParse(JSON.parse(text));
    if (data === undefined) return undefined;
    const columns = [data.wish, data.load, data.errorShare];
    return columns.every(({ length }) => length === data.nodes.length) ? data : undefined;
  } catch {
    return undefined;
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

  /** True on a schema that has rules. */
  async isKept(): Promise<boolean> {
    return await this.#store.schemaVersion() >= SCHEMA_VERSION_MIN;
  }

  /** Every rule; none on a schema without them. Those that cannot be read are left out. */
  async rules(): Promise<Omit<ScaledModule, "status">[]> {
    if (!await this.isKept()) return [];
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

  /** That of one module with what it had lately, for a chart; undefined: it has none. */
  async find(key: ModuleKey): Promise<TrackedModule | undefined> {
    const one = (await this.rules()).find(({ modId, cmdId }) =>
      modId === key.modId && cmdId === key.cmdId
    );
    if (one === undefined) return undefined;
    const { console: states } = this.#store;
    const status = statusOf(await states.state(scaleStateName(one)));
    const track = parseTrack(await states.state(scaleTrackName(one))) ?? null;
    return { ...one, status, track };
  }

  /** The same. @throws {ControlError} not-found. */
  async tracked(key: ModuleKey): Promise<TrackedModule> {
    const found = await this.find(key);
    if (found === undefined) throw noRule(key);
    return found;
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
    const { track: _track, ...module } = await this.tracked(key);
    return module;
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
