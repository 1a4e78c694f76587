// Shell. What goes wrong in a simulation, by chance, and how it is put right again.

import { nextInt } from "../../reactor/time/rng.ts";
import type { StoreWeather } from "./sim_store.ts";
import { BY_HAND, type Cast, EDITED, REGISTERED, routeRow } from "./cast.ts";
import type { Rules } from "./rules.ts";
import type { SimProcess, SimWorld } from "./sim_process.ts";
import { calmWeather } from "./sim_store.ts";

/** Between two faults, up to. */
const PAUSE_MS = 5_000;
const NODE_FAULTS_MAX = 2;
/** A node that was away counts as away for so long, as the guard of discovery counts losses. */
const NODE_REST_MS = 90_000;
/** All nodes together are cut off for longer than their leases live. */
const CUT_ALL_MS_MIN = 20_000;
const CUT_ALL_MS_MAX = 45_000;
/** All is well for so long before the database is set back, and it is not accepted before so long. */
const SET_BACK_BEFORE_MS = 15_000;
const SET_BACK_MS = 15_000;

/** Faults that come at random until {@linkcode FaultPlan.heal}. */
export class FaultPlan {
  readonly #world: SimWorld;
  readonly #cast: Cast;
  readonly #rules: Rules;
  readonly #heals = new Set<() => void>();
  readonly #nodeFaultMs = new Map<SimProcess, number>();
  #isOver = false;
  /** Nothing goes wrong for a while. */
  #isHeld = false;
  #wasSetBack = false;

  constructor(world: SimWorld, cast: Cast, rules: Rules) {
    this.#world = world;
    this.#cast = cast;
    this.#rules = rules;
  }

  /** Faults begin. */
  start(): void {
    this.#after(nextInt(this.#world.rng, PAUSE_MS), () => {
      if (this.#isOver) return;
      if (!this.#isHeld) this.#strike();
      this.start();
    });
  }

  /** Puts everything right; nothing goes wrong any more. */
  heal(): void {
    this.#isOver = true;
    for (const heal of [...this.#heals]) heal();
    const { database } = this.#world;
    if (database.isSetBack) database.accept();
  }

  #strike(): void {
    const { rng } = this.#world;
    const { dns, reporters, discoveries, agents } = this.#cast;
    const servers = [...dns, ...reporters, ...discoveries];
    const die = rng.next();
    if (die < 0.16) this.#kill(this.#oneOf(servers));
    else if (die < 0.2) this.#kill(this.#oneOf(agents));
    else if (die < 0.34) this.#pause(this.#oneOf([...servers, ...servers, ...agents]));
    else if (die < 0.46) this.#cut();
    else if (die < 0.54) this.#reset();
    else if (die < 0.68) this.#strikeStore(servers);
    else if (die < 0.74) this.#lag();
    else if (die < 0.78) this.#strikeNode();
    else if (die < 0.86) this.#cutAllNodes();
    else if (die < 0.9) this.#emptyByHand();
    else if (die < 0.94) this.#sicken();
    else if (die < 0.97) this.#backUp();
    else this.#setBack();
  }

  #oneOf<T>(all: readonly T[]): T {
    return all[nextInt(this.#world.rng, all.length)];
  }

  #after(ms: number, action: () => void): void {
    this.#world.clock.setTimer(ms, action);
  }

  /** Undoes something after a while, or when all is healed. */
  #healAfter(fromMs: number, toMs: number, undo: () => void): void {
    const heal = (): void => {
      if (this.#heals.delete(heal)) undo();
    };
    this.#heals.add(heal);
    this.#after(fromMs + nextInt(this.#world.rng, toMs - fromMs), heal);
  }

  #kill(process: SimProcess): void {
    if (!process.isUp) return;
    process.kill();
    this.#healAfter(100, 15_000, () => process.start());
  }

