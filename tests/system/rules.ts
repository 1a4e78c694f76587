// Shell. What may never be seen in a simulation, and what must be true again once all is calm.

import { unpackNodes } from "../../agent/routes/packed_route.ts";
import type { LeaseRow } from "../../model/lease.ts";
import { nodeText } from "../../model/node.ts";
import { RetCode } from "../../proto/message_ids.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import type { AgentProcess, AgentWatch } from "./agent_process.ts";
import { BY_HAND, type Cast, EDITED, NODES, REGISTERED } from "./cast.ts";
import { NODE_TTL_MS, type NodeProcess } from "./node_process.ts";
import { type CountedCalls, routeText } from "./sim_database.ts";
import type { SimProcess, SimWorld } from "./sim_process.ts";

/** A change must be known to who could learn of it for so long. */
const KNOWN_MS = 20_000;

/** A node that could be heard for so long must not expire. */
const HEARD_MS = NODE_TTL_MS + 10_000;

/** The lease of a node that is dead for so long is over. */
const DEAD_MS = 75_000;

/** Registered nodes that get calls, at least, whatever is cut: fewer than all are ever dead at once. */
const LIVE_NODES_MIN = 1;

/** A call to a node that says nothing. */
const TIMED_OUT = { retcode: 110, tookMs: 1000 };
const REFUSED = { retcode: 111, tookMs: 1 };

/** See the file's first line. */
export class Rules implements AgentWatch {
  readonly #world: SimWorld;
  #cast: Cast | undefined;
  /** Where in the row of routes of a module an agent is at least. */
  readonly #places = new Map<string, number>();
  /** Calls that each run of an agent has made, by the address in its reports. */
  readonly #made = new Map<number, CountedCalls>();
  /** When two processes last could not hear each other. */
  readonly #apartMs = new Map<string, number>();
  readonly #sickUntilMs = new Map<number, number>();
  /** When the routes were last set back; the start counts as well, when nothing is there yet. */
  #setBackMs: number;

  constructor(world: SimWorld) {
    this.#world = world;
    this.#setBackMs = world.clock.nowMs();
  }

  /** Begins to watch. */
  watch(cast: Cast): void {
    this.#cast = cast;
    const { database } = this.#world;
    database.results.onCounted = (caller) => this.#counted(caller);
    database.onLease = (row, before) => this.#leased(row, before);
  }

  /** Calls to a node of the edited modules fail until then. */
  makeSick(ip: number, untilMs: number): void {
    this.#sickUntilMs.set(ip, untilMs);
  }

  onStart(agent: AgentProcess, modIds: readonly number[]): void {
    this.#made.set(agent.callerIp, agent.made);
    for (const modId of [EDITED, REGISTERED, BY_HAND]) this.#places.delete(placeOf(agent, modId));
    for (const modId of modIds) this.onRoute(agent, modId);
  }

  onRoute(agent: AgentProcess, modId: number): void {
    const text = textOf(agent, modId);
    if (text === undefined) return;
    const known = this.#world.database.known(modId);
    const place = this.#places.get(placeOf(agent, modId));
    const from = place ?? 0;
    const at = known.findIndex((one, index) => index >= from && one.text === text);
    if (at < 0) {
      const before = known.findLastIndex((one) => one.text === text);
      const what = before < 0
        ? "a route that never was"
        : `an older route, ${from - before} changes back`;
      return this.#broken(`${agent.name} took ${what} of module ${modId}: ${text}`);
    }
    this.#places.set(placeOf(agent, modId), at);
    // Who knows no other has none to keep.
    if (known[at].onCount === 0 && place !== undefined) {
      this.#broken(`${agent.name} took an empty route of ${modId}`);
    }
  }

  onPick(agent: AgentProcess, modId: number, node: { ip: number; port: number } | number): void {
    const route = agent.routeOf(modId);
    if (typeof node === "number") {
      const isKnown = route !== undefined && route.ips.length > 0;
      if (isKnown && node === RetCode.NoExist) {
        this.#broken(`${agent.name} says that there is no module ${modId}, which it has`);
      }
      return;
    }
    const at = route?.ips.indexOf(node.ip) ?? -1;
    if (at < 0 || route?.drains[at] === 1) {
      const address = formatIpv4(node.ip);
      this.#broken(`${agent.name} gave ${address}, which is not in its route of ${modId}`);
    }
  }

