// Core. A made-up fleet for tests of the pages: routes that can be edited, and everything that stands around them.

import {
  errorSeverity,
  eventSeverity,
  nodeSeverity,
  worseOf,
} from "../../control/system/severity.ts";
import { ScaleRuleShape } from "../../control/schemas.ts";
import type { BodyOf, ResponseOf, RouteName } from "../../web/contract.ts";

/** A value that a test may alter. */
type Writable<T> = T extends object ? { -readonly [Key in keyof T]: Writable<T[Key]> } : T;

/** The answer of a route, which the made-up system alters. */
export type AnswerOf<Name extends RouteName> = Writable<ResponseOf<Name>>;

type Module = AnswerOf<"getModule">;
type Node = Module["nodes"][number];
type Edit = BodyOf<"applyChange">["edits"][number];
type Difference = AnswerOf<"previewChange">["nodes"][number];
type TextDifference = AnswerOf<"previewChange">["modules"][number];
type ChangeDetail = AnswerOf<"getChange">;

/** Which fleet is made. */
export type Scene = "usual" | "empty" | "crowded";

/** Longest name the pages must bear without overflow in everyday use. */
export const LONG_NAME = "payments-authorisation-gateway-europe-01";

const MINUTE_MS = 60_000;

/** A wave between 0 and 1 that differs with `seed`: chance would change screenshots. */
function wave(index: number, seed: number): number {
  const value = Math.sin(index * 12.9898 + seed * 78.233) * 43_758.5453;
  return value - Math.floor(value);
}

function nodeOf(index: number, nowMs: number, values: Partial<Node> = {}): Node {
  const calls = 18 + 8 * wave(index, 3);
  const node: Node = {
    ip: `10.${20 + Math.floor(index / 250)}.4.${index % 250 + 1}`,
    port: 7000 + index % 3,
    weight: 100,
    zone: ["eu-1a", "eu-1b", "eu-1c"][index % 3],
    state: "on",
    health: "ok",
    wantedShare: 0,
    severity: null,
    troubleSinceMs: null,
    callsPerSecond: calls,
    errorShare: index % 7 === 3 ? 0.004 : 0,
    callerCount: 6,
    overloadCallerCount: 0,
    reportedAtMs: nowMs - 1500,
    sparkline: Array.from({ length: 30 }, (_, at) => calls * (0.8 + 0.4 * wave(at, index))),
    ...values,
  };
  const severity = node.state === "on" ? nodeSeverity(node) : null;
  const sinceMs = severity === null ? null : nowMs - 7 * MINUTE_MS;
  return { ...node, severity, troubleSinceMs: sinceMs };
}

/** Nodes of one module with the shares their weights give them. */
function withShares(nodes: readonly Node[]): Node[] {
  const on = nodes.filter(({ state }) => state === "on");
  const weights = on.reduce((sum, { weight }) => sum + weight, 0);
  return nodes.map((node) => ({
    ...node,
    wantedShare: on.includes(node) ? node.weight / weights : 0,
  }));
}

/** As much as an agent tells of itself. */
function agentAddress(index: number): string {
  return `10.0.${9 + (index >> 8)}.${index & 255}:8888`;
}

const AGENT_DETAIL: Readonly<Record<string, number | string>> = {
  software: "lars/0.1.0 deno/2.9.6",
  zone: "eu-1a",
  callerIp: "10.0.9.3",
  dnsAddress: "10.0.1.1:7778",
  dnsConnected: 1,
  dnsRouteAgeS: 4,
  modules: 7,
  hosts: 37,
  hostsOverload: 3,
  picks: 8_204_311,
  reports: 8_204_007,
  ...Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`counterNumber${index}`, index])),
};

const OUT: Partial<Node> = {
  health: "overload",
  errorShare: 0.83,
  callsPerSecond: 1.4,
  overloadCallerCount: 6,
};
const FAILING: Partial<Node> = { health: "failing", errorShare: 0.81 };
const PARTLY: Partial<Node> = { health: "partial", errorShare: 0.07, overloadCallerCount: 2 };
const IDLE: Partial<Node> = {
  health: "idle",
  callsPerSecond: 0,
  reportedAtMs: null,
  sparkline: [],
};
const DRAINED: Partial<Node> = { state: "drain", callsPerSecond: 0, health: "idle", sparkline: [] };

function seedModules(scene: Scene, nowMs: number): Module[] {
  if (scene === "empty") return [];
  const make = (
    modId: number,
    cmdId: number,
    name: string,
    count: number,
    special: Readonly<Record<number, Partial<Node>>> = {},
  ): Module => ({
    modId,
    cmdId,
    name,
    policy: "lars",
    policyText: "",
    health: "ok",
    severity: null,
    troubleSinceMs: null,
    nodeCount: 0,
    onCount: 0,
    overloadCount: 0,
    callsPerSecond: 0,
    errorShare: 0,
    refusedPerSecond: 0,
    refusedShare: 0,
    refusedBy: { overload: 0, unusable: 0, noNode: 0, noRoute: 0 },
    revision: "1",
    nodes: withShares(Array.from(
      { length: count },
      (_, index) => nodeOf(index, nowMs, special[index] ?? {}),
    )),
  });
  const modules = [
    make(1, 1, LONG_NAME, 8, { 2: OUT, 5: PARTLY, 6: DRAINED, 7: { weight: 300 } }),
    make(1, 2, "payments-refund", 4),
    make(2, 1, "search", 12),
    make(2, 2, "", 3, { 1: FAILING }),
    make(3, 1, "thumbnails", 2, { 0: OUT, 1: OUT }),
    make(4_294_967_295, 4_294_967_295, "legacy", 2, { 0: IDLE, 1: IDLE }),
    make(7, 7, "planned", 0),
  ];
  if (scene === "crowded") {
    modules.unshift(make(9, 9, LONG_NAME, 500, { 7: OUT, 77: OUT, 177: PARTLY, 277: DRAINED }));
    for (let at = 0; at < 300; at++) modules.push(make(100 + at, 1, `service-${at}`, 3));
  }
  return modules;
}

