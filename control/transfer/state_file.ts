// Core. Everything an operator made, as one text that can live in version control.

import * as z from "zod";
import { MODULE_NAME_LENGTH_MAX, type ModuleKey, modulePair } from "../../model/module.ts";
import { addressText } from "../../model/node.ts";
import type { ModuleRow, NodeSpec, RouteRow } from "../../sql/store.ts";
import type { WebhookSettings } from "../alerts/alert_settings.ts";
import { shapeWords } from "../shape_words.ts";
import { parseNode } from "../changes/change_edits.ts";
import {
  cmdId,
  modId,
  nodeState,
  pathParts,
  role,
  type Rule,
  RuleInput,
  type ScaledModule,
  ScaleRuleShape,
  type Silence,
  SilenceInput,
  type User,
  userName,
  WebhookInput,
  weight,
  zone,
} from "../schemas.ts";

/** First words of such a file: what it is, and how it is written. */
export const STATE_FORMAT = "lars-state/1";

/** Longest such file, in characters. */
export const STATE_CHARS_MAX = 256 * 1024 * 1024;

/** Faults named in one message; the rest is only counted. */
const FAULTS_MAX = 20;

const NodeEntry = z.strictObject({
  node: pathParts.node,
  weight: weight.optional(),
  zone: zone.optional(),
  state: nodeState.optional(),
});
const ModuleEntry = z.strictObject({
  modid: modId,
  cmdid: cmdId,
  name: z.string().max(MODULE_NAME_LENGTH_MAX).optional(),
  policy: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
  nodes: z.array(NodeEntry).optional(),
});
const SilenceEntry = z.strictObject({
  rule: z.string().nullable(),
  modId: SilenceInput.shape.modId,
  cmdId: SilenceInput.shape.cmdId,
  node: SilenceInput.shape.node,
  why: SilenceInput.shape.why,
  endsAt: z.iso.datetime(),
});
const UserEntry = z.strictObject({ name: userName, role, isDisabled: z.boolean().optional() });
const ScaleEntry = z.strictObject({ modid: modId, cmdid: cmdId, ...ScaleRuleShape.shape });
const StateFile = z.strictObject({
  format: z.literal(STATE_FORMAT),
  modules: z.array(ModuleEntry).optional(),
  scaling: z.array(ScaleEntry).optional(),
  rules: z.array(RuleInput).optional(),
  silences: z.array(SilenceEntry).optional(),
  webhooks: z.array(WebhookInput).optional(),
  users: z.array(UserEntry).optional(),
});

/** A module of a file: its texts, where it names them. */
export interface WantedTexts extends ModuleKey {
  readonly name?: string | undefined;
  readonly policy?: string | undefined;
}

/** A silence, by the title of its rule. */
export type StateSilence = z.output<typeof SilenceEntry>;

/** A webhook of a file; it may name a secret, which none that is written does. */
export type StateWebhook = z.output<typeof WebhookInput>;

/** A rule of scaling with its module. */
export type StateScale = z.output<typeof ScaleEntry>;

/** A user without his password. */
export type StateUser = z.output<typeof UserEntry>;

/** What a file says. A part that it lacks is undefined, and is left as it is. */
export interface WantedState {
  readonly nodes: readonly NodeSpec[] | undefined;
  readonly texts: readonly WantedTexts[] | undefined;
  readonly scaling: readonly StateScale[] | undefined;
  readonly rules: readonly Omit<Rule, "id">[] | undefined;
  readonly silences: readonly StateSilence[] | undefined;
  readonly webhooks: readonly StateWebhook[] | undefined;
  readonly users: readonly StateUser[] | undefined;
}

/** What a system holds. */
export interface HeldState {
  readonly routes: readonly RouteRow[];
  readonly texts: readonly ModuleRow[];
  readonly scaling: readonly Pick<ScaledModule, "modId" | "cmdId" | "rule">[];
  readonly rules: readonly Rule[];
  readonly silences: readonly Silence[];
  readonly webhooks: readonly WebhookSettings[];
  /** All of them; those who log in by a provider come by the provider, and stay out of files. */
  readonly users: readonly User[];
}

/** Users that a file may hold. */
export function filedUsers({ users }: HeldState): StateUser[] {
  return users.filter(({ login }) => login === "password")
    .map(({ name, role, isDisabled }) => ({ name, role, isDisabled }));
}

/** A silence by the title of its rule; one whose rule is gone belongs to none. */
export function stateSilence(silence: Silence, rules: readonly Rule[]): StateSilence {
  const { ruleId, modId, cmdId, node, why, endsAtMs } = silence;
  const rule = rules.find(({ id }) => id === ruleId)?.title ?? null;
  return { rule, modId, cmdId, node, why, endsAt: new Date(endsAtMs).toISOString() };
}

/** A rule of scaling as a file has it. */
export function stateScale({ modId, cmdId, rule }: HeldState["scaling"][number]): StateScale {
  return { modid: modId, cmdid: cmdId, ...rule, floors: [...rule.floors] };
}

/** A policy as an object where it is one, so that a difference shows key by key. */
function policyValue(policy: string): unknown {
  try {
    const value: unknown = JSON.parse(policy);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : policy;
  } catch {
    return policy;
  }
}

const byText = <T>(textOf: (one: T) => string) => (a: T, b: T): number =>
  textOf(a) < textOf(b) ? -1 : 1;

