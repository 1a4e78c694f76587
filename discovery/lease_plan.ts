// Core. What becomes of leases and their routes: wishes of nodes, of operators and of time, judged
// beside what the database holds.

import {
  hasHand,
  isHeld,
  type LeasePhase,
  type LeaseRow,
  type LeaseSource,
  type OperatorHand,
  type RouteValues,
  wantedRoute,
} from "../model/lease.ts";
import {
  nodeId,
  type NodeKey,
  type RouteEdit,
  type RouteRow,
  rowsThatCount,
} from "../model/node.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { incarnationAfter } from "./incarnation.ts";

/** What a node says of itself. */
export interface LeaseSpec extends Pick<LeaseRow, "ttlMs" | "weight" | "zone" | "note" | "check"> {
  readonly isReady: boolean;
  readonly source: LeaseSource;
  readonly owner: string;
}

/** What a node changes of itself; what is absent stays. */
export interface LeaseValues extends Partial<Pick<LeaseRow, "weight" | "zone" | "note" | "ttlMs">> {
  /** False takes it out of the route's picks, and it stays known. */
  readonly isReady?: boolean;
}

/** One thing that is to become of a lease. Those with an incarnation mean that registration alone. */
export type LeaseWish =
  & {
    readonly node: NodeKey;
    /** Whose lease it must be, when there is one; undefined: anybody's. */
    readonly owner?: string | undefined;
  }
  & (
    | {
      readonly op: "register";
      readonly spec: LeaseSpec;
      /** What the new registration is called. */
      readonly incarnation: number;
      /** The one that it goes on from; 0: it is a new program. */
      readonly previous: number;
      readonly holder: number;
      /** True: the module may be one that nobody has made. */
      readonly makesModule: boolean;
    }
    | { readonly op: "renew"; readonly incarnation: number; readonly holder: number }
    | { readonly op: "change"; readonly incarnation: number; readonly change: LeaseValues }
    | { readonly op: "doubt"; readonly incarnation: number; readonly holder: number }
    | { readonly op: "expire"; readonly incarnation: number; readonly holder: number }
    | {
      readonly op: "check";
      readonly incarnation: number;
      readonly holder: number;
      readonly isGood: boolean;
    }
    | {
      readonly op: "adopt";
      readonly incarnation: number;
      readonly from: number;
      readonly holder: number;
    }
    | {
      /** The database was set back, and has not what is heard here. */
      readonly op: "restore";
      readonly row: LeaseRow;
      /** What it was found to have instead; if that has changed since, somebody has written it anew. */
      readonly seen: LeaseRow | undefined;
    }
    | { readonly op: "leave"; readonly incarnation: number }
    | { readonly op: "end" }
    | { readonly op: "free" }
    | { readonly op: "look" }
  );

/**
 * What came of a wish. `superseded`: another registration of the node counts now. `not-held`: another
 * discovery has it. `late`: others wrote before, so it is to be judged again. `foreign`: the lease is
 * somebody else's.
 */
export type LeaseResult =
  | "done"
  | "superseded"
  | "unknown"
  | "no-module"
  | "not-held"
  | "late"
  | "foreign";

/** What came of a wish, and the lease as it is then. */
export interface LeaseOutcome {
  readonly result: LeaseResult;
  readonly row: LeaseRow | undefined;
}

/** A lease that stands elsewhere than before. */
export interface LeaseStep {
  readonly row: LeaseRow;
  readonly before: LeasePhase | undefined;
}

/** What is to be written, and what is to be said. */
export interface LeasePlan {
  readonly routes: RouteEdit[];
  /** Leases that differ from what is stored. */
  readonly leases: LeaseRow[];
  /** One for each wish, in their order. */
  readonly outcomes: LeaseOutcome[];
  readonly steps: LeaseStep[];
}

