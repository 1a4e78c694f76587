// Core. What must change so that a system holds what a file says.

import { type ModuleId, moduleId, type ModuleKey, modulePair } from "../../model/module.ts";
import { moduleLabel } from "../../model/module_name.ts";
import { addressText, PORT_MAX } from "../../model/node.ts";
import type { ModuleChange } from "../../sql/store.ts";
import { requirePolicy } from "../changes/change_edits.ts";
import { judgeNames } from "../changes/module_names.ts";
import {
  describePlan,
  type PlanOptions,
  planRoutes,
  type RoutePlan,
} from "../changes/route_plan.ts";
import { ControlError } from "../control_error.ts";
import { scaleRuleFaults } from "../scaling/scale_faults.ts";
import type { Rule } from "../schemas.ts";
import {
  filedUsers,
  type HeldState,
  type StateScale,
  stateScale,
  type StateSilence,
  stateSilence,
  type StateUser,
  type StateWebhook,
  type WantedState,
} from "./state_file.ts";

/** One thing of a kind: how it is called, and what is said of it. */
type Values = Readonly<Record<string, unknown>>;

/** The difference of one kind of things, told apart by their names. */
export interface ItemPlan<T> {
  readonly added: readonly T[];
  /** In both, with other values in the file: `fields` of them. */
  readonly changed: readonly {
    readonly id: number;
    readonly after: T;
    readonly fields: readonly string[];
    readonly text: string;
  }[];
  /** Held, and not in the file. */
  readonly missing: readonly { readonly id: number; readonly name: string }[];
}

/** The difference between a file and a system. */
export interface StatePlan {
  readonly routes: RoutePlan;
  readonly texts: readonly { readonly change: ModuleChange; readonly text: string }[];
  /** Modules that have a name or a policy, and that the file lacks. */
  readonly textsMissing: readonly ModuleChange[];
  readonly scaling: ItemPlan<StateScale>;
  readonly rules: ItemPlan<Omit<Rule, "id">>;
  readonly silences: ItemPlan<StateSilence>;
  readonly webhooks: ItemPlan<StateWebhook>;
  readonly users: ItemPlan<StateUser>;
}

/** Silences begin and end by the minute when they are made, so ends that are as near are one. */
const SILENCE_END_MS = 120_000;

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function isSame(key: string, a: unknown, b: unknown): boolean {
  // A secret is never shown, so it cannot be compared either.
  if (key === "secret") return true;
  if (key !== "endsAt") return same(a, b);
  return Math.abs(Date.parse(String(a)) - Date.parse(String(b))) <= SILENCE_END_MS;
}

function planItems<T extends Values>(
  held: readonly { readonly id: number; readonly value: T }[],
  wanted: readonly T[] | undefined,
  nameOf: (one: T) => string,
): ItemPlan<T> {
  if (wanted === undefined) return { added: [], changed: [], missing: [] };
  const rest = held.map((one) => ({ ...one, name: nameOf(one.value) }));
  const added: T[] = [];
  const changed: ItemPlan<T>["changed"][number][] = [];
  for (const after of wanted) {
    const index = rest.findIndex(({ name }) => name === nameOf(after));
    if (index < 0) {
      added.push(after);
      continue;
    }
    const [{ id, value }] = rest.splice(index, 1);
    const fields = Object.keys(after).filter((key) =>
      after[key] !== undefined && !isSame(key, after[key], value[key])
    );
    if (fields.length === 0) continue;
    const text = fields.map((key) =>
      `${key} ${JSON.stringify(value[key])} -> ${JSON.stringify(after[key])}`
    ).join(", ");
    changed.push({ id, after, fields, text });
  }
  return { added, changed, missing: rest.map(({ id, name }) => ({ id, name })) };
}

function planTexts({ texts }: HeldState, wanted: WantedState["texts"]): Pick<
  StatePlan,
  "texts" | "textsMissing"
