// Core. Which alerts fire: rules against the system, with hysteresis and silences.

import { quantity } from "../../model/quantity.ts";
import type { RuleRow, SilenceRow } from "../../sql/console/console_store.ts";
import { heldCount } from "../system/agent_list.ts";
import type { SeenModule, SeenNode, SystemView } from "../system/system_model.ts";
import { moduleText } from "../../model/module.ts";
import { alertAbout, type AlertCondition, type AlertWords } from "./alert_condition.ts";
import {
  RELAY_CHECKS,
  RELAY_RULE_KINDS,
  type RelayRuleKind,
  type SeenRelay,
} from "./relay_checks.ts";
import type { RuleKind, ServiceView } from "../schemas.ts";

/** Alerts at once; further ones are counted, not kept. */
export const ALERTS_MAX = 2000;
/**
 * A rule is about shares of time: while its condition holds for more than this part of those
 * concerned, the alert rises, else it falls, as fast as it is far from it. So what is out for 15 s
 * and in for 3 s, again and again, fires after 45 s with a rule that asks for 30.
 */
const FIRING_SHARE = 0.5;

/** How an alert rises (up to 1) or falls (down to -1) with a share. */
function levelStep(share: number): number {
  return (share - FIRING_SHARE) / (1 - FIRING_SHARE);
}

/** A pause between two looks counts as at most this, in ms: nobody looked meanwhile. */
const LOOK_PAUSE_MAX_MS = 10_000;

/** A rule of the default set. */
export type NewRule = Omit<RuleRow, "id">;

function rule(
  kind: string,
  title: string,
  severity: NewRule["severity"],
  threshold: number,
  forS: number,
  clearS: number,
): NewRule {
  return {
    kind,
    title,
    severity,
    enabled: true,
    threshold,
    forS,
    clearS,
    modId: null,
    cmdId: null,
  };
}

/** What a new console watches. */
export const DEFAULT_RULES: readonly NewRule[] = [
  rule("module_overload", "No usable node", "critical", 0, 5, 30),
  rule("error_share", "Many calls fail", "warning", 0.1, 60, 120),
  rule("calls_refused", "Calls are refused", "critical", 0.05, 15, 60),
  rule("node_out", "Node kept out", "warning", 0, 30, 30),
  // Not at once: dns writes what it knows every 10 s, and has to be found again after a restart.
  rule("agent_silent", "Agent silent", "warning", 45, 20, 30),
  rule("dns_behind", "dns behind the database", "warning", 5, 10, 10),
  rule("push_refused", "Agents hold a push back", "warning", 0, 0, 60),
  rule("report_backlog", "Results wait for the database", "warning", 10_000, 30, 60),
  // A relay that starts again is away for a moment.
  rule("relay_away", "Relay away", "critical", 0, 15, 15),
  rule("relay_no_worker", "Requests find no worker", "critical", 0, 15, 60),
  rule("relay_waiting", "Requests wait for a worker", "warning", 5, 30, 60),
  rule("relay_drops", "A relay does not take messages", "warning", 0, 30, 120),
  rule("relay_store_full", "Store of a relay nearly full", "warning", 0.8, 60, 300),
];

/** An alert that fires or is about to. */
export interface AlertState extends AlertCondition {
  readonly key: string;
  readonly ruleId: number;
  readonly kind: string;
  readonly title: string;
  readonly severity: "warning" | "critical";
  readonly state: "pending" | "firing";
  readonly isSilenced: boolean;
  /** By the wall clock. */
  readonly sinceMs: number;
  readonly firedAtMs: number | null;
  /**
   * How far it has risen towards firing, up to the time of its rule, and for how long the condition
   * has been over without a break, while somebody looked.
   */
  readonly heldMs: number;
  readonly overMs: number;
}

/** Something to write down. Whom it is told to is a matter of each receiver's outbox. */
export interface AlertNews {
  readonly type: "firing" | "ended";
  readonly alert: AlertState;
}

function labelOf({ modId, cmdId, name }: SeenModule): string {
  return name === "" ? `Module ${modId}/${cmdId}` : `${name} (${modId}/${cmdId})`;
}

/** What is said of an alert while it fires, or of its end: not that something still is as it was. */
export function alertText(state: "firing" | "ended", { text, endText }: AlertState): string {
  return state === "firing" ? text : `ended: ${endText ?? text}`;
}