/** What the database holds of the nodes and modules that the wishes name. */
export interface LeaseGround {
  readonly leases: readonly LeaseRow[];
  /** All routes of the modules. */
  readonly routes: readonly RouteRow[];
  /** Modules that have a name or a policy. */
  readonly named: readonly ModuleKey[];
  /** Time by the database, in unix seconds. */
  readonly nowS: number;
  /**
   * False: others have written leases since the wishes were made. No loss is taken in then: with theirs
   * it may be too many.
   *
   * @default {true}
   */
  readonly isCurrent?: boolean;
}

interface Draft {
  readonly stored: LeaseRow | undefined;
  readonly route: RouteRow | undefined;
  row: LeaseRow | undefined;
}

/** Works out what the wishes do, one after the other. */
export function planLeases(ground: LeaseGround, wishes: readonly LeaseWish[]): LeasePlan {
  const leases = new Map(ground.leases.map((row) => [nodeId(row), row]));
  const routes = new Map(rowsThatCount(ground.routes).map((row) => [nodeId(row), row]));
  const modules = new Set<ModuleId>();
  for (const { modId, cmdId } of [...ground.routes, ...ground.named]) {
    modules.add(moduleId(modId, cmdId));
  }
  for (const row of ground.leases) if (isHeld(row)) modules.add(moduleId(row.modId, row.cmdId));
  const drafts = new Map<string, Draft>();
  const outcomes = wishes.map((wish): LeaseOutcome => {
    const id = nodeId(wish.node);
    const stored = leases.get(id);
    const route = routes.get(id);
    const draft = drafts.get(id) ?? { stored, route, row: absorb(stored, route) };
    drafts.set(id, draft);
    const key = moduleId(wish.node.modId, wish.node.cmdId);
    const result = grant(draft, wish, modules.has(key), ground);
    if (result === "done" && wish.op === "register") modules.add(key);
    return { result, row: draft.row };
  });
  return { ...writeDrafts(drafts.values(), outcomes), outcomes };
}

/**
 * Takes in what an operator, or anybody else, did to the route since discovery wrote it: a value
 * that differs is wanted by somebody. `on`, and what the node wants itself, take the hand back; a
 * route that was removed ends the registration.
 */
function absorb(stored: LeaseRow | undefined, route: RouteRow | undefined): LeaseRow | undefined {
  const written = stored?.written;
  if (stored === undefined || written === undefined) return stored;
  if (route === undefined) {
    return { ...stored, phase: "gone", holder: 0, written: undefined, hand: {} };
  }
  const { weight, zone, state } = route;
  const hand: OperatorHand = {
    weight: weight === written.weight
      ? stored.hand.weight
      : weight === stored.weight
      ? undefined
      : weight,
    zone: zone === written.zone ? stored.hand.zone : zone === stored.zone ? undefined : zone,
    state: state === written.state ? stored.hand.state : state === "on" ? undefined : state,
  };
  return { ...stored, written: { weight, zone, state }, hand };
}

function grant(
  draft: Draft,
  wish: LeaseWish,
  hasModule: boolean,
  { nowS, isCurrent = true }: LeaseGround,
): LeaseResult {
  const { row } = draft;
  const isForeign = wish.owner !== undefined && row !== undefined && isHeld(row) &&
    row.owner !== wish.owner;
  if (isForeign) return "foreign";
  if (wish.op === "register") return register(draft, wish, hasModule, nowS);
  if (wish.op === "restore") return restore(draft, wish.row, wish.seen);
  if (wish.op === "look") return row === undefined ? "unknown" : "done";
  if (row === undefined) return "unknown";
  if (wish.op === "free") {
    draft.row = { ...row, hand: {} };
    return "done";
  }
  if (!isHeld(row)) return "unknown";
  if (wish.op !== "end" && wish.incarnation !== row.incarnation) {
    // The database was set back, and has lost a later one: that is to be registered again.
    const isLater = wish.op === "change" && wish.incarnation > row.incarnation;
    return isLater ? "unknown" : "superseded";
  }
  if (!isCurrent && isLoss(wish) && row.holder === wish.holder) return "late";
  return step(draft, row, wish);
}