/** The parts of a node that are stored. */
function valuesOf(node: Node): { weight: number; zone: string; state: Node["state"] } {
  return { weight: node.weight, zone: node.zone, state: node.state };
}

/** Routes in memory that follow edits the way the real service does. */
export class FixtureWorld {
  readonly modules: Module[];
  readonly changes: ChangeDetail[] = [];
  readonly events: AnswerOf<"listEvents">["events"] = [];
  readonly audit: AnswerOf<"listAudit">["entries"] = [];
  readonly rules: AnswerOf<"listRules">["rules"];
  readonly silences: AnswerOf<"listSilences">["silences"] = [];
  readonly webhooks: AnswerOf<"listWebhooks">["webhooks"] = [];
  readonly users: AnswerOf<"listUsers">["users"];
  readonly tokens: AnswerOf<"listTokens">["tokens"] = [];
  /** What the first agent holds back, in its own words. */
  heldBack = "";
  /** Addresses of agents that are forgotten. */
  readonly forgotten = new Set<string>();
  /** Nodes whose registrations were ended, and modules of which nodes seem to be lost. */
  readonly ended = new Set<string>();
  /** Clients of a relay that were put out, by their numbers. */
  readonly kicked = new Set<number>();
  heldNodes: AnswerOf<"listLeases">["held"] = [];
  /** Rules of scaling. */
  scaled: AnswerOf<"listScaling">["modules"] = SCALED;
  /** Modules that somebody said are meant, `1/2: why`. */
  readonly confirmed: string[] = [];
  /** The database is away: what is shown is old. */
  isStale = false;
  /** Why nothing can be written: a newer program has migrated the database. */
  readOnly: string | null = null;
  /** Modules that the next change sends back to evacuated zones. */
  returned: AnswerOf<"applyChange">["returned"] = [];
  readonly #scene: Scene;
  readonly #startMs: number;
  #version = 1000;
  #nextId = 1;

  constructor(scene: Scene, nowMs: number) {
    this.#scene = scene;
    this.#startMs = nowMs;
    this.modules = seedModules(scene, nowMs);
    for (const module of this.modules) this.#count(module);
    this.rules = [
      ["module_overload", "Module has no node left", "critical", 0],
      ["error_share", "Calls fail", "warning", 0.05],
      ["node_out", "Node kept out by its callers", "warning", 0],
      ["agent_silent", "Agent says nothing", "critical", 60],
      ["dns_behind", "dns is behind", "warning", 10],
      ["report_backlog", "Reports wait", "warning", 10_000],
      ["relay_drops", "A relay does not take messages", "warning", 0],
      ["relay_store_full", "Store of a relay nearly full", "warning", 0.8],
    ].map(([kind, title, severity, threshold], index) => ({
      id: index + 1,
      kind: kind as "node_out",
      title: String(title),
      severity: severity as "warning",
      isEnabled: index !== 4,
      threshold: Number(threshold),
      forS: 30,
      clearS: 120,
      modId: null,
      cmdId: null,
    }));
    const user = (name: string, role: "viewer" | "operator" | "admin") => ({
      name,
      role,
      login: name.startsWith("sso.") ? "provider" as const : "password" as const,
      isDisabled: name === "former.colleague",
      mustChangePassword: name === "fresh",
      createdAtMs: nowMs - 40 * 24 * 60 * MINUTE_MS,
      lastLoginAtMs: name === "fresh" ? null : nowMs - 90 * MINUTE_MS,
    });
    this.users = [
      user("admin", "admin"),
      user("olga", "operator"),
      user("vera", "viewer"),
      user("fresh", "admin"),
      user("former.colleague", "viewer"),
    ];
    if (scene !== "empty") this.#seedPast(nowMs);
  }

  /** Another number each time. */
  id(): number {
    return this.#nextId++;
  }

  find(modId: number, cmdId: number): Module | undefined {
    return this.modules.find((module) => module.modId === modId && module.cmdId === cmdId);
  }

  /** Sets how a node does, as if its callers had reported it. */
  setNode(modId: number, cmdId: number, index: number, values: Partial<Node>): void {
    const module = this.find(modId, cmdId);
    if (module === undefined) throw new Error(`No module ${modId}/${cmdId}`);
    module.nodes[index] = { ...module.nodes[index], ...values };
    this.#count(module);
  }

  /** Text that differs whenever one of the modules differs. */
  fingerprint(edits: readonly Edit[]): string {
    return edits.map(({ modId, cmdId }) => this.find(modId, cmdId)?.revision ?? "0").join(".")
      .slice(0, 64);
  }

  preview(edits: readonly Edit[]): AnswerOf<"previewChange"> {
    const nodes: Difference[] = [];
    const modules: TextDifference[] = [];
    let unchangedCount = 0;
    for (const edit of edits) {
      if (edit.op === "module") {
        const module = this.find(edit.modId, edit.cmdId);
        const before = { name: module?.name ?? "", policy: module?.policyText ?? "" };
        modules.push({
          modId: edit.modId,
          cmdId: edit.cmdId,
          before,
          after: {
            name: edit.name ?? before.name,
            policy: edit.policy ?? before.policy,
          },
        });
        continue;
      }
      const difference = this.#difference(edit);
      if (difference === undefined) unchangedCount++;
      else nodes.push(difference);
    }
    return {
      fingerprint: this.fingerprint(edits),
      nodes,
      modules,
      unchangedCount,
      traffic: this.#traffic(nodes),
      warnings: [],
    };
  }