function aboutModule(module: SeenModule, [is, was]: AlertWords, value: number): AlertCondition {
  const { modId, cmdId } = module;
  const label = labelOf(module);
  return {
    subject: `${modId}/${cmdId}`,
    text: `${label}: ${is}`,
    endText: `${label}: ${was}`,
    value,
    modId,
    cmdId,
    node: null,
    service: null,
  };
}

/** Part of its callers that keeps a node out. */
function outShare({ health, callerCount, overloadCallerCount }: SeenNode): number {
  return health === "overload" ? 1 : overloadCallerCount / Math.max(1, callerCount);
}

function aboutNode(module: SeenModule, node: SeenNode): AlertCondition {
  const { name, callerCount, overloadCallerCount } = node;
  const share = outShare(node);
  const many = share === 1 ? `all ${callerCount}` : `${overloadCallerCount} of ${callerCount}`;
  const who = callerCount === 1 ? "its only caller" : `${many} callers`;
  const was = `node ${name} was kept out`;
  // Without callers it is as they last said.
  const words: AlertWords = callerCount === 0
    ? [`${was} when last heard of`, was]
    : [`node ${name} is kept out by ${who}`, `${was} by ${who}`];
  return {
    ...aboutModule(module, words, overloadCallerCount),
    subject: `${moduleText(module)} ${name}`,
    node: name,
    share,
  };
}

function aboutService(service: ServiceView, words: AlertWords, value: number): AlertCondition {
  return alertAbout(`${service.kind} ${service.address}`, words, value);
}

function detailNumber(service: ServiceView, name: string): number {
  const value = service.detail[name];
  return typeof value === "number" ? value : 0;
}

/** The cause that most callers met. */
function refusedWhy({ refusedBy }: SeenModule): AlertWords {
  const { overload, unusable, noNode, noRoute } = refusedBy;
  const most = Math.max(overload, unusable, noNode, noRoute);
  if (most === overload) return ["too few nodes are well", "too few nodes were well"];
  if (most === unusable) {
    const why = "drained, off, weight 0";
    return [`no node may be called: ${why}`, `no node might be called: ${why}`];
  }
  if (most === noNode) return ["it has no nodes", "it had no nodes"];
  return ["agents do not know its route yet", "agents did not know its route yet"];
}

function aboutRefused(module: SeenModule): AlertCondition {
  const [why, whyThen] = refusedWhy(module);
  const calls = `${percent(module.refusedShare)} of the calls`;
  const words: AlertWords = [`${calls} are refused (${why})`, `${calls} were refused (${whyThen})`];
  return aboutModule(module, words, module.refusedShare);
}

function percent(share: number): string {
  return `${Math.round(share * 1000) / 10} %`;
}

/** What rules look at. */
export interface WatchedSystem extends SystemView {
  /** Relays of the configuration, as they last answered. @default {none are watched} */
  readonly relays?: readonly SeenRelay[];
}

type Check = (
  view: WatchedSystem,
  modules: readonly SeenModule[],
  threshold: number,
) => AlertCondition[];

function services(
  view: SystemView,
  kind: string,
  valueOf: (service: ServiceView) => number,
  threshold: number,
  words: (value: number) => AlertWords,
): AlertCondition[] {
  return view.services
    .filter((service) => service.kind === kind && valueOf(service) > threshold)
    .map((service) => aboutService(service, words(valueOf(service)), valueOf(service)));
}

function aboutAgents([text, endText]: AlertWords, value: number): AlertCondition {
  return {
    subject: "agents",
    text,
    endText,
    value,
    modId: null,
    cmdId: null,
    node: null,
    service: null,
  };
}

/**
 * Agents are heard through dns. While no dns lives nothing is known of those that were, and one
 * alert says so instead of one for each.
 */
function silentAgents(
  view: SystemView,
  _modules: readonly SeenModule[],
  threshold: number,
): AlertCondition[] {
  const silentS = ({ seenAtMs }: ServiceView): number => Math.round((view.atMs - seenAtMs) / 1000);
  const isHeard = view.services.some((one) => one.kind === "dns" && silentS(one) <= threshold);
  const silent = view.services.filter((one) => one.kind === "agent" && silentS(one) > threshold);
  const unheard = isHeard ? [] : silent.filter(({ detail }) => typeof detail.dns === "string");
  const conditions = silent.filter((agent) => !unheard.includes(agent)).map((agent) => {
    const forS = `silent for ${silentS(agent)} s`;
    return aboutService(agent, [`has been ${forS}`, `was ${forS}`], silentS(agent));
  });
  if (unheard.length > 0) {
    const who = quantity(unheard.length, "agent");
    conditions.push(aboutAgents(
      [
        `No dns is alive, so nothing is heard of ${who}`,
        `no dns was alive, so nothing was heard of ${who}`,
      ],
      unheard.length,
    ));
  }
  return conditions;
}