  #pause(process: SimProcess): void {
    if (!process.runs) return;
    process.pause();
    this.#healAfter(500, 25_000, () => process.resume());
  }

  #cut(): void {
    const { agents, dns, reporters } = this.#cast;
    this.#cutBetween(this.#oneOf(agents), this.#oneOf([...dns, ...reporters]), 40_000);
  }

  /** One way or both. */
  #cutBetween(one: SimProcess, other: SimProcess, longestMs: number): void {
    const { network, rng } = this.#world;
    const ways = 1 + nextInt(rng, 3);
    if (ways !== 2) network.cut(one.host, other.host);
    if (ways !== 1) network.cut(other.host, one.host);
    this.#healAfter(1_000, longestMs, () => {
      network.cut(one.host, other.host, false);
      network.cut(other.host, one.host, false);
    });
  }

  #reset(): void {
    const { agents, dns, reporters, nodes, discoveries } = this.#cast;
    const { network } = this.#world;
    if (this.#world.rng.next() < 0.5) {
      network.reset(this.#oneOf(agents).host, this.#oneOf([...dns, ...reporters]).host);
    } else network.reset(this.#oneOf(nodes).host, this.#oneOf(discoveries).host);
  }

  #strikeStore(servers: readonly SimProcess[]): void {
    const { rng } = this.#world;
    const struck = rng.next() < 0.3 ? servers : [this.#oneOf(servers)];
    const weathers: Partial<StoreWeather>[] = [
      { away: "refused" },
      { away: "silent" },
      { lostShare: 0.3 },
      { slowShare: 0.3 },
    ];
    const weather = this.#oneOf(weathers);
    for (const one of struck) Object.assign(one.weather, calmWeather(), weather);
    this.#healAfter(1_000, 25_000, () => {
      for (const one of struck) Object.assign(one.weather, calmWeather());
    });
  }

  /** A server of the database stands still, and a dns may find itself there. */
  #lag(): void {
    const { database, rng } = this.#world;
    database.setLag(1, true);
    for (const one of this.#cast.dns) {
      if (one.isUp && rng.next() < 0.5) one.parts.store.server = nextInt(rng, 2);
    }
    this.#healAfter(1_000, 20_000, () => database.setLag(1, false));
  }

  #strikeNode(): void {
    const nowMs = this.#world.clock.nowMs();
    const away = [...this.#nodeFaultMs].filter(([, atMs]) => nowMs - atMs < NODE_REST_MS);
    const node = this.#oneOf(this.#cast.nodes);
    if (away.length >= NODE_FAULTS_MAX || !node.runs) return;
    this.#nodeFaultMs.set(node, Infinity);
    const back = (): void => void this.#nodeFaultMs.set(node, this.#world.clock.nowMs());
    const die = this.#world.rng.next();
    if (die < 0.5) {
      node.kill();
      // Who heard it may end with it.
      if (die < 0.2) { for (const one of this.#cast.discoveries) this.#kill(one); }
      this.#healAfter(100, 200_000, () => {
        back();
        node.start();
      });
    } else if (die < 0.75) {
      node.pause();
      this.#healAfter(500, 25_000, () => {
        back();
        node.resume();
      });
    } else {
      for (const one of this.#cast.discoveries) this.#cutBetween(node, one, 20_000);
      this.#healAfter(20_000, 20_001, back);
    }
  }

  /** All nodes of one discovery, or of both, are cut off at once. */
  #cutAllNodes(): void {
    const nowMs = this.#world.clock.nowMs();
    const { nodes, discoveries } = this.#cast;
    const isQuiet = nodes.every((node) =>
      nowMs - (this.#nodeFaultMs.get(node) ?? -Infinity) > NODE_REST_MS
    );
    if (!isQuiet) return;
    const { network, rng } = this.#world;
    const struck = rng.next() < 0.7 ? discoveries : [this.#oneOf(discoveries)];
    const setCut = (isCut: boolean): void => {
      for (const node of nodes) {
        for (const one of struck) {
          network.cut(node.host, one.host, isCut);
          network.cut(one.host, node.host, isCut);
        }
      }
    };
    for (const node of nodes) this.#nodeFaultMs.set(node, nowMs + CUT_ALL_MS_MAX);
    setCut(true);
    this.#healAfter(CUT_ALL_MS_MIN, CUT_ALL_MS_MAX, () => setCut(false));
  }

  /** Somebody deletes all nodes by hand, and puts them back in time. */
  #emptyByHand(): void {
    const { database } = this.#world;
    const rows = database.rows(BY_HAND);
    if (this.#cast.isHandIdle || database.isSetBack) return;
    this.#cast.isHandIdle = true;
    database.setRoute(BY_HAND, this.#world.rng.next() < 0.5 ? [] : rows.slice(0, 1), false);
    this.#healAfter(500, 6_000, () => {
      this.#cast.isHandIdle = false;
      database.setRoute(BY_HAND, rows, false);
    });
  }

  #sicken(): void {
    const { clock, rng } = this.#world;
    const modId = rng.next() < 0.5 ? EDITED : BY_HAND;
    this.#rules.makeSick(
      routeRow(modId, nextInt(rng, 4)).ip,
      clock.nowMs() + 5_000 + nextInt(rng, 20_000),
    );
  }

  /** What somebody has emptied by mistake is in no backup. */
  #backUp(): void {
    if (!this.#cast.isHandIdle) this.#world.database.backUp();
  }

  /** The routes are set back to a backup, and after a while an operator says that they count. */
  #setBack(): void {
    const { database, rng } = this.#world;
    if (this.#wasSetBack || this.#cast.isHandIdle) return;
    this.#wasSetBack = true;
    this.#cast.isHandIdle = true;
    // A dns that never saw what a restore takes back, or has not written it, could not know of it.
    for (const heal of [...this.#heals]) heal();
    this.#isHeld = true;
    this.#after(SET_BACK_BEFORE_MS, () => {
      this.#isHeld = false;
      const kept = rng.next() < 0.5 ? [REGISTERED] : [];
      if (this.#isOver || !database.restore(kept)) {
        return void (this.#cast.isHandIdle = false);
      }
      this.#healAfter(SET_BACK_MS, SET_BACK_MS + 10_000, () => {
        this.#cast.isHandIdle = false;
        database.accept();
      });
    });
  }
}