> {
  if (wanted === undefined) return { texts: [], textsMissing: [] };
  const held = new Map(texts.map((row) => [modulePair(row), row]));
  const changes: StatePlan["texts"][number][] = [];
  for (const { modId, cmdId, name, policy } of wanted) {
    const before = held.get(modulePair({ modId, cmdId })) ?? { name: "", policy: "" };
    held.delete(modulePair({ modId, cmdId }));
    const isNamed = name !== undefined && name !== before.name;
    const isRuled = policy !== undefined && !samePolicy(policy, before.policy);
    if (!isNamed && !isRuled) continue;
    changes.push({
      change: { modId, cmdId, ...(isNamed ? { name } : {}), ...(isRuled ? { policy } : {}) },
      text: [
        isNamed ? `name ${JSON.stringify(before.name)} -> ${JSON.stringify(name)}` : "",
        isRuled ? `policy ${before.policy || '""'} -> ${policy || '""'}` : "",
      ].filter((part) => part !== "").join(", "),
    });
  }
  const missing = [...held.values()].filter((row) => row.name !== "" || row.policy !== "");
  return {
    texts: changes,
    textsMissing: missing.map(({ modId, cmdId }) => ({ modId, cmdId, name: "", policy: "" })),
  };
}

/** Spaces between the words of a policy mean nothing. */
function samePolicy(a: string, b: string): boolean {
  if (a === b) return true;
  try {
    return same(JSON.parse(a), JSON.parse(b));
  } catch {
    return false;
  }
}

function scaleName({ modid, cmdid }: StateScale): string {
  return `${modid},${cmdid}`;
}

function silenceName({ rule, modId, cmdId, node, why }: StateSilence): string {
  return JSON.stringify([rule, modId, cmdId, node, why]);
}

/** Compares a file with what a system holds; silences that have ended are passed over. */
export function planState(held: HeldState, wanted: WantedState, wallMs: number): StatePlan {
  const withId = <T extends { readonly id: number }>({ id, ...value }: T): {
    id: number;
    value: Omit<T, "id">;
  } => ({ id, value });
  const running = wanted.silences?.filter(({ endsAt }) => Date.parse(endsAt) > wallMs);
  return {
    routes: wanted.nodes === undefined
      ? { added: [], changed: [], missing: [], unchangedCount: 0, emptied: [] }
      : planRoutes(held.routes, wanted.nodes.map((node) => ({ ...node, line: 0 }))),
    ...planTexts(held, wanted.texts),
    scaling: planItems(
      held.scaling.map((one) => ({ id: 0, value: stateScale(one) })),
      wanted.scaling,
      scaleName,
    ),
    rules: planItems(held.rules.map(withId), wanted.rules, ({ title }) => title),
    silences: planItems(
      held.silences.map((one) => ({ id: one.id, value: stateSilence(one, held.rules) })),
      running,
      silenceName,
    ),
    webhooks: planItems<StateWebhook>(
      held.webhooks.map(withId),
      wanted.webhooks,
      ({ title }) => title,
    ),
    users: planItems<StateUser>(
      filedUsers(held).map((value) => ({ id: 0, value })),
      wanted.users,
      ({ name }) => name,
    ),
  };
}

function describeItems<T>(
  what: string,
  plan: ItemPlan<T>,
  nameOf: (one: T) => string,
  { prune }: PlanOptions,
): string[] {
  return [
    ...plan.added.map((one) => `+ ${what} ${nameOf(one)}`),
    ...plan.changed.map(({ after, text }) => `~ ${what} ${nameOf(after)}: ${text}`),
    ...plan.missing.map(({ name }) => `${prune ? "-" : "?"} ${what} ${name}`),
  ];
}

/** The difference as lines, with the signs of {@linkcode describePlan}. */
export function describeState(
  plan: StatePlan,
  options: PlanOptions,
  names: ReadonlyMap<ModuleId, string> = new Map(),
): string[] {
  const sign = options.prune ? "-" : "?";
  const label = ({ modId, cmdId }: ModuleKey): string =>
    moduleLabel({ modId, cmdId, name: names.get(moduleId(modId, cmdId)) ?? "" });
  return [
    ...describePlan(plan.routes, options, names),
    ...plan.texts.map(({ change, text }) => `~ module ${label(change)} ${text}`),
    ...plan.textsMissing.map((change) => `${sign} module ${label(change)} name and policy`),
    ...describeItems("scaling", plan.scaling, scaleName, options),
    ...describeItems("rule", plan.rules, ({ title }) => title, options),
    ...describeItems("silence", plan.silences, silenceName, options),
    ...describeItems("webhook", plan.webhooks, ({ title }) => title, options),
    ...describeItems("user", plan.users, ({ name }) => name, options),
  ];
}