/** One change may be held back by the whole fleet: that is one alert. */
function holdingAgents(
  view: SystemView,
  _modules: readonly SeenModule[],
  threshold: number,
): AlertCondition[] {
  const holding = view.services.filter((one) => one.kind === "agent" && heldCount(one) > threshold);
  if (holding.length === 0) return [];
  const most = Math.max(...holding.map(heldCount));
  const [{ address }] = holding;
  const who = holding.length === 1
    ? `agent ${address}`
    : `${holding.length} agents (${address} for one)`;
  const holds = holding.length === 1 ? "holds" : "hold";
  const what = most === 1 ? "a changed route" : `${most} changed routes`;
  const words: AlertWords = [
    `${who} ${holds} ${what} back: confirm or undo the change`,
    `${who} held ${what} back`,
  ];
  return [aboutAgents(words, most)];
}

/** What each kind of rule looks for. */
const CHECKS = {
  ...relayChecks(),
  module_overload: (_view, modules) =>
    modules.filter(({ health }) => health === "down").map((module) =>
      aboutModule(
        module,
        ["no node can be called", "no node could be called"],
        module.overloadCount,
      )
    ),
  error_share: (_view, modules, threshold) =>
    modules.filter(({ errorShare, callsPerSecond }) => callsPerSecond > 0 && errorShare > threshold)
      .map((module) => {
        const calls = `${percent(module.errorShare)} of the calls`;
        return aboutModule(module, [`${calls} fail`, `${calls} failed`], module.errorShare);
      }),
  calls_refused: (_view, modules, threshold) =>
    modules.filter(({ refusedShare }) => refusedShare > threshold).map(aboutRefused),
  node_out: (_view, modules) =>
    modules.flatMap((module) =>
      module.nodes.filter((node) => node.state === "on" && outShare(node) > 0)
        .map((node) => aboutNode(module, node))
    ),
  agent_silent: silentAgents,
  dns_behind: (view, _modules, threshold) =>
    services(
      view,
      "dns",
      ({ revisionLag }) => revisionLag ?? 0,
      threshold,
      (seconds) => [
        `is ${seconds} s behind the database`,
        `was ${seconds} s behind the database`,
      ],
    ),
  push_refused: holdingAgents,
  report_backlog: (view, _modules, threshold) =>
    services(
      view,
      "reporter",
      (service) => detailNumber(service, "rows_waiting"),
      threshold,
      (rows) => [
        `has ${rows} results that wait for the database`,
        `had ${rows} results that waited for the database`,
      ],
    ),
} satisfies Record<RuleKind, Check>;

function relayChecks(): Record<RelayRuleKind, Check> {
  const checks = RELAY_RULE_KINDS.map((kind): [RelayRuleKind, Check] => [
    kind,
    ({ relays = [] }, _modules, threshold) => RELAY_CHECKS[kind](relays, threshold),
  ]);
  return Object.fromEntries(checks) as Record<RelayRuleKind, Check>;
}

/** The same by the kind of a stored rule, which may be one of a later version. */
const CHECK_OF: ReadonlyMap<string, Check> = new Map(Object.entries(CHECKS));

function matches(silence: SilenceRow, ruleId: number, condition: AlertCondition): boolean {
  return (silence.ruleId === null || silence.ruleId === ruleId) &&
    (silence.modId === null || silence.modId === condition.modId) &&
    (silence.cmdId === null || silence.cmdId === condition.cmdId) &&
    (silence.node === null || silence.node === condition.node);
}

/** When it is looked. */
export interface LookTime {
  /** By the monotonic clock. */
  readonly nowMs: number;
  /** By the wall clock, for people. */
  readonly wallMs: number;
}

/** Remembers which alerts are about to fire, fire, or are about to end. */
export class AlertEngine {
  #alerts = new Map<string, AlertState>();
  #lastMs: number | undefined;
  #droppedCount = 0;

  /** Alerts that fire or are about to, firing ones first, oldest first. */
  get alerts(): AlertState[] {
    return [...this.#alerts.values()].sort((a, b) =>
      Number(b.state === "firing") - Number(a.state === "firing") || a.sinceMs - b.sinceMs
    );
  }