  apply(
    edits: readonly Edit[],
    who: string,
    why: string,
    nowMs: number,
    via: ChangeDetail["via"] = "console",
    undoes: number | null = null,
  ): AnswerOf<"applyChange"> {
    const { nodes, modules } = this.preview(edits);
    const keys = [...nodes, ...modules];
    const touched = [
      ...new Map(keys.map(({ modId, cmdId }) => [`${modId}/${cmdId}`, { modId, cmdId }])).values(),
    ];
    if (touched.length === 0) {
      return {
        changeId: null,
        version: this.#version,
        changed: [],
        told: [],
        emptied: [],
        returned: [],
        revision: null,
      };
    }
    const took = new Set(
      touched.filter((key) =>
        this.#module(key.modId, key.cmdId).nodes.some(({ state }) => state === "on")
      ).map(({ modId, cmdId }) => `${modId}/${cmdId}`),
    );
    for (const difference of nodes) this.#write(difference, nowMs);
    for (const { modId, cmdId, after } of modules) {
      const { policy = "lars" } = after.policy === "" ? {} : JSON.parse(after.policy);
      Object.assign(this.#module(modId, cmdId), {
        name: after.name,
        policyText: after.policy,
        policy,
      });
    }
    for (const { modId, cmdId } of touched) {
      const module = this.#module(modId, cmdId);
      module.revision = String(Number(module.revision) + 1);
      this.#count(module);
    }
    const id = this.id();
    this.changes.unshift({
      id,
      atMs: nowMs,
      who,
      via,
      why,
      summary: summaryOf(nodes, modules),
      modules: touched.slice(0, 20),
      moduleCount: touched.length,
      nodeCount: nodes.length,
      undoes,
      undoneBy: null,
      nodes,
      moduleTexts: modules,
    });
    return {
      changeId: id,
      version: ++this.#version,
      changed: touched,
      told: [{ address: "127.0.0.1:7778", told: true, fault: null, tookMs: 1.2 }],
      emptied: touched.filter((key) => {
        const { nodes: left } = this.#module(key.modId, key.cmdId);
        return took.has(`${key.modId}/${key.cmdId}`) && !left.some(({ state }) => state === "on");
      }).map((key) => ({ ...key, name: this.#module(key.modId, key.cmdId).name })),
      returned: this.returned,
      revision: touched.length === 1
        ? this.#module(touched[0].modId, touched[0].cmdId).revision
        : null,
    };
  }

  /** Edits that put back what a change did. */
  undoing(change: ChangeDetail): Edit[] {
    const texts = change.moduleTexts.map(({ modId, cmdId, before }): Edit => ({
      op: "module",
      modId,
      cmdId,
      ...before,
    }));
    return [
      ...texts,
      ...change.nodes.map(({ modId, cmdId, ip, port, before, after }): Edit =>
        before === null
          ? { op: "remove", modId, cmdId, ip, port }
          : { op: after === null ? "add" : "set", modId, cmdId, ip, port, ...before }
      ),
    ];
  }

  overview(nowMs: number): AnswerOf<"getOverview"> {
    const health = { ok: 0, degraded: 0, down: 0, idle: 0, empty: 0 };
    for (const module of this.modules) health[module.health]++;
    const calls = this.modules.reduce((sum, module) => sum + module.callsPerSecond, 0);
    const errors = this.modules.reduce(
      (sum, module) => sum + module.callsPerSecond * module.errorShare,
      0,
    );
    const refused = this.modules.reduce((sum, module) => sum + module.refusedPerSecond, 0);
    const problems = this.#problems();
    const isEmpty = this.#scene === "empty";
    return {
      atMs: this.isStale ? nowMs - 4 * MINUTE_MS : nowMs,
      isStale: this.isStale,
      version: this.#version,
      moduleCount: this.modules.length,
      nodeCount: this.modules.reduce((sum, { nodes }) => sum + nodes.length, 0),
      health,
      callsPerSecond: calls,
      errorShare: calls === 0 ? 0 : errors / calls,
      refusedPerSecond: refused,
      refusedShare: refused === 0 ? 0 : refused / (refused + calls),
      callerCount: isEmpty ? 0 : 6,
      services: isEmpty
        ? { dns: 0, reporter: 0, agent: 0, silent: 0 }
        : { dns: 2, reporter: 1, agent: 5, silent: 0 },
      agents: isEmpty
        ? { all: 0, silent: 0, holding: 0, behind: 0, ok: 0 }
        : { all: 6, silent: 1, holding: 0, behind: 1, ok: 4 },
      firingCount:
        this.alerts().filter(({ state, isSilenced }) => state === "firing" && !isSilenced).length,
      problems: problems.slice(0, 50),
      problemCount: problems.length,
      worst: this.modules.filter((module) => ["down", "degraded"].includes(module.health))
        .map(summary).slice(0, 20),
      busiest: this.modules.filter(({ callsPerSecond }) => callsPerSecond > 0)
        .toSorted((left, right) => right.callsPerSecond - left.callsPerSecond)
        .map(summary).slice(0, 5),
    };
  }

  list(search: string, health: string, sort: string): AnswerOf<"listModules">["modules"] {
    const rank = { down: 0, degraded: 1, ok: 2, idle: 3, empty: 4 };
    const wanted = search.toLowerCase();
    return this.modules.filter((module) =>
      (health === "" || module.health === health) &&
      `${module.name} ${module.modId} / ${module.cmdId} ${
        module.nodes.map(({ ip, port }) => `${ip}:${port}`).join(" ")
      }`.toLowerCase().includes(wanted)
    ).sort((left, right) => {
      if (sort === "name") return left.name.localeCompare(right.name);
      if (sort === "calls") return right.callsPerSecond - left.callsPerSecond;
      if (sort === "nodes") return right.nodeCount - left.nodeCount;
      return sort === "id" ? left.modId - right.modId : rank[left.health] - rank[right.health];
    }).map(summary);
  }

  alerts(): AnswerOf<"listAlerts">["alerts"] {
    if (this.#scene === "empty") return [];
    const sinceMs = this.#startMs - 7 * MINUTE_MS;
    const alert = (
      ruleId: number,
      modId: number | null,
      node: string | null,
      text: string,
      state: "firing" | "pending",
    ): AnswerOf<"listAlerts">["alerts"][number] => {
      const rule = this.rules.find(({ id }) => id === ruleId) ?? this.rules[0];
      return {
        key: `${ruleId} ${modId} ${node}`,
        ruleId,
        kind: rule.kind,
        title: rule.title,
        severity: rule.severity,
        state,
        isSilenced: this.silences.some((silence) =>
          (silence.ruleId === null || silence.ruleId === ruleId) &&
          (silence.modId === null || silence.modId === modId)
        ),
        text,
        value: 0.83,
        modId,
        cmdId: modId === null ? null : 1,
        node,
        service: modId === null ? "10.0.9.4:8888" : null,
        sinceMs,
        firedAtMs: state === "firing" ? sinceMs + 30_000 : null,
      };
    };
    return [
      alert(1, 3, null, "All 2 nodes of thumbnails are kept out", "firing"),
      alert(3, 1, "10.20.4.3:7002", "All 6 callers keep 10.20.4.3:7002 out", "firing"),
      alert(4, null, null, "Agent 10.0.9.4:8888 has said nothing for 3 min", "pending"),
    ];
  }

  /** dns and reporters. */
  servers(nowMs: number): AnswerOf<"listServices">["services"] {
    if (this.#scene === "empty") return [];
    const details: readonly Record<string, number | string>[] = [
      { connections: 6, connectionsPlain: 1, agents: 4, subscriptions: 41 },
      { connections: 5, connectionsPlain: 1, agents: 2, subscriptions: 20 },
      { connections: 6, reports: 9120, rows_waiting: 0, rows_refused: 0 },
    ];
    return details.map((detail, index) => ({
      kind: index < 2 ? "dns" : "reporter",
      address: `10.0.1.${index + 1}:777${8 + index % 2}`,
      software: "lars 0.1.0",
      startedAtMs: nowMs - (index + 1) * 50 * 60 * MINUTE_MS,
      seenAtMs: nowMs - 800,
      isSilent: false,
      revision: index < 2 ? this.#version : null,
      revisionLag: index < 2 ? 0 : null,
      detail,
    }));
  }

  /** One that has much to do, one that only keeps messages, and one that is away. */
  relays(_nowMs: number): AnswerOf<"listRelays">["relays"] {
    const away = (relay: string) => ({
      ...{ relay, facts: null },
      fault: `No relay answers at ${relay}: connection refused`,
    });
    if (this.#scene === "empty") return [away("127.0.0.1:2000")];
    const drop = (what: string, reason: string, count: number, perSecond: number) => ({
      ...{ what, reason, count, perSecond },
    });
    const none = {
      ...{ originals: 0, webSockets: 0, running: 0, waiting: 0, waitingBytes: 0, oldestMs: 0 },
      ...{ timedOut: 0, lostWithWorkers: 0, requestsPerSecond: 0, answersPerSecond: 0 },
    };
    return [{
      ...{ relay: "10.0.3.1:2000", fault: null },
      facts: {
        ...{ clients: 10_312, originals: 1_000, webSockets: 46, names: 9_266, workers: 8 },
        ...{ running: 218, waiting: 1_204, waitingBytes: 245_616, oldestMs: 6_840 },
        ...{ requestsPerSecond: 31_240.5, answersPerSecond: 31_180, messagesPerSecond: 12.4 },
        ...{ timedOut: 37, lostWithWorkers: 2, mailWaiting: 1_811 },
        ...{ mailShare: 0.0018, isCutOff: false },
        drops: [
          drop("requests", "full", 4_021, 58.5),
          drop("replies", "late", 37, 0),
          drop("messages", "no_client", 12, 0),
          drop("mail", "expired", 3, 0),
        ],
      },
    }, {
      ...{ relay: "10.0.3.2:2000", fault: null },
      facts: {
        ...none,
        ...{ clients: 0, names: 0, workers: 0, messagesPerSecond: null, mailWaiting: null },
        ...{ mailShare: null, isCutOff: false },
        drops: [],
      },
    }, away(`relay.${"east.".repeat(12)}example:2000`)];
  }

  /** Clients of the first relay. */
  relayClients(relay: string): AnswerOf<"listRelayClients"> {
    if (this.#scene === "empty" || relay !== "10.0.3.1:2000") return { total: 0, clients: [] };
    const clients = Array.from({ length: 250 }, (_, index) => ({
      sid: index + 1,
      name: index % 3 === 1 ? "" : index === 0 ? "w".repeat(64) : `phone-${index}`,
      from: `10.7.${index >> 6}.${index & 63}:${40_000 + index}`,
      kind: index % 10 === 1 ? "original" : "session",
      requests: index % 7,
      waitingBytes: index % 7 === 0 ? 0 : index * 184,
    })).filter(({ sid }) => !this.kicked.has(sid));
    return { total: 10_312 - this.kicked.size, clients };
  }

  /** Its workers: of them one that leaves. */
  relayWorkers(relay: string): AnswerOf<"listRelayWorkers"> {
    if (this.#scene === "empty" || relay !== "10.0.3.1:2000") return { total: 0, workers: [] };
    const modules = [{ modId: 1, cmdId: 1 }, { modId: 1, cmdId: 2 }];
    const workers = Array.from({ length: 8 }, (_, index) => ({
      from: `10.0.4.${index + 1}:5${index}100`,
      modules: index === 7 ? [] : modules,
      ...{ credit: index === 7 ? 0 : 64 - index, running: index, answered: 81_234_567 - index },
    }));
    return { total: 8, workers };
  }

  /** Its queues: of them one without a worker. */
  relayQueues(relay: string): AnswerOf<"listRelayQueues"> {
    if (this.#scene === "empty" || relay !== "10.0.3.1:2000") return { total: 0, queues: [] };
    const queues = [
      { modId: 1, cmdId: 1, workers: 7, waiting: 1_190, waitingBytes: 242_760, oldestMs: 6_840 },
      { modId: 0, cmdId: 0, workers: 0, waiting: 14, waitingBytes: 2_856, oldestMs: 640 },
      { modId: 1, cmdId: 2, workers: 7, waiting: 0, waitingBytes: 0, oldestMs: 0 },
    ];
    return { total: queues.length, queues };
  }

  /** Its mailboxes. */
  relayMail(nowMs: number): AnswerOf<"getRelayMail"> {
    if (this.#scene === "empty") {
      return { waiting: 0, waitingBytes: 0, oldestSentAtMs: null, boxes: [] };
    }
    const box = (name: string, waiting: number) => ({ name, waiting, waitingBytes: waiting * 240 });
    return {
      ...{ waiting: 1_811, waitingBytes: 434_640, oldestSentAtMs: nowMs - 190 * MINUTE_MS },
      boxes: [box("phone-17", 1_204), box("w".repeat(64), 600), box("ann", 7)],
    };
  }

  /** One of each way, and ways in trouble. */
  followers(nowMs: number): AnswerOf<"listFollowers"> {
    const version = this.#version;
    if (this.#scene === "empty") return { version, followers: [] };
    const row = (
      way: string,
      followers: number | null,
      more: Partial<AnswerOf<"listFollowers">["followers"][number]> = {},
    ): AnswerOf<"listFollowers">["followers"][number] => ({
      ...{ way, followers, through: "dns", at: "", behind: null, behindMs: null, fault: null },
      ...{ revision: version, lagSeconds: 0, seenAtMs: null, isSilent: false },
      ...more,
    });
    const told = { through: "web-1 127.0.0.1:18000", behind: 0, behindMs: 0 };
    const seen = { ...told, seenAtMs: nowMs - 4800 };
    return {
      version,
      followers: [
        row("agents", 6, { behind: 1, revision: version - 1, lagSeconds: 42 }),
        row("in-process", 12, { through: "agents" }),
        row("table", 3, {
          ...{ through: "10.0.2.14:8888", seenAtMs: nowMs - 6_000 },
          ...{ revision: version - 1, lagSeconds: 42, behind: 3 },
        }),
        row("table", 16, { through: "10.0.2.11:8888", seenAtMs: nowMs - 3_000, behind: 0 }),
        row("plain", 1, { through: "10.0.1.1:7778", seenAtMs: nowMs - 2000 }),
        row("xds", 1204, { ...seen, at: "127.0.0.1:18000", behind: 3, behindMs: 65_000 }),
        row("names", 37, { ...seen, at: "127.0.0.1:5300" }),
        row("haproxy", 2, {
          ...{ ...seen, at: "/run/haproxy.sock" },
          fault: "HAProxy at /run/haproxy.sock: connect ENOENT /run/haproxy.sock",
        }),
        row("nginx", 1, {
          ...{ ...seen, through: LONG_NAME, at: "/etc/nginx/lars.conf" },
          ...{ isSilent: true, seenAtMs: nowMs - 7 * MINUTE_MS, revision: null, lagSeconds: null },
        }),
      ],
    };
  }

  /** Agents, worst first: one of each state, then well ones. */
  /** Leases of the nodes of two modules, in every phase, and of many where the fleet is crowded. */
  leases(nowMs: number): AnswerOf<"listLeases">["leases"] {
    if (this.#scene === "empty") return [];
    const phases = ["live", "live", "doubt", "failing", "drain", "waiting", "checking"] as const;
    const outBy = [null, "calls", "lease", "check", "node", "node", "check"] as const;
    return this.modules.filter(({ modId }) => modId === 1 || modId === 9).flatMap((module) =>
      module.nodes.map((node, index) => {
        const at = index % phases.length;
        const isKept = index === 6;
        return {
          ...{ modId: module.modId, cmdId: module.cmdId, ip: node.ip, port: node.port },
          phase: isKept ? "live" as const : phases[at],
          ...{ weight: node.weight, zone: node.zone, ttlMs: at === 3 ? 0 : 15_000 },
          source: (["lars", "rest", "seed"] as const)[index % 3],
          owner: index % 3 === 1 ? `deployer/${LONG_NAME}` : node.ip,
          note: at === 0 ? { version: "1.2.3", build: 4711, tags: ["canary", LONG_NAME] } : null,
          check: at === 3 ? "http:/up" : "",
          sinceMs: nowMs - (index + 1) * 70 * MINUTE_MS,
          operator: isKept ? { state: "drain" as const, weight: 3 } : {},
          outBy: isKept ? "operator" as const : outBy[at],
        };
      })
    ).filter(({ ip, port }) => !this.ended.has(`${ip}:${port}`));
  }

  agents(nowMs: number): AnswerOf<"listAgents">["agents"] {
    if (this.#scene === "empty") return [];
    const count = this.#scene === "crowded" ? 1000 : 6;
    return Array.from({ length: count }, (_, index) => index)
      .filter((index) => !this.forgotten.has(agentAddress(index)))
      .map((index) => {
        const isHolding = index === 1 && this.heldBack !== "";
        const state = index === 0
          ? "silent"
          : isHolding
          ? "holding"
          : index === 2
          ? "behind"
          : "ok";
        return {
          kind: "agent",
          address: agentAddress(index),
          software: "lars/0.1.0 deno/2.9.6",
          startedAtMs: nowMs - (index + 1) * 50 * 60 * MINUTE_MS,
          seenAtMs: state === "silent" ? nowMs - 3 * MINUTE_MS : nowMs - 4800,
          isSilent: state === "silent",
          state,
          revision: this.#version,
          revisionLag: state === "silent" ? 180 : state === "behind" ? 42 : 0,
          detail: {
            dns: `10.0.1.${index % 2 + 1}:7778`,
            zone: index === 3 ? LONG_NAME : `eu-1${"abc"[index % 3]}`,
            modules: 7,
            modulesHeld: isHolding ? 2 : 0,
            routesHeldBack: isHolding ? this.heldBack : "",
            policiesRefused: 0,
            reporterConnected: 1,
            ...(index === 4 ? AGENT_DETAIL : {}),
          },
        } as const;
      });
  }

  /** What the agent says of a module; nobody asked it for the one named legacy. */
  explanation(module: Module): AnswerOf<"explainModule"> {
    const isUnknown = module.name === "legacy";
    const nodes = isUnknown ? [] : module.nodes;
    const usable = module.nodes.filter(({ state, health }) => state === "on" && health === "ok");
    const weights = usable.reduce((sum, { weight }) => sum + weight, 0);
    const failing = "9 of its last 12 calls failed: share 0.75 > err_rate 0.1";
    return {
      agent: "127.0.0.1:8888",
      routeState: isUnknown ? "unknown" : nodes.length === 0 ? "empty" : "ready",
      ageMs: isUnknown ? null : 7400,
      hasNodes: nodes.length > 0,
      policy: nodes.length === 0 ? "" : module.policy,
      settings: {},
      mode: module.health === "down" ? "probe" : "normal",
      modeReason: module.health === "down" ? "no node is usable" : "",
      modeSinceMs: module.health === "down" ? 4000 : null,
      zones: [],
      picksRemembered: nodes.length === 0 ? 0 : 1000,
      nodeCount: nodes.length,
      nodes: nodes.slice(0, 500).map((node, index) => {
        const condition = node.state !== "on"
          ? node.state
          : node.health === "overload"
          ? "overload"
          : node.health === "partial"
          ? "ramping"
          : "idle";
        return {
          node: `${node.ip}:${node.port}`,
          zone: node.zone,
          weight: node.weight,
          pickWeight: condition === "ramping" ? node.weight / 4 : node.weight,
          condition,
          sinceMs: 4000 + index * 61_000,
          reason: condition === "idle" || condition === "drain" ? "" : failing,
          vsucc: 0,
          verr: 0,
          rsucc: 0,
          rerr: 0,
          continSucc: 0,
          continErr: 0,
          ejections: 0,
          callsUnderWay: 0,
          succTotal: Math.round(1_204_000 * wave(index, 5)),
          errTotal: condition === "idle" ? 3 : 4211,
          meanMs: index % 5 === 4 ? 0 : 4 + 30 * wave(index, 6),
          expectedShare: usable.includes(node) ? node.weight / weights : 0,
          pickShare: usable.includes(node) ? node.weight / weights : 0.001,
        };
      }),
      decisions: nodes.filter(({ health }) => health === "overload").flatMap((node) => [
        { agoMs: 4000, node: `${node.ip}:${node.port}`, became: "overload", reason: failing },
        {
          agoMs: 64_000,
          node: `${node.ip}:${node.port}`,
          became: "idle",
          reason: "overload_timeout of 15 s is over",
        },
        { agoMs: 95_000, node: null, became: "normal", reason: "3 of 8 nodes are usable again" },
      ]),
    };
  }

  history(
    by: string,
    fromMs: number,
    toMs: number,
    modId: number | undefined,
  ): AnswerOf<"getHistory"> {
    const span = toMs - fromMs;
    const stepMs = Math.max(10_000, Math.ceil(span / 240 / 10_000) * 10_000);
    const steps = Math.max(1, Math.floor(span / stepMs));
    const keys = by === "total"
      ? ["total"]
      : by === "module"
      ? this.modules.map((module) => `${module.modId}/${module.cmdId}`)
      : by === "caller"
      ? Array.from({ length: 6 }, (_, index) => `10.0.9.${index + 3}`)
      : (this.modules.find((module) => module.modId === modId) ?? this.modules[0])?.nodes
        .map(({ ip, port }) => `${ip}:${port}`) ?? [];
    const series = this.#scene === "empty" ? [] : keys.slice(0, 50).map((key, seed) => {
      const calls = Array.from({ length: steps }, (_, at) => {
        const day = Math.sin((fromMs + at * stepMs) / 86_400_000 * 6.283);
        return Math.round((300 + 120 * day + 40 * wave(at, seed)) * stepMs / 10_000 / (seed + 1));
      });
      return {
        key,
        calls,
        errors: calls.map((count, at) => {
          const isBad = at > steps * 0.6 && at < steps * 0.68;
          return Math.round(count * (isBad ? 0.22 : 0.004 * wave(at, seed)));
        }),
        overloadShare: calls.map((_, at) => at > steps * 0.62 && at < steps * 0.7 ? 0.5 : 0),
        refused: calls.map((count, at) =>
          by !== "node" && at > steps * 0.63 && at < steps * 0.67 ? Math.round(count * 0.6) : 0
        ),
        ...this.#latency(calls.length, seed, by, modId),
      };
    });
    return {
      fromMs,
      stepMs,
      steps,
      wholeMs: fromMs + steps * stepMs,
      gaps: span > 80_000_000
        ? [{ fromMs: Math.round(fromMs + span * 0.3), toMs: Math.round(fromMs + span * 0.36) }]
        : [],
      series,
      seriesCount: series.length,
      isTruncated: false,
    };
  }

  /** Callers of the module with the largest number tell no times, nor does every third caller. */
  #latency(
    steps: number,
    seed: number,
    by: string,
    modId: number | undefined,
  ): { latencyMs: (number | null)[]; meanLatencyMs: number | null } {
    if (modId === 4_294_967_295 || (by === "caller" && seed % 3 === 2)) {
      return { latencyMs: new Array<null>(steps).fill(null), meanLatencyMs: null };
    }
    const latencyMs = Array.from({ length: steps }, (_, at) => {
      if (at > steps * 0.2 && at < steps * 0.24) return null;
      const isSlow = at > steps * 0.6 && at < steps * 0.68;
      return Math.round((8 + 3 * seed + 2 * wave(at, seed)) * (isSlow ? 18 : 1) * 10) / 10;
    });
    return { latencyMs, meanLatencyMs: 17.3 + 3 * seed };
  }

  #module(modId: number, cmdId: number): Module {
    const known = this.find(modId, cmdId);
    if (known !== undefined) return known;
    const [template] = seedModules("usual", this.#startMs);
    const made: Module = { ...template, modId, cmdId, name: "", revision: "0", nodes: [] };
    this.modules.push(made);
    return made;
  }

  #difference(edit: Exclude<Edit, { op: "module" }>): Difference | undefined {
    const { modId, cmdId, ip, port } = edit;
    const node = this.find(modId, cmdId)?.nodes.find((one) => one.ip === ip && one.port === port);
    const before = node === undefined ? null : valuesOf(node);
    const after = edit.op === "remove" || (edit.op === "set" && before === null) ? null : {
      weight: edit.weight ?? before?.weight ?? 100,
      zone: edit.zone ?? before?.zone ?? "",
      state: edit.state ?? before?.state ?? "on" as const,
    };
    if (JSON.stringify(before) === JSON.stringify(after)) return undefined;
    return { modId, cmdId, ip, port, before, after };
  }

  #write({ modId, cmdId, ip, port, before, after }: Difference, nowMs: number): void {
    const module = this.#module(modId, cmdId);
    const at = module.nodes.findIndex((node) => node.ip === ip && node.port === port);
    if (after === null) module.nodes.splice(at, 1);
    else if (before === null) {
      module.nodes.push(nodeOf(0, nowMs, { ip, port, ...after, ...IDLE }));
    } else module.nodes[at] = { ...module.nodes[at], ...after };
  }

  #traffic(nodes: readonly Difference[]): AnswerOf<"previewChange">["traffic"] {
    const shifts = [];
    for (const module of this.modules) {
      const mine = nodes.filter(({ modId, cmdId }) =>
        modId === module.modId && cmdId === module.cmdId
      );
      if (mine.length === 0) continue;
      const before = new Map<string, number>();
      for (const node of module.nodes) {
        before.set(`${node.ip}:${node.port}`, node.state === "on" ? node.weight : 0);
      }
      const after = new Map(before);
      for (const { ip, port, after: next } of mine) {
        after.set(`${ip}:${port}`, next?.state === "on" ? next.weight : 0);
      }
      const total = (shares: Map<string, number>) =>
        [...shares.values()].reduce((a, b) => a + b, 0);
      const share = (shares: Map<string, number>, node: string) =>
        (shares.get(node) ?? 0) / Math.max(1, total(shares));
      const rows = [...after.keys()].map((node) => ({
        node,
        before: share(before, node),
        after: share(after, node),
      })).filter((row) => row.before !== row.after);
      shifts.push({
        modId: module.modId,
        cmdId: module.cmdId,
        name: module.name,
        callsPerSecond: module.callsPerSecond,
        movedShare: Math.min(
          1,
          rows.reduce((sum, row) => sum + Math.max(0, row.after - row.before), 0),
        ),
        emptied: total(after) === 0 && total(before) > 0,
        callers: ["10.0.9.3", "10.0.9.4"],
        callerCount: 2,
        nodes: rows.slice(0, 50),
      });
    }
    return shifts;
  }

  #count(module: Module): void {
    const on = module.nodes.filter(({ state }) => state === "on");
    const out = on.filter(({ health }) => health === "overload" || health === "partial");
    const calls = module.nodes.reduce((sum, node) => sum + node.callsPerSecond, 0);
    const errors = module.nodes.reduce(
      (sum, node) => sum + node.callsPerSecond * node.errorShare,
      0,
    );
    const failing = on.filter((node) => node.health === "failing");
    const allOut = on.length > 0 && on.every(({ health }) => health === "overload");
    const healthOf = (): Module["health"] => {
      if (module.nodes.length === 0) return "empty";
      if (on.length === 0 || allOut) return "down";
      if (out.length > 0 || failing.length > 0) return "degraded";
      return calls === 0 ? "idle" : "ok";
    };
    const health = healthOf();
    const errorShare = calls === 0 ? 0 : errors / calls;
    const bad = [...out, ...failing].map(nodeSeverity).reduce(
      worseOf,
      errorSeverity(errorShare, calls),
    );
    const severity = health === "down" ? "critical" : health === "degraded" ? bad : null;
    // Where no node is left most of those that ask are refused.
    const refusedPerSecond = health === "down" && calls > 0 ? 9 * calls : 0;
    Object.assign(module, {
      refusedPerSecond,
      refusedShare: refusedPerSecond === 0 ? 0 : 0.9,
      refusedBy: { overload: refusedPerSecond, unusable: 0, noNode: 0, noRoute: 0 },
      severity,
      troubleSinceMs: severity === null ? null : this.#startMs - 7 * MINUTE_MS,
      nodeCount: module.nodes.length,
      onCount: on.length,
      overloadCount: out.length,
      callsPerSecond: calls,
      errorShare,
      health,
    });
  }

  #problems(): AnswerOf<"getOverview">["problems"] {
    type Problems = AnswerOf<"getOverview">["problems"];
    return this.modules.flatMap((module): Problems => {
      const { modId, cmdId } = module;
      const sinceMs = this.#startMs - 7 * MINUTE_MS;
      const title = module.name === "" ? `${modId} / ${cmdId}` : module.name;
      if (module.health === "down") {
        return [{
          key: `module ${modId}/${cmdId}`,
          severity: "critical" as const,
          text: `${title}: no node is left, all ${module.onCount} are kept out`,
          modId,
          cmdId,
          node: null,
          sinceMs,
        }];
      }
      return module.nodes.filter(({ severity }) => severity !== null)
        .map(({ ip, port, overloadCallerCount, severity }) => ({
          key: `module ${modId}/${cmdId}`,
          severity: severity ?? "warning" as const,
          text: overloadCallerCount === 0
            ? `${title}: ${ip}:${port} fails 81 % of its calls`
            : `${title}: ${ip}:${port} is kept out by ${overloadCallerCount} callers`,
          modId,
          cmdId,
          node: `${ip}:${port}`,
          sinceMs,
        }));
    }).sort((left, right) => left.severity.localeCompare(right.severity));
  }

  #seedPast(nowMs: number): void {
    const module = { modId: 1, cmdId: 1 };
    const node = { ip: "10.20.4.7", port: 7000 };
    this.apply(
      [{ op: "set", modId: 2, cmdId: 1, ip: "10.20.4.1", port: 7000, weight: 50 }],
      "olga",
      "half the weight while its disk is rebuilt (OPS-4711)",
      nowMs - 26 * 60 * MINUTE_MS,
    );
    this.apply(
      [{ op: "module", modId: 2, cmdId: 2, name: "sessions" }],
      "admin",
      "",
      nowMs - 5 * 60 * MINUTE_MS,
      "command",
    );
    this.apply(
      Array.from({ length: 6 }, (_, index): Edit => ({
        op: "add",
        modId: 1,
        cmdId: 2,
        ip: `10.30.1.${index + 1}`,
        port: 7100,
        zone: "eu-1b",
      })),
      "deploy-bot",
      "release 2026.47",
      nowMs - 42 * MINUTE_MS,
      "token",
    );
    this.apply(
      [{ op: "set", ...module, ...node, weight: 80 }],
      "olga",
      "slow disk",
      nowMs - 9 * MINUTE_MS,
    );
    const texts = [
      ["route.change", "olga changed 10.20.4.7:7000 of payments"],
      ["node.overload", "10.20.4.3:7002 is kept out by 6 of 6 callers"],
      ["alert.firing", "Module has no node left: thumbnails"],
      ["node.idle", "10.20.4.2:7001 is used by all callers again"],
      ["service.silent", "Agent 10.0.9.6:8888 has said nothing for 30 s"],
    ] as const;
    for (let at = 0; at < 60; at++) {
      const [kind, text] = texts[at % texts.length];
      const isAbout = kind !== "service.silent";
      this.events.push({
        id: 60 - at,
        atMs: nowMs - at * 3 * MINUTE_MS - 20_000,
        kind,
        severity: eventSeverity(kind),
        modId: isAbout ? 1 : null,
        cmdId: isAbout ? 1 : null,
        node: kind === "node.overload" ? "10.20.4.3:7002" : null,
        host: kind.startsWith("node") ? "10.0.9.3" : null,
        text,
      });
    }
    const acts = [
      ["olga", "node.set", "1/1 10.20.4.7:7000", "done", "weight 100 to 80"],
      ["vera", "node.drain", "1/1 10.20.4.3:7002", "refused", "needs role operator"],
      ["", "session.login", "olga", "refused", "wrong password"],
      ["deploy-bot", "change.apply", "1/2", "done", "6 nodes added"],
    ] as const;
    acts.forEach(([who, action, target, outcome, detail], index) =>
      this.audit.push({
        id: acts.length - index,
        atMs: nowMs - (index + 1) * 9 * MINUTE_MS,
        who,
        action,
        target,
        outcome,
        detail,
        address: "10.0.7.12",
      })
    );
    this.silences.push({
      id: 1,
      ruleId: 3,
      modId: 1,
      cmdId: 1,
      node: null,
      why: "disk of 10.20.4.3 is being changed",
      who: "olga",
      createdAtMs: nowMs - 20 * MINUTE_MS,
      endsAtMs: nowMs + 100 * MINUTE_MS,
    });
    this.webhooks.push({
      id: 1,
      title: "on-call chat",
      url: "https://chat.example.net/hooks/lars-alerts-of-the-production-fleet",
      isEnabled: true,
      last: { atMs: nowMs - 7 * MINUTE_MS, isDone: true, text: "200 OK" },
      format: "slack",
      timeoutS: 10,
      groupS: 30,
      waitingCount: 0,
    });
    this.tokens.push({
      id: 1,
      title: "deploy-bot",
      owner: "admin",
      role: "operator",
      createdAtMs: nowMs - 20 * 24 * 60 * MINUTE_MS,
      expiresAtMs: nowMs + 70 * 24 * 60 * MINUTE_MS,
      lastUsedAtMs: nowMs - 42 * MINUTE_MS,
    });
  }
}

function summary(
  { policyText: _text, revision: _revision, nodes: _nodes, ...rest }: Module,
): Omit<Module, "policyText" | "revision" | "nodes"> {
  return rest;
}

function summaryOf(nodes: readonly Difference[], modules: readonly TextDifference[]): string {
  const [first] = nodes;
  if (first === undefined) return `Changes name, policy or note of ${modules.length} module`;
  const verb = first.before === null ? "Adds" : first.after === null ? "Removes" : "Changes";
  const what = nodes.length === 1 ? `${first.ip}:${first.port}` : `${nodes.length} nodes`;
  return `${verb} ${what} of module ${first.modId} / ${first.cmdId}`;
}

/** A module that grows, with a node that leaves. */
const SCALED: AnswerOf<"listScaling">["modules"] = [{
  ...{ modId: 1, cmdId: 1, updatedAtMs: 1_700_000_000_000 },
  rule: ScaleRuleShape.parse({
    ...{ metric: "calls", target: 100, max: 9, driver: "webhook", webhook: "fleet" },
    floors: [{ days: "mon-fri", from: "08:00", to: "20:00", zone: "Europe/Berlin", nodes: 3 }],
  }),
  status: {
    ...{ atMs: 1_700_000_000_000, kind: "up", from: 4, to: 5, wish: 5, load: 500 },
    reason: "500 calls/s over 30 s, 125 for each of 4 nodes, target 100",
    ...{ pendingCount: 1, draining: ["10.0.0.7:8080"], stopping: [] },
    order: { id: "order-1", text: "start 4 -> 5", outcome: "answered 200" },
  },
}];

/** Its last hour: a wave, and a stretch of which nothing is known. */
export function trackOf(nowMs: number): NonNullable<AnswerOf<"getScaling">["track"]> {
  const steps = Array.from({ length: 240 }, (_, index) => index);
  const loadAt = (step: number): number => 120 + 380 * Math.max(0, Math.sin(step / 60));
  const isKnown = (step: number): boolean => step < 150 || step > 160;
  return {
    ...{ stepMs: 15_000, fromMs: nowMs - 240 * 15_000 },
    nodes: steps.map((step) =>
      isKnown(step) ? Math.ceil(loadAt(Math.max(0, step - 4)) / 100) : null
    ),
    wish: steps.map((step) => isKnown(step) ? Math.ceil(loadAt(step) / 100) : null),
    load: steps.map((step) => isKnown(step) ? loadAt(step) : null),
    errorShare: steps.map((step) => isKnown(step) ? (step % 50 === 7 ? 0.02 : 0) : null),
  };
}