/** True for what takes calls from a node because it is not heard, or does not answer. */
export function isLoss<W extends LeaseWish>(
  wish: W,
): wish is W & { readonly op: "doubt" | "expire" | "check" } {
  return wish.op === "doubt" || wish.op === "expire" || (wish.op === "check" && !wish.isGood);
}

/** Wishes for one registration that counts. */
function step(
  draft: Draft,
  row: LeaseRow,
  wish: Exclude<LeaseWish, { readonly op: "register" | "restore" | "look" | "free" }>,
): LeaseResult {
  switch (wish.op) {
    case "renew":
      draft.row = {
        ...row,
        holder: wish.holder,
        phase: row.phase === "doubt" ? "live" : row.phase,
      };
      return "done";
    case "change":
      draft.row = changed(row, wish.change);
      return "done";
    case "adopt":
      if (row.holder !== wish.from) return "not-held";
      draft.row = { ...row, holder: wish.holder };
      return "done";
    case "doubt":
      if (row.holder !== wish.holder) return "not-held";
      if (row.phase === "live") draft.row = { ...row, phase: "doubt" };
      return "done";
    case "expire":
      if (row.holder !== wish.holder) return "not-held";
      // With who says so: others count it as a loss, and not who left by itself.
      draft.row = { ...row, phase: "gone" };
      return "done";
    case "check":
      if (row.holder !== wish.holder) return "not-held";
      draft.row = { ...row, phase: checkedPhase(row.phase, wish.isGood) };
      return "done";
    case "leave":
    case "end":
      draft.row = { ...row, phase: "gone", holder: 0 };
      return "done";
  }
}

function register(
  draft: Draft,
  wish: LeaseWish & { readonly op: "register" },
  hasModule: boolean,
  nowS: number,
): LeaseResult {
  const { row } = draft;
  const { node, spec, previous, holder } = wish;
  if (!hasModule && !wish.makesModule) return "no-module";
  // The last registration of the node, which may have ended since, and been forgotten. It keeps its
  // number: the answer may be lost, and then it says the same once more.
  const isKnown = previous !== 0 && (row === undefined || previous === row.incarnation);
  // What is stored is from before it: the database was set back, and there is no other program.
  const isLater = row !== undefined && row.incarnation < previous && previous <= wish.incarnation;
  const goesOn = isKnown || isLater;
  if (row !== undefined && isHeld(row) && previous !== 0 && !goesOn) return "superseded";
  const isSame = isKnown && row !== undefined && isHeld(row);
  const { modId, cmdId, ip, port } = node;
  const { isReady, ...values } = spec;
  const before = isSame ? row.phase : "waiting";
  draft.row = {
    ...{ modId, cmdId, ip, port, ...values, holder },
    incarnation: goesOn ? previous : incarnationAfter(row?.incarnation, wish.incarnation),
    phase: phaseOf(before, isReady, spec.check),
    sinceS: isSame ? row.sinceS : nowS,
    written: row?.written,
    hand: row?.hand ?? {},
  };
  return "done";
}

/** As it is heard, if the database has none that came after it; what an operator did there stays. */
function restore(draft: Draft, known: LeaseRow, seen: LeaseRow | undefined): LeaseResult {
  const { row, stored } = draft;
  const isWrittenSince = stored !== undefined && stored.incarnation === known.incarnation &&
    (seen === undefined || !isSameLease(stored, seen));
  if (isWrittenSince) return "superseded";
  const isOther = row !== undefined && row.incarnation !== known.incarnation;
  if (isOther && isHeld(row) && row.sinceS >= known.sinceS) return "superseded";
  draft.row = { ...known, written: row?.written, hand: row?.hand ?? {} };
  return "done";
}