  /** Alerts that found no room since the start. */
  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** Takes over alerts that another run left, so that a restart neither repeats nor loses one. */
  restore(alerts: readonly AlertState[]): void {
    for (const alert of alerts.slice(0, ALERTS_MAX)) this.#alerts.set(alert.key, alert);
  }

  /** Looks at the system. A view that is stale tells nothing: then nothing begins and nothing ends. */
  look(
    view: WatchedSystem,
    rules: readonly RuleRow[],
    silences: readonly SilenceRow[],
    time: LookTime,
  ): AlertNews[] {
    const sinceLastMs = time.nowMs - (this.#lastMs ?? time.nowMs);
    this.#lastMs = time.nowMs;
    if (view.isStale) return [];
    const passedMs = Math.min(Math.max(0, sinceLastMs), LOOK_PAUSE_MAX_MS);
    const news: AlertNews[] = [];
    const seen = new Set<string>();
    const shares = new Map<string, number>();
    const active = rules.filter(({ enabled }) => enabled);
    for (const one of active) {
      for (const condition of conditionsOf(one, view)) {
        const key = `${one.id} ${condition.subject}`;
        const { share = 1 } = condition;
        if (share <= FIRING_SHARE) {
          shares.set(key, share);
          continue;
        }
        seen.add(key);
        const isSilenced = silences.some((silence) =>
          silence.endsAtMs > time.wallMs && matches(silence, one.id, condition)
        );
        this.#hold(key, one, condition, isSilenced, passedMs, time, news);
      }
    }
    const clearMs = new Map(active.map(({ id, clearS }) => [id, clearS * 1000]));
    for (const alert of [...this.#alerts.values()]) {
      if (seen.has(alert.key)) continue;
      const overMs = passedMs * levelStep(shares.get(alert.key) ?? 0);
      this.#release(alert, clearMs.get(alert.ruleId), -overMs, news);
    }
    return news;
  }

  #hold(
    key: string,
    one: RuleRow,
    condition: AlertCondition,
    isSilenced: boolean,
    passedMs: number,
    time: LookTime,
    news: AlertNews[],
  ): void {
    const known = this.#alerts.get(key);
    if (known === undefined && this.#alerts.size >= ALERTS_MAX) {
      this.#droppedCount++;
      return;
    }
    const forMs = one.forS * 1000;
    const risenMs = passedMs * levelStep(condition.share ?? 1);
    const heldMs = known === undefined ? 0 : Math.min(known.heldMs + risenMs, forMs);
    const fires = known?.state === "firing" || heldMs >= forMs;
    const begins = fires && known?.state !== "firing";
    const alert: AlertState = {
      ...condition,
      key,
      ruleId: one.id,
      kind: one.kind,
      title: one.title,
      severity: one.severity,
      state: fires ? "firing" : "pending",
      isSilenced,
      sinceMs: known?.sinceMs ?? time.wallMs,
      firedAtMs: begins ? time.wallMs : known?.firedAtMs ?? null,
      heldMs,
      overMs: 0,
    };
    this.#alerts.set(key, alert);
    if (begins) news.push({ type: "firing", alert });
  }

  /** `clearMs` is undefined when the rule is gone: then the alert ends at once. */
  #release(
    alert: AlertState,
    clearMs: number | undefined,
    passedMs: number,
    news: AlertNews[],
  ): void {
    if (alert.state === "pending" && clearMs !== undefined && alert.heldMs > passedMs) {
      this.#alerts.set(alert.key, { ...alert, heldMs: alert.heldMs - passedMs });
      return;
    }
    const overMs = alert.overMs + passedMs;
    if (alert.state === "firing" && clearMs !== undefined && overMs < clearMs) {
      this.#alerts.set(alert.key, { ...alert, overMs });
      return;
    }
    this.#alerts.delete(alert.key);
    if (alert.state !== "firing") return;
    news.push({ type: "ended", alert });
  }
}

/** What a rule finds now. */
function conditionsOf(one: RuleRow, view: WatchedSystem): AlertCondition[] {
  const modules = view.modules.filter(({ modId, cmdId }) =>
    (one.modId === null || one.modId === modId) && (one.cmdId === null || one.cmdId === cmdId)
  );
  return CHECK_OF.get(one.kind)?.(view, modules, one.threshold) ?? [];
}