  call(ip: number): { retcode: number; tookMs: number } {
    const nowMs = this.#world.clock.nowMs();
    if ((this.#sickUntilMs.get(ip) ?? 0) > nowMs) return REFUSED;
    const node = this.#cast?.nodes.find((one) => one.ip === ip);
    if (node !== undefined && !node.isUp) return REFUSED;
    if (node?.isPaused === true) return TIMED_OUT;
    return { retcode: 0, tookMs: 5 };
  }

  /** To be called every second. */
  look(): void {
    const { cast } = this;
    const nowMs = this.#world.clock.nowMs();
    if (this.#world.database.isSetBack) this.#setBackMs = nowMs;
    for (const agent of cast.agents) for (const dns of cast.dns) this.#noteApart(agent, dns, true);
    for (const node of cast.nodes) {
      for (const one of cast.discoveries) this.#noteApart(node, one, false);
    }
    for (const discovery of cast.discoveries) {
      if (!isWell(discovery)) this.#apartMs.set(discovery.name, nowMs);
    }
    for (const agent of cast.agents) {
      for (const modId of [EDITED, REGISTERED]) this.#lookAtAge(agent, modId);
    }
    this.#lookAtLive();
    for (const node of cast.nodes) this.#lookAtDead(node);
  }

  /** Once all has been calm for long enough. */
  lookAtEnd(): void {
    const { cast } = this;
    for (const agent of cast.agents) {
      for (const modId of [EDITED, REGISTERED, BY_HAND]) {
        const truth = routeText(this.#world.database.rows(modId));
        const text = textOf(agent, modId);
        if (text !== truth) {
          this.#broken(`${agent.name} has of module ${modId} in the end: ${text}, not ${truth}`);
        }
        const outs = agent.outCount(modId);
        if (outs > 0) this.#broken(`${agent.name} keeps ${outs} of module ${modId} out for ever`);
      }
    }
    const live = this.#liveCount();
    if (live !== NODES) this.#broken(`${live} of ${NODES} registered nodes get calls in the end`);
  }

  /** The same, and nobody has called for a while. */
  lookAtCounts(): void {
    for (const { callerIp, made, name } of this.cast.agents) {
      const counted = this.#world.database.results.byCaller.get(callerIp);
      // Callers that are refused while a route is awaited are in no report.
      for (const kind of ["succ", "err"] as const) {
        if ((counted?.[kind] ?? 0) === made[kind]) continue;
        this.#broken(
          `Calls of ${name} in the history: ${kind} ${counted?.[kind] ?? 0} of ${made[kind]}`,
        );
      }
    }
  }

  get cast(): Cast {
    if (this.#cast === undefined) throw new Error("There is nobody to watch");
    return this.#cast;
  }

  #broken(rule: string): void {
    this.#world.broken(rule);
  }

  #counted(caller: number): void {
    const made = this.#made.get(caller);
    const counted = this.#world.database.results.byCaller.get(caller);
    if (counted === undefined) return;
    if (made === undefined) return this.#broken(`Calls of ${formatIpv4(caller)}, who made none`);
    for (const kind of ["succ", "err", "refused"] as const) {
      if (counted[kind] <= made[kind]) continue;
      this.#broken(
        `Calls of ${formatIpv4(caller)} in the history: ` +
          `${kind} ${counted[kind]}, and only ${made[kind]} were made`,
      );
    }
  }

  #leased(row: LeaseRow, before: LeaseRow | undefined): void {
    if (row.phase !== "gone" || before === undefined || before.phase === "gone") return;
    const node = this.cast.nodes.find(({ ip }) => ip === row.ip);
    const nowMs = this.#world.clock.nowMs();
    const isSetBack = this.#world.database.isSetBack || nowMs - this.#setBackMs < DEAD_MS;
    if (node === undefined || isSetBack) return;
    const heardMs = nowMs - this.#lastApart(node, this.cast.discoveries);
    if (heardMs < HEARD_MS) return;
    this.#broken(
      `The lease of ${nodeText(row)} is over, which could be heard for ${Math.round(heardMs)} ms`,
    );
  }

  /** Two that cannot speak to each other, or not with what they need. */
  #noteApart(one: SimProcess, server: SimProcess, isAgent: boolean): void {
    const { network, clock } = this.#world;
    const [here, there] = [addressOf(one), addressOf(server)];
    const isCut = network.isCut(here, there) || network.isCut(there, here);
    // A discovery without the database is taken for one that ended, by others that hear none of its nodes.
    const isServed = isAgent
      ? server.runs && this.#knowsDatabase()
      : !server.runs || isWell(server);
    const isApart = !one.runs || isCut || !isServed;
    const key = `${one.name} ${server.name}`;
    if (isApart || !this.#apartMs.has(key)) this.#apartMs.set(key, clock.nowMs());
  }

  /** Every dns that runs has the database: an agent stays with one that has not. */
  #knowsDatabase(): boolean {
    const { database } = this.#world;
    const isBlind = this.cast.dns.some((one) => one.runs && !isWell(one));
    return !isBlind && !database.isSetBack && database.lagging.size === 0;
  }

  /** When one was last apart from any of several. */
  #lastApart(one: SimProcess, servers: readonly SimProcess[]): number {
    return Math.max(...servers.map(({ name }) => this.#apartMs.get(`${one.name} ${name}`) ?? 0));
  }

  /** An agent that could hear of a change from one dns all the time knows of it. */
  #lookAtAge(agent: AgentProcess, modId: number): void {
    const dueMs = this.#world.clock.nowMs() - KNOWN_MS;
    const { dns } = this.cast;
    if (!dns.some((one) => this.#lastApart(agent, [one]) < dueMs)) return;
    const known = this.#world.database.known(modId);
    const due = known.findLastIndex(({ atMs }) => atMs <= dueMs);
    const text = textOf(agent, modId);
    if (due < 0 || known.some((one, index) => index >= due && one.text === text)) return;
    this.#broken(
      `${agent.name} does not know of a change of module ${modId}, ` +
        `${KNOWN_MS} ms after it: it has ${text}, not ${known[due].text}`,
    );
  }

  #liveCount(): number {
    return this.#world.database.rows(REGISTERED).filter(({ state }) => state === "on").length;
  }

  #lookAtLive(): void {
    const nowMs = this.#world.clock.nowMs();
    if (nowMs - this.#setBackMs < DEAD_MS) return;
    const live = this.#liveCount();
    if (live < LIVE_NODES_MIN) this.#broken(`Only ${live} of ${NODES} registered nodes get calls`);
  }

  /** A node that ended is not in the route for ever. */
  #lookAtDead(node: NodeProcess): void {
    const nowMs = this.#world.clock.nowMs();
    if (node.isUp || nowMs - this.#setBackMs < DEAD_MS) return;
    const { discoveries } = this.cast;
    const isServed = discoveries.some(({ name }) =>
      nowMs - (this.#apartMs.get(name) ?? 0) > DEAD_MS
    );
    if (!isServed || nowMs - node.endedAtMs < DEAD_MS) return;
    const lease = [...this.#world.database.leases.values()].find(({ row }) => row.ip === node.ip);
    if (lease === undefined || lease.row.phase === "gone") return;
    this.#broken(
      `${node.name} ended ${Math.round(nowMs - node.endedAtMs)} ms ago, and its lease has not`,
    );
  }
}

function placeOf({ name }: AgentProcess, modId: number): string {
  return `${name} ${modId}`;
}

function textOf(agent: AgentProcess, modId: number): string | undefined {
  const route = agent.isUp ? agent.routeOf(modId) : undefined;
  return route === undefined ? undefined : routeText(unpackNodes(route));
}

function addressOf({ host }: SimProcess): { hostname: string; port: number } {
  return { hostname: host, port: 0 };
}

/** It runs, and its database answers in time. */
function isWell({ runs, weather }: SimProcess): boolean {
  return runs && weather.away === "no" && weather.lostShare === 0 && weather.slowShare === 0;
}