function changed(row: LeaseRow, { isReady, ...change }: LeaseValues): LeaseRow {
  const next = { ...row, ...change };
  if (isReady === undefined) return next;
  return { ...next, phase: phaseOf(row.phase, isReady, row.check) };
}

/** Where a node stands after its word, from where it stood; one that was in no route stays out. */
function phaseOf(before: LeasePhase, isReady: boolean, check: string): LeasePhase {
  const wasOut = before === "waiting" || before === "checking" || before === "gone";
  if (!isReady) return wasOut ? "waiting" : "drain";
  if (check === "" || before === "live" || before === "doubt") return "live";
  return wasOut ? "checking" : "failing";
}

/** Where a node stands after a check of discovery, which judges those alone that want calls. */
function checkedPhase(phase: LeasePhase, isGood: boolean): LeasePhase {
  if (phase === "checking" || phase === "failing") return isGood ? "live" : phase;
  return (phase === "live" || phase === "doubt") && !isGood ? "failing" : phase;
}

function writeDrafts(
  drafts: Iterable<Draft>,
  outcomes: LeaseOutcome[],
): Omit<LeasePlan, "outcomes"> {
  const plan = { routes: [] as RouteEdit[], leases: [] as LeaseRow[], steps: [] as LeaseStep[] };
  const written = new Map<LeaseRow, LeaseRow>();
  for (const { stored, route, row } of drafts) {
    if (row === undefined) continue;
    const next = writeRoute(row, route, plan.routes);
    written.set(row, next);
    if (stored !== undefined && isSameLease(stored, next)) continue;
    plan.leases.push(next);
    const isNew = stored?.incarnation !== next.incarnation;
    // What has ended and is there again begins anew for who is told of it.
    const isBack = stored?.phase === "gone" && next.phase !== "gone";
    const before = isBack ? undefined : stored?.phase;
    if (isNew || before !== next.phase) plan.steps.push({ row: next, before });
  }
  for (const [index, { result, row }] of outcomes.entries()) {
    if (row !== undefined) outcomes[index] = { result, row: written.get(row) ?? row };
  }
  return plan;
}

/** Adds what makes the route as it should be. @returns the lease, knowing what is written then. */
function writeRoute(row: LeaseRow, route: RouteRow | undefined, edits: RouteEdit[]): LeaseRow {
  const { modId, cmdId, ip, port } = row;
  const key = { modId, cmdId, ip, port };
  const wanted = wantedRoute(row);
  if (row.written === undefined) {
    // A node that an operator has written into the route himself is his.
    if (wanted === undefined || route !== undefined) return row;
    // Not before its lease is out of doubt: it was in no route.
    edits.push({ op: "add", ...key, ...wanted });
    return { ...row, written: wanted };
  }
  if (wanted === undefined) {
    edits.push({ op: "remove", ...key });
    return { ...row, written: undefined };
  }
  if (isSameRoute(row.written, wanted)) return row;
  edits.push({ op: "set", ...key, ...wanted });
  return { ...row, written: wanted };
}

function isSameRoute(a: RouteValues | undefined, b: RouteValues | undefined): boolean {
  return a?.weight === b?.weight && a?.zone === b?.zone && a?.state === b?.state;
}

function isSameLease(a: LeaseRow, b: LeaseRow): boolean {
  return a.incarnation === b.incarnation && a.holder === b.holder && a.phase === b.phase &&
    a.ttlMs === b.ttlMs && a.weight === b.weight && a.zone === b.zone && a.source === b.source &&
    a.owner === b.owner && a.note === b.note && a.check === b.check && a.sinceS === b.sinceS &&
    isSameRoute(a.written, b.written) &&
    a.hand.weight === b.hand.weight && a.hand.zone === b.hand.zone && a.hand.state === b.hand.state;
}

/** True for a row that may be forgotten: nothing depends on it any more. */
export function isForgettable(row: LeaseRow): boolean {
  return !isHeld(row) && !hasHand(row);
}
