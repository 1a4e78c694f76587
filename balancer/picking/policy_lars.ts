// Core. The original policy, a walk over two lists: usable nodes in turn, now and then one that is out.

import { type Host, HostList } from "../host.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";
import { TURNS_MAX, type TurnTable } from "./turn_table.ts";

/**
 * Round robin over the usable nodes: the head of their list, which becomes its tail. The original's
 * `load_balance::choice_one_host`; its second list, of overload nodes, is the business of
 * `load_balance.ts`. Heeds no weights but 0. O(1).
 */
export class LarsPolicy implements PickPolicy {
  readonly name = "lars";
  readonly followsCalls = false;
  readonly inTurn: PickContext["usable"];

  constructor({ usable }: Pick<PickContext, "usable">) {
    this.inTurn = usable;
  }

  add(): void {}

  remove(): void {}

  pick(): Host | undefined {
    return this.inTurn.rotate();
  }
}

/** Heads of the lists of nodes that are out that the mode `probe` looks at for each call. */
const PROBE_LOOKS_MAX = 4;

/**
 * Copying the nodes for {@linkcode ListWalk.lend} costs about this part of a pick for each: so many
 * picks are made before it pays, and a module whose nodes change all the time pays nothing.
 */
const COPY_COST = 1 / 8;

/** The nodes of one module that are out, and whose turn it is: theirs, or that of a usable one. */
export class ListWalk {
  /** Nodes that are out and given probes. */
  readonly overload = new HostList<Host>();
  /** Nodes that are out and given nothing yet. */
  readonly resting = new HostList<Host>();
  readonly #modId: number;
  readonly #cmdId: number;
  /** Ordinary picks or refusals since the last probe; stands still while no node is overload. */
  #ordinaryPicks = 0;
  /** Where turns are lent to, while they are. */
  #table: TurnTable | undefined = undefined;
  /** How many turns were lent. */
  #lent = 0;
  /** The turns that were last lent are still the same circle of nodes. */
  #isSameRing = false;
  /** Ordinary picks since it is not. */
  #picksOfRing = 0;

  constructor(modId: number, cmdId: number) {
    this.#modId = modId;
    this.#cmdId = cmdId;
  }

  /** Number of nodes that are out. */
  get outCount(): number {
    return this.overload.count + this.resting.count;
  }

  /**
   * The node that is out whose turn it is to get a probe; undefined = the pick is an ordinary one.
   *
   * @param probeNum Ordinary picks between two probes.
   * @param onlyIdle A node gets one probe at a time; its turn stays until it may have it.
   */
  probe(probeNum: number, onlyIdle: boolean): Host | undefined {
    if (this.overload.count === 0) return undefined;
    if (this.#ordinaryPicks < probeNum) {
      this.#ordinaryPicks++;
      return undefined;
    }
    const probed = this.overload.rotate();
    if (onlyIdle && (probed?.stats?.underWay.count ?? 0) > 0) return undefined;
    this.#ordinaryPicks = 0;
    return probed;
  }

  /** A node that is out and has no call under way, looked for among the next few. */
  probeWithoutCall(): Host | undefined {
    return withoutCall(this.overload) ?? withoutCall(this.resting);
  }

  /**
   * Lends the next picks to a table if there have been enough of such to pay for it.
   *
   * @param ring The usable nodes, of which each pick is the next.
   * @returns true when the table may not have known the module before.
   */
  lend(table: TurnTable, ring: HostList<Host>, probeNum: number): boolean {
    if (this.#table !== undefined || ring.count === 0) return false;
    const lent = this.overload.count === 0 ? TURNS_MAX : probeNum - this.#ordinaryPicks;
    if (lent <= 0) return false;
    const isSame = this.#isSameRing;
    if (!isSame && ++this.#picksOfRing < ring.count * COPY_COST) return false;
    if (!table.lend(this.#modId, this.#cmdId, ring, isSame, lent)) return false;
    this.#table = table;
    this.#lent = lent;
    this.#isSameRing = true;
    return !isSame;
  }

  /** Takes back what is left of the turns, and counts those that were made. */
  endTurns(): void {
    if (this.#table !== undefined) this.#takeBack(this.#table);
  }

  /** Nodes stand elsewhere, or picks are made in another way. */
  changed(): void {
    this.endTurns();
    this.#isSameRing = false;
    this.#picksOfRing = 0;
  }

  #takeBack(table: TurnTable): void {
    this.#table = undefined;
    const made = this.#lent - table.takeBack(this.#modId, this.#cmdId);
    if (this.overload.count > 0) this.#ordinaryPicks += made;
    const head = table.headOf(this.#modId, this.#cmdId);
    if (head !== undefined) head.list?.turnTo(head);
  }
}

/** The first of the next few nodes of a list that has no call under way. */
function withoutCall(list: HostList<Host>): Host | undefined {
  for (let look = Math.min(list.count, PROBE_LOOKS_MAX); look > 0; look--) {
    const host = list.rotate();
    if (host?.stats?.underWay.count === 0) return host;
  }
  return undefined;
}