/** What cannot be carried out, found before anything is written. */
export function refusedOf(
  plan: StatePlan,
  wanted: WantedState,
  held: HeldState,
  options: PlanOptions,
): string[] {
  const rules = leftOf(held.rules, plan.rules, options);
  const titles = new Set([...rules, ...wanted.rules ?? []].map(({ title }) => title));
  return [
    ...refusedModules(plan, held, options),
    ...plan.silences.added.filter(({ rule }) => rule !== null && !titles.has(rule))
      .map(({ rule, why }) => `Silence "${why}": there is no rule "${rule}"`),
    ...plan.webhooks.added.filter(({ format, secret }) =>
      format === "pagerduty" && secret === undefined
    ).map(({ title }) =>
      `Webhook "${title}": PagerDuty's routing key must be given as "secret" in the file`
    ),
    ...refusedScaling(plan.scaling, scalingWebhooks(plan, wanted, held, options)),
    ...refusedRemovals(plan, wanted, held, options),
    ...plan.users.added.filter(({ name }) => held.users.some((user) => user.name === name))
      .map(({ name }) =>
        `User "${name}" logs in by a provider here, and cannot be added with a password: leave it out`
      ),
  ];
}

/** Nodes, policies and names that no edit takes; those that are held already may stay. */
function refusedModules(plan: StatePlan, held: HeldState, { prune }: PlanOptions): string[] {
  const nodes = [...plan.routes.added, ...plan.routes.changed.map(({ after }) => after)];
  const changes = [...plan.texts.map(({ change }) => change), ...prune ? plan.textsMissing : []];
  const renamed = changes.flatMap(({ modId, cmdId, name }) =>
    name === undefined ? [] : [{ modId, cmdId, name }]
  );
  return [
    ...nodes.filter(({ ip, port }) => ip === 0 || port < 1 || port > PORT_MAX).map((row) =>
      `Module ${modulePair(row)}: node ${addressText(row)} must have an address other than ` +
      `0.0.0.0 and a port from 1 to ${PORT_MAX}`
    ),
    ...changes.flatMap(({ policy, ...key }) =>
      faultsOf(() => requirePolicy(policy || undefined))
        .map((fault) => `Module ${modulePair(key)}: ${fault}`)
    ),
    ...faultsOf(() => judgeNames(renamed, held.texts)),
  ];
}

/** What a check throws, in words. */
function faultsOf(check: () => void): string[] {
  try {
    check();
    return [];
  } catch (error) {
    if (error instanceof ControlError) return [error.message];
    throw error;
  }
}

/** What of the things held is there after an import. */
function leftOf<T extends { readonly id: number }>(
  held: readonly T[],
  { missing }: Pick<ItemPlan<never>, "missing">,
  { prune }: PlanOptions,
): T[] {
  const gone = new Set(prune ? missing.map(({ id }) => id) : []);
  return held.filter(({ id }) => !gone.has(id));
}

/** Titles of the webhooks that orders of scaling may go to, as they are after an import. */
function scalingWebhooks(
  plan: StatePlan,
  wanted: WantedState,
  held: HeldState,
  options: PlanOptions,
): string[] {
  const left = leftOf(held.webhooks, plan.webhooks, options);
  const formats = new Map(left.map(({ title, format }) => [title, format]));
  for (const { title, format } of wanted.webhooks ?? []) {
    if (format !== undefined) formats.set(title, format);
  }
  return [...formats].filter(([, format]) => format === "scaling").map(([title]) => title);
}

/** Found here, as what an import has made before it fails would be said to nobody. */
function refusedScaling(plan: StatePlan["scaling"], webhooks: readonly string[]): string[] {
  return [...plan.added, ...plan.changed.map(({ after }) => after)].flatMap((one) =>
    scaleRuleFaults(one, webhooks).map((fault) => `Scaling of ${scaleName(one)}: ${fault}`)
  );
}

/** Rules of scaling that stay as they are, and whose webhook the import removes. */
function refusedRemovals(
  plan: StatePlan,
  wanted: WantedState,
  held: HeldState,
  options: PlanOptions,
): string[] {
  const after = new Set([
    ...leftOf(held.webhooks, plan.webhooks, options),
    ...wanted.webhooks ?? [],
  ].map(({ title }) => title));
  const gone = new Set(
    held.webhooks.map(({ title }) => title).filter((title) => !after.has(title)),
  );
  const touched = new Set([
    ...plan.scaling.changed.map((one) => scaleName(one.after)),
    ...options.prune ? plan.scaling.missing.map(({ name }) => name) : [],
  ]);
  return held.scaling.map(stateScale)
    .filter((one) =>
      one.driver === "webhook" && gone.has(one.webhook) && !touched.has(scaleName(one))
    )
    .map((one) => `Scaling of ${scaleName(one)}: its webhook "${one.webhook}" would be removed`);
}
