// Shell. What people see and do of leases, by the database: the console and the command line use it.

import { type Actor, auditOf } from "../control/access/actor.ts";
import type { NotifyOptions } from "../control/changes/dns_notifier.ts";
import { changeLeases } from "../control/changes/lease_changes.ts";
import { ControlError } from "../control/control_error.ts";
import type { HeldNodes, LeaseListing, LeaseListWish, LeaseView } from "../control/schemas.ts";
import { LEASE_PHASES, type LeasePhase, type LeaseRow, nodeOutBy } from "../model/lease.ts";
import { type ModuleKey, moduleText } from "../model/module.ts";
import { type NodeKey, nodeText } from "../model/node.ts";
import { formatIpv4 } from "../reactor/address.ts";
import type { GuardRow, LeaseFilter } from "../sql/leases/lease_store.ts";
import { stepsSummary } from "./lease_events.ts";
import { type LeaseResult, planLeases } from "./lease_plan.ts";

/** Leases of a page unless more are asked for. */
const PAGE_ROWS = 100;

/** Who acts. */
type Who = Pick<Actor, "name" | "address">;

/** What commands need of leases, wherever they are: a database, or a console. */
export interface LeaseAccess {
  /** Some of the leases, in order of module and address. */
  find(wish: LeaseListWish): Promise<LeaseListing>;
  /** Ends a registration. @returns false when there is none. */
  end(node: NodeKey): Promise<boolean>;
  /** Takes back what an operator wants of a node. @returns false when it is not known. */
  free(node: NodeKey): Promise<boolean>;
  /** Says that nodes which are held back are lost. @returns false when none is. */
  confirm(module: ModuleKey): Promise<boolean>;
}

/** Leases in the database. */
export class LeaseAdmin {
  readonly #options: NotifyOptions;
  readonly #keptOutByCallers: (node: NodeKey) => boolean;

  /** @param keptOutByCallers What callers report of a node. @default {it is not known} */
  constructor(
    options: NotifyOptions,
    keptOutByCallers: (node: NodeKey) => boolean = () => false,
  ) {
    this.#options = options;
    this.#keptOutByCallers = keptOutByCallers;
  }

  /** Some of the leases, how many there are by phase, and what is held back. */
  async find(wish: LeaseListWish): Promise<LeaseListing> {
    const { modId, cmdId, phase, search, offset = 0, limit = PAGE_ROWS } = wish;
    const filter: LeaseFilter = { modId, cmdId, phase, text: search?.trim() };
    const { leases } = this.#options.store;
    const { rows, counts } = await leases.find(filter, offset, limit);
    const held = await leases.guard();
    const all = LEASE_PHASES.map((one): [LeasePhase, number] => [one, counts.get(one) ?? 0]);
    return {
      atMs: Math.trunc(this.#options.clock.wallMs()),
      total: all.reduce((sum, [one, n]) => phase === undefined || phase === one ? sum + n : sum, 0),
      counts: Object.fromEntries(all) as Record<LeasePhase, number>,
      held: heldNodes(held),
      leases: rows.map((row) => this.#view(row)),
    };
  }

  /** Ends a registration; a program that lives registers again. @throws {ControlError} not-found. */
  end(who: Who, node: NodeKey): Promise<void> {
    return this.#change("end", who, node);
  }

  /** Takes back state, weight and zone of an operator. @throws {ControlError} not-found. */
  free(who: Who, node: NodeKey): Promise<void> {
    return this.#change("free", who, node);
  }

  /** Says that the losses of a module are real. @throws {ControlError} not-found. */
  async confirm(who: Who, module: ModuleKey): Promise<void> {
    const { store, clock } = this.#options;
    const audit = auditOf(who, Math.trunc(clock.wallMs()), "lease.confirm", moduleText(module));
    if (await store.leases.confirmGuard(module, audit)) return;
    throw new ControlError("not-found", `No node of ${moduleText(module)} is held back`);
  }

  async #change(op: "end" | "free", who: Who, node: NodeKey): Promise<void> {
    const results: LeaseResult[] = [];
    await changeLeases(this.#options, who, [node], (stored) => {
      const plan = planLeases({
        leases: stored.leases,
        routes: stored.modules.flatMap(({ nodes }) => nodes),
        named: stored.registered,
        nowS: stored.nowS,
      }, [{ op, node }]);
      const [{ result }] = plan.outcomes;
      results.push(result);
      const what = op === "free" ? `lease.free: ${nodeText(node)}` : stepsSummary(plan.steps);
      return { leases: plan.leases, routes: plan.routes, summary: result === "done" ? what : "" };
    });
    if (results.at(-1) === "done") return;
    throw new ControlError("not-found", `${nodeText(node)} is not registered`);
  }

  #view(row: LeaseRow): LeaseView {
    const { modId, cmdId, ip, port, phase, weight, zone, ttlMs, source, owner, check, hand } = row;
    const outBy = nodeOutBy(row) || (this.#keptOutByCallers(row) ? "calls" : "");
    return {
      ...{ modId, cmdId, ip: formatIpv4(ip), port, phase, weight, zone, ttlMs, source, owner },
      ...{ note: noteOf(row), check, sinceMs: row.sinceS * 1000 },
      operator: {
        ...(hand.state === undefined ? {} : { state: hand.state }),
        ...(hand.weight === undefined ? {} : { weight: hand.weight }),
        ...(hand.zone === undefined ? {} : { zone: hand.zone }),
      },
      outBy: outBy === "" ? null : outBy,
    };
  }
}

function noteOf({ note }: LeaseRow): Record<string, unknown> | null {
  if (note === "") return null;
  try {
    const parsed: unknown = JSON.parse(note);
    const isObject = parsed !== null && typeof parsed === "object" && !Array.isArray(parsed);
    if (isObject) return parsed as Record<string, unknown>;
  } catch {
    // Of a foreign hand: shown as it is.
  }
  return { note };
}

/** What all discoveries hold back, of each module together. */
function heldNodes(rows: readonly GuardRow[]): HeldNodes[] {
  const all = new Map<string, HeldNodes>();
  for (const { modId, cmdId, heldCount, liveCount, sinceS, isConfirmed } of rows) {
    const known = all.get(moduleText({ modId, cmdId }));
    all.set(moduleText({ modId, cmdId }), {
      ...{ modId, cmdId, liveCount: Math.max(liveCount, known?.liveCount ?? 0) },
      heldCount: heldCount + (known?.heldCount ?? 0),
      sinceMs: Math.min(sinceS * 1000, known?.sinceMs ?? Infinity),
      isConfirmed: isConfirmed && (known?.isConfirmed ?? true),
    });
  }
  return [...all.values()];
}