function moduleEntries({ routes, texts }: HeldState): unknown[] {
  const keys = new Map<string, ModuleKey>();
  for (const { modId, cmdId } of [...routes, ...texts]) {
    keys.set(modulePair({ modId, cmdId }), { modId, cmdId });
  }
  const nodesOf = Map.groupBy(routes, (row) => modulePair(row));
  const textsOf = new Map(texts.map((row) => [modulePair(row), row]));
  return [...keys].sort(([, a], [, b]) => a.modId - b.modId || a.cmdId - b.cmdId)
    .map(([pair, { modId, cmdId }]) => ({
      modid: modId,
      cmdid: cmdId,
      name: textsOf.get(pair)?.name ?? "",
      policy: policyValue(textsOf.get(pair)?.policy ?? ""),
      nodes: (nodesOf.get(pair) ?? []).toSorted((a, b) => a.ip - b.ip || a.port - b.port)
        .map(({ ip, port, weight, zone, state }) => ({
          node: addressText({ ip, port }),
          weight,
          zone,
          state,
        })),
    }));
}

/** What a system holds, as a file: the same text for the same state. */
export function formatStateFile(held: HeldState): string {
  const { scaling, rules, silences, webhooks } = held;
  return `${
    layOut({
      format: STATE_FORMAT,
      modules: moduleEntries(held),
      scaling: scaling.map(stateScale)
        .toSorted((a, b) => a.modid - b.modid || a.cmdid - b.cmdid),
      rules: rules.map(({ id: _id, ...rule }) => rule).toSorted(byText(({ title }) => title)),
      silences: silences.map((one) => stateSilence(one, rules))
        .toSorted(byText(({ endsAt, why }) => `${endsAt} ${why}`)),
      webhooks: webhooks.map(({ id: _id, ...hook }) => hook).toSorted(byText(({ title }) => title)),
      users: filedUsers(held).toSorted(byText(({ name }) => name)),
    }, "")
  }\n`;
}

/** JSON with an object or a list on one line when nothing in it has parts of its own. */
function layOut(value: unknown, indent: string): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const entries: (readonly [string, unknown])[] = Array.isArray(value)
    ? value.map((one) => ["", one])
    : Object.entries(value).map(([key, one]) => [`${JSON.stringify(key)}: `, one]);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (entries.length === 0) return `${open}${close}`;
  const isFlat = entries.every(([, one]) => one === null || typeof one !== "object");
  if (isFlat && indent !== "") {
    const parts = entries.map(([key, one]) => `${key}${JSON.stringify(one)}`);
    return Array.isArray(value) ? `[${parts.join(", ")}]` : `{ ${parts.join(", ")} }`;
  }
  const inner = `${indent}  `;
  const lines = entries.map(([key, one]) => `${inner}${key}${layOut(one, inner)}`);
  return `${open}\n${lines.join(",\n")}\n${indent}${close}`;
}

/**
 * Reads a file.
 *
 * @returns what it says, or everything that is wrong with it, each fault with its place.
 */
export function parseStateFile(
  text: string,
  fileName: string,
): { readonly wanted: WantedState } | { readonly problems: readonly string[] } {
  if (text.length > STATE_CHARS_MAX) {
    return { problems: [`${fileName} must be at most ${STATE_CHARS_MAX} characters`] };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return {
      problems: [`${fileName} must be JSON: ${error instanceof Error ? error.message : ""}`],
    };
  }
  const { success, data, error } = StateFile.safeParse(value, { error: shapeWords });
  if (!success) {
    const faults = error.issues.map(({ path, message }) =>
      `${fileName}: ${path.length === 0 ? "the whole" : path.map(String).join(".")}: ${message}`
    );
    const more = faults.length - FAULTS_MAX;
    return { problems: [...faults.slice(0, FAULTS_MAX), ...more > 0 ? [`and ${more} more`] : []] };
  }
  const problems = doubles(data).map((what) => `${fileName}: ${what} stands twice`);
  if (problems.length > 0) return { problems };
  const { modules, scaling, rules, silences, webhooks, users } = data;
  return { wanted: { ...wantedModules(modules), scaling, rules, silences, webhooks, users } };
}

function wantedModules(
  modules: z.output<typeof StateFile>["modules"],
): Pick<WantedState, "nodes" | "texts"> {
  if (modules === undefined) return { nodes: undefined, texts: undefined };
  const keyOf = ({ modid, cmdid }: z.output<typeof ModuleEntry>): ModuleKey => ({
    modId: modid,
    cmdId: cmdid,
  });
  return {
    nodes: modules.flatMap((module) =>
      (module.nodes ?? []).map(({ node, ...values }) => ({
        ...keyOf(module),
        ...parseNode(node),
        ...values,
      }))
    ),
    texts: modules.map((module) => ({
      ...keyOf(module),
      name: module.name,
      policy: typeof module.policy === "object" ? JSON.stringify(module.policy) : module.policy,
    })),
  };
}

/** What is named more than once, so that a file would say two things of it. */
function doubles(
  { modules = [], scaling = [], rules = [], webhooks = [], users = [] }: z.output<typeof StateFile>,
): string[] {
  const twice = (what: string, names: readonly string[]): string[] => {
    const seen = new Set<string>();
    const again = names.filter((name) => seen.size === seen.add(name).size);
    return [...new Set(again)].map((name) => `${what} ${name}`);
  };
  return [
    ...twice(
      "module",
      modules.map(({ modid, cmdid }) => modulePair({ modId: modid, cmdId: cmdid })),
    ),
    ...modules.flatMap(({ modid, cmdid, nodes = [] }) =>
      twice(`module ${modid},${cmdid}: node`, nodes.map(({ node }) => node))
    ),
    ...twice(
      "scaling of",
      scaling.map(({ modid, cmdid }) => modulePair({ modId: modid, cmdId: cmdid })),
    ),
    ...twice("rule", rules.map(({ title }) => title)),
    ...twice("webhook", webhooks.map(({ title }) => title)),
    ...twice("user", users.map(({ name }) => name)),
  ];
}
