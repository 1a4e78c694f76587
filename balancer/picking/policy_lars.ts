// Core. The original policy, a walk over two lists: usable nodes in turn, now and then one that is out.

import { type Host, HostList } from "../host.ts";
import type { PickContext, PickPolicy } from "./pick_policy.ts";
import { type TurnRing, TURNS_MAX, type TurnTable } from "./turn_table.ts";
import { turnByChance, WeightedTurns } from "./weighted_turns.ts";

/**
 * Round robin over the usable nodes: the head of their list, which becomes its tail. The original's
 * `load_balance::choice_one_host`; its second list, of overload nodes, is the business of
 * `load_balance.ts`. O(1).
 *
 * The original knows no weights. Where those of the usable nodes differ they have weighted turns
 * instead, until they are alike again. O(log n).
 */
export class LarsPolicy implements PickPolicy {
  readonly name = "lars";
  readonly followsCalls = false;
  readonly #usable: PickContext["usable"];
  readonly #dice: PickContext["dice"];
  /** A weight of some node, and how many have another. */
  #common = 0;
  #others = 0;
  /** Set while weights differ, from the first pick on. */
  #turns: WeightedTurns | undefined = undefined;
  /** What nodes bring with them from where they stood before. */
  #left: ReadonlyMap<Host, number> | undefined = undefined;

  constructor({ usable, dice }: Pick<PickContext, "usable" | "dice">) {
    this.#usable = usable;
    this.#dice = dice;
  }

  get inTurn(): TurnRing {
    if (this.#others > 0) return this.#weighted();
    if (this.#turns !== undefined) this.#endWeighted(this.#turns);
    return this.#usable;
  }

  add(host: Host): void {
    if (this.#usable.count === 1) this.#common = host.pickWeight;
    if (host.pickWeight !== this.#common) this.#others++;
    this.#turns?.add(host, this.#partOf(this.#usable.count - 1));
  }

  remove(host: Host): void {
    this.#turns?.remove(host);
    if (host.pickWeight !== this.#common) this.#others--;
    else if (this.#others > 0) this.#compare(host);
  }

  weightChanged(host: Host, before: number): void {
    this.#turns?.weightChanged(host, before);
    if (before !== this.#common) this.#others--;
    if (host.pickWeight !== this.#common) this.#others++;
    if (this.#others === this.#usable.count) this.#compare(undefined);
  }

  turnsLeft(left: Map<Host, number>): void {
    if (this.#turns !== undefined) return this.#turns.turnsLeft(left);
    let place = 0;
    for (const host of this.#usable) left.set(host, this.#partOf(place++));
  }

  keepTurns(left: ReadonlyMap<Host, number>): void {
    if (this.#turns !== undefined) return this.#turns.keepTurns(left);
    this.#left = left;
    if (this.#others > 0) return;
    const all = new Map<Host, number>();
    this.turnsLeft(all);
    for (const host of all.keys()) all.set(host, left.get(host) ?? all.get(host) ?? 0);
    this.#order([...all.keys()].sort((a, b) => (all.get(a) ?? 0) - (all.get(b) ?? 0)));
  }

  pick(): Host | undefined {
    if (this.#others === 0 && this.#turns === undefined) return this.#usable.rotate();
    return this.#others === 0 ? this.#pickAlike() : this.#weighted().pick();
  }

  #pickAlike(): Host | undefined {
    if (this.#turns !== undefined) this.#endWeighted(this.#turns);
    return this.#usable.rotate();
  }

  /** Counts anew, against the weight of some node that stays. */
  #compare(leaving: Host | undefined): void {
    let common: number | undefined;
    let others = 0;
    for (const host of this.#usable) {
      if (host === leaving) continue;
      common ??= host.pickWeight;
      if (host.pickWeight !== common) others++;
    }
    this.#common = common ?? 0;
    this.#others = others;
  }

  /** Nodes keep about the place they had in the list, or have elsewhere; chance makes them differ. */
  #weighted(): WeightedTurns {
    if (this.#turns !== undefined) return this.#turns;
    const turns = new WeightedTurns();
    const left = this.#left;
    let place = 0;
    for (const host of this.#usable) {
      turns.add(host, left?.get(host) ?? this.#partOf(place));
      place++;
    }
    this.#left = undefined;
    return this.#turns = turns;
  }

  /** The part of a turn that is left at a place of the list. */
  #partOf(place: number): number {
    // Without chance deadlines would be equal, and their digits decide.
    return (place + turnByChance(this.#dice)) / this.#usable.count;
  }

  #endWeighted(turns: WeightedTurns): void {
    this.#turns = undefined;
    this.#order([...turns.takeAll()]);
  }

  #order(hosts: readonly Host[]): void {
    for (const host of hosts) {
      this.#usable.remove(host);
      this.#usable.pushTail(host);
    }
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
  /** Where turns are lent to, while they are; and which. */
  #table: TurnTable | undefined = undefined;
  #ring: TurnRing | undefined = undefined;
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
   * @param ring The coming picks.
   * @returns true when the table may not have known the module before.
   */
  lend(table: TurnTable, ring: TurnRing, probeNum: number): boolean {
    if (this.#table !== undefined || ring.count === 0) return false;
    if (ring !== this.#ring) this.#isSameRing = false;
    const lent = this.overload.count === 0 ? TURNS_MAX : probeNum - this.#ordinaryPicks;
    if (lent <= 0) return false;
    const isSame = this.#isSameRing;
    if (!isSame && ++this.#picksOfRing < ring.count * COPY_COST) return false;
    if (!table.lend(this.#modId, this.#cmdId, ring, isSame, lent)) return false;
    // The copy may have shown that it does not do.
    if (ring.count === 0) {
      table.takeBack(this.#modId, this.#cmdId);
      return false;
    }
    this.#table = table;
    this.#ring = ring;
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
    if (this.#ring?.advance !== undefined) return this.#ring.advance(made);
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
