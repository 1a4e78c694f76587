// Shell. A database with servers that lag or are set back, dns and agents in virtual time, all as
// shipped but for the network and SQL; and the rule that no agent ever takes an older route.

import { Publisher } from "../../feed/publisher.ts";
import { type RouteStamp, RouteSubscriber } from "../../feed/route_subscriber.ts";
import { moduleId, type ModuleKey } from "../../model/module.ts";
import { type DatabaseState, isOlderState } from "../../model/database_state.ts";
import { decodeGetRouteRequest, encodeRouteUnchanged, type Pong } from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { StoreError } from "../../reactor/errors.ts";
import { FrameDecoder } from "../../reactor/frame.ts";
import { silentLogger } from "../../reactor/log.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { nextInt, type Rng, seededRng } from "../../reactor/time/rng.ts";
import type { Link, LinkEvents } from "../../session/link.ts";
import { StoreHealth } from "../../service/store_health.ts";
import { StatementFault, storeErrorOf } from "../../sql/drivers/driver.ts";
import { checkState } from "../../sql/routes/plan_scripts.ts";
import type { RouteMark, RouteMarkOptions, RouteReadOptions, RouteRow } from "../../sql/store.ts";
import { KnownDigests } from "../../dns/known_digests.ts";
import { RouteFrameCache, type RouteFrames } from "../../dns/route_frames.ts";
import { type KeptModule, RouteTable } from "../../dns/route_table.ts";
import { type PollerMemory, VersionPoller } from "../../dns/version_poller.ts";

const MODULES = 3;
const SERVERS = 3;
const DNS = 2;
const AGENTS = 2;
const STEPS = 24;

/** Old changes go by age, and a dns looks several times in it. */
const CHANGE_AGE_MS = 10_000;

/** A state of the database. The node of a module is the number of the edit that made it. */
interface State {
  readonly epoch: number;
  readonly version: number;
  readonly changes: readonly {
    readonly id: number;
    readonly modId: number;
    readonly version: number;
    readonly atMs: number;
  }[];
  readonly nodes: ReadonlyMap<number, number>;
}

/** What a schedule may not contain; for tests that the rule finds what it is for. */
export interface NeverOlderFlaws {
  /** Agents that compare nothing. */
  readonly agentsForget?: boolean;
  /** Dns that remember nothing over a restart, nor know a database again. */
  readonly dnsForget?: boolean;
}

/** One primary whose states the other servers have later, or go on having for a while. */
class Database {
  /** What each server has; the first takes edits. */
  readonly servers: State[];
  /** Answers come soon, and none is lost. */
  isCalm = false;
  /** States to go back to, as backups have them. */
  readonly #backups: State[] = [];
  readonly #lagging = new Set<number>();
  #edits = 0;
  #changeId = 0;

  constructor(readonly clock: ManualClock, readonly rng: Rng) {
    const empty: State = { epoch: 0, version: 1, changes: [], nodes: new Map() };
    this.servers = Array.from({ length: SERVERS }, () => empty);
    for (let modId = 0; modId < MODULES; modId++) this.edit(modId);
  }

  get #nowS(): number {
    return Math.floor(this.clock.nowMs() / 1000);
  }

  edit(modId = nextInt(this.rng, MODULES)): number {
    const { epoch, version: before, changes, nodes } = this.servers[0];
    const version = Math.max(before + 1, this.#nowS);
    // An id that was given is given again only after a restore, as AUTO_INCREMENT does.
    const last = changes[changes.length - 1]?.id ?? this.#changeId;
    this.#changeId = last + 1;
    const atMs = this.clock.nowMs();
    const change = { id: this.#changeId, modId, version, atMs };
    const kept = changes.filter((one) => one.atMs >= atMs - CHANGE_AGE_MS);
    const state = {
      ...{ epoch, version, changes: [...kept, change] },
      nodes: new Map(nodes).set(modId, ++this.#edits),
    };
    this.#set(state);
    return modId;
  }

  backUp(): void {
    this.#backups.push(this.servers[0]);
  }

  /** Every server has a state of before, and edits go on from there. */
  restore(): void {
    if (this.#backups.length === 0) return;
    const state = this.#backups[nextInt(this.rng, this.#backups.length)];
    this.servers.fill(state);
  }

  /** As `lars sql accept-restored` does. */
  accept(): void {
    const { epoch, version, ...rest } = this.servers[0];
    const nowS = this.#nowS;
    this.#set({ ...rest, epoch: Math.max(epoch + 1, nowS), version: Math.max(version + 1, nowS) });
  }

  /** A server stands still, or catches up. */
  toggleLag(): void {
    const server = 1 + nextInt(this.rng, SERVERS - 1);
    if (this.#lagging.delete(server)) this.servers[server] = this.servers[0];
    else this.#lagging.add(server);
  }

  catchUp(): void {
    this.#lagging.clear();
    this.servers.fill(this.servers[0]);
  }

  #set(state: State): void {
    for (let server = 0; server < SERVERS; server++) {
      if (!this.#lagging.has(server)) this.servers[server] = state;
    }
  }
}

/** What one dns asks its database with; it may be linked to any server. */
class SimStore {
  server = 0;

  constructor(readonly database: Database) {}

  async #call<T>(look: (state: State) => T, options: RouteReadOptions = {}): Promise<T> {
    const { clock, rng, servers, isCalm } = this.database;
    await sleep(clock, nextInt(rng, 40));
    const state = servers[this.server];
    const { onPlan, seenChange } = options;
    const { epoch, version, changes } = state;
    const changeIdMin = changes[0]?.id;
    const newest = changes[changes.length - 1];
    const seenVersion = changes.find(({ id }) => id === seenChange?.id)?.version;
    try {
      checkState({ epoch, version, changeIdMin, seenVersion, newest }, options);
    } catch (error) {
      this.server = (this.server + 1) % SERVERS;
      throw error instanceof StatementFault ? storeErrorOf(error) : error;
    }
    const seen = look(state);
    // The answer may take long: a process that stands still, or a slow network.
    await sleep(clock, nextInt(rng, !isCalm && rng.next() < 0.1 ? 1500 : 40));
    if (!isCalm && rng.next() < 0.05) throw new StoreError("lost", true);
    onPlan?.({ epoch, version }, newest);
    return seen;
  }

  routeMark(options?: RouteMarkOptions): Promise<RouteMark> {
    return this.#call(({ epoch, version, changes }) => ({
      ...{ epoch, version, changeCount: changes.length },
      changeIdMax: changes[changes.length - 1]?.id ?? 0,
      changeVersion: changes[changes.length - 1]?.version,
    }), options);
  }

  changedModules(after: number): Promise<ModuleKey[]> {
    return this.#call(({ changes }) =>
      changes.filter(({ id }) => id > after).map(({ modId }) => ({ modId, cmdId: 1 }))
    );
  }

  readModules(keys: readonly ModuleKey[], options?: RouteReadOptions): Promise<RouteRow[]> {
    return this.#call((state) => keys.flatMap(({ modId }) => rowsOf(state, modId)), options);
  }

  moduleRows(): Promise<[]> {
    return this.#call(() => []);
  }

  async readRoutes(
    onRows: (rows: RouteRow[]) => void | Promise<void>,
    options?: RouteReadOptions,
  ): Promise<void> {
    const rows = await this.#call(
      (state) => [...state.nodes.keys()].flatMap((modId) => rowsOf(state, modId)),
      options,
    );
    await onRows(rows);
  }
}

function rowsOf({ nodes }: State, modId: number): RouteRow[] {
  const ip = nodes.get(modId);
  if (ip === undefined) return [];
  return [{ modId, cmdId: 1, ip, port: 80, weight: 100, zone: "", state: "on" }];
}

interface KeptTable {
  readonly memory: PollerMemory;
  readonly modules: readonly KeptModule[];
}

/** A dns, restarted with what it has on disk. */
class SimDns {
  readonly store: SimStore;
  readonly publisher: Publisher<SimLink, RouteFrames>;
  plan: DatabaseState | undefined;
  #poller: VersionPoller;
  #table: RouteTable;
  #stopped = false;
  readonly #digests = new KnownDigests<SimLink>();

  constructor(
    readonly database: Database,
    readonly flaws: NeverOlderFlaws,
    earlier?: KeptTable,
  ) {
    const { clock, rng } = database;
    this.store = new SimStore(database);
    this.store.server = nextInt(rng, SERVERS);
    this.#table = new RouteTable(clock.nowMs());
    if (earlier !== undefined) this.#table.restore(earlier.modules, earlier.memory.plan);
    const cache = new RouteFrameCache(this.#table);
    this.publisher = new Publisher<SimLink, RouteFrames>(
      { frames: (modId, cmdId) => this.#table.loaded ? cache.get(modId, cmdId) : undefined },
      { send: (link, frames, modId, cmdId) => this.#send(link, frames, modId, cmdId) },
    );
    this.#poller = new VersionPoller({
      ...{ store: this.store, table: this.#table, clock, rng, log: silentLogger },
      health: new StoreHealth({ clock, log: silentLogger, label: "sim", meanwhile: "serving" }),
      ...{ pollIntervalMs: 100, reloadIntervalMs: 1000 },
      ...(earlier === undefined ? {} : { earlier: earlier.memory }),
      onPlan: (plan) => (this.plan = plan),
      onLoaded: () => this.publisher.publishEach(this.publisher.modules()),
      onChanged: (changed) => this.publisher.publishEach(changed),
    });
    this.#poller.start();
  }

  /** What it would find on disk. */
  get kept(): KeptTable | undefined {
    const { memory } = this.#poller;
    if (memory === undefined || this.flaws.dnsForget === true) return undefined;
    return { memory, modules: [...this.#table.kept()] };
  }

  told(keys: readonly ModuleKey[]): void {
    if (!this.#stopped) this.#poller.modulesChanged(keys);
  }

  request(link: SimLink, body: Uint8Array): void {
    const { modId, cmdId, digest } = decodeGetRouteRequest(body);
    this.#digests.note(link, moduleId(modId, cmdId), digest);
    this.publisher.request(link, modId, cmdId);
  }

  stop(): void {
    this.#stopped = true;
    this.#poller.stop();
  }

  #send(link: SimLink, frames: RouteFrames, modId: number, cmdId: number): void {
    const { revision, plan } = frames;
    if (this.#digests.isKnown(link, moduleId(modId, cmdId), () => frames.digest)) {
      const body = encodeRouteUnchanged({ modId, cmdId, revision, ...plan });
      link.queue(MessageId.RouteUnchanged, body);
      return;
    }
    new FrameDecoder().push(frames.extended, (msgId, body) => link.queue(msgId, body.slice()));
  }
}

type Events = LinkEvents & { onPong(pong: Pong): void };

/** The connection of an agent: what dns sends arrives later, in order. */
class SimLink implements Link {
  readonly extended = true;
  readonly address = { hostname: "sim", port: 1 };
  readonly local = undefined;
  readonly fault = undefined;
  readonly secretFault = undefined;
  readonly pendingBytes = 0;
  connectCount = 0;
  dns: SimDns | undefined;
  readonly #handlers = new Map<number, (body: Uint8Array) => void>();
  #queue: (() => void)[] = [];
  readonly router = {
    add: (msgId: number, handler: (body: Uint8Array) => void): void =>
      void this.#handlers.set(msgId, handler),
  };

  constructor(readonly events: Events) {}

  get ready(): boolean {
    return this.dns !== undefined;
  }

  queue(msgId: number, body: Uint8Array): void {
    this.#queue.push(() => this.#handlers.get(msgId)?.(body));
  }

  ponged(): void {
    const plan = this.dns?.plan;
    this.#queue.push(() => this.events.onPong({ seq: 1, ...plan }));
  }

  /** Some of what is on its way arrives. */
  deliver(count: number): void {
    for (const arrive of this.#queue.splice(0, count)) arrive();
  }

  send(msgId: number, body: Uint8Array): boolean {
    if (msgId === MessageId.GetRouteRequest) this.dns?.request(this, body);
    return this.ready;
  }

  linkTo(dns: SimDns): void {
    this.lose();
    this.dns = dns;
    this.connectCount++;
    this.events.onReady();
  }

  lose(): void {
    const { dns } = this;
    if (dns === undefined) return;
    this.dns = undefined;
    this.#queue = [];
    dns.publisher.closed(this);
    this.events.onLost();
  }

  start(): void {}
  sayGoodbye(): void {}
  failOver(): void {}
  setAddresses(): void {}

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** An agent: what it has of each module, over restarts of dns and its own. */
class SimAgent {
  readonly nodes = new Map<number, number>();
  readonly faults: string[] = [];
  link: SimLink;
  #subscriber: RouteSubscriber;
  readonly #stamps = new Map<number, RouteStamp>();

  constructor(readonly clock: ManualClock, readonly flaws: NeverOlderFlaws) {
    [this.link, this.#subscriber] = this.#start();
  }

  restart(): void {
    this.link.lose();
    [this.link, this.#subscriber] = this.#start();
  }

  ask(modId = -1): void {
    for (let one = 0; one < MODULES; one++) {
      if (modId < 0 || one === modId) this.#subscriber.request(one, 1);
    }
  }

  #start(): [SimLink, RouteSubscriber] {
    let link: SimLink | undefined;
    const subscriber = new RouteSubscriber({
      openLink: (events) => (link = new SimLink(events)),
      clock: this.clock,
      pushGuardMs: 0,
      ...(this.flaws.agentsForget === true ? {} : { stampOf: (modId) => this.#stamps.get(modId) }),
      pickableCount: (modId) => this.nodes.has(modId) ? 1 : 0,
      onReady: () => this.ask(),
      onLost: () => {},
      onNodeUse: () => {},
      onRoute: ({ modId, hosts, stamp }) => {
        if (hosts !== undefined) this.#take(modId, hosts[0]?.ip, stamp?.plan);
        if (stamp !== undefined) this.#stamps.set(modId, stamp);
      },
    });
    if (link === undefined) throw new Error("The subscriber must open a link");
    return [link, subscriber];
  }

  /** The rule. An older route, and none, are right only in an epoch that somebody has accepted. */
  #take(modId: number, node: number | undefined, plan: DatabaseState | undefined): void {
    const before = this.nodes.get(modId);
    const known = this.#known.get(modId);
    const isNewEpoch = known !== undefined && plan !== undefined && plan.epoch > known.epoch;
    if (before !== undefined && !isNewEpoch) {
      if (node === undefined) this.faults.push(`module ${modId}: ${before}, then none`);
      else if (node < before) this.faults.push(`module ${modId}: ${before}, then ${node}`);
    }
    if (plan !== undefined && !(known !== undefined && isOlderState(plan, known))) {
      this.#known.set(modId, plan);
    }
    if (node === undefined) this.nodes.delete(modId);
    else this.nodes.set(modId, node);
  }

  /** The latest plan of each module, by what was taken; apart from what the subscriber is told. */
  readonly #known = new Map<number, DatabaseState>();
}

/** Promises that go on after one event: what takes more goes on after the next. */
const TURNS = 12;

/** Virtual time passes, one event after the other; promises go on in between. */
async function pass(clock: ManualClock, byMs: number): Promise<void> {
  const endMs = clock.nowMs() + byMs;
  for (let i = 0; i < TURNS; i++) await undefined;
  while (clock.nextDueMs <= endMs) {
    clock.fireNext();
    for (let i = 0; i < TURNS; i++) await undefined;
  }
  clock.advance(endMs - clock.nowMs());
}

/**
 * Runs one schedule: edits, lag, backups, restores with and without an operator's word, restarts and
 * fail-overs, as the seed has them.
 *
 * @returns what was broken, with the seed; empty: nothing. At the end every agent must have what the
 * database has, if that was accepted.
 */
export async function neverOlderFaults(
  seed: number,
  flaws: NeverOlderFlaws = {},
): Promise<string[]> {
  const rng = seededRng(seed);
  const clock = new ManualClock(1_000_000);
  const database = new Database(clock, rng);
  const dns = Array.from({ length: DNS }, () => new SimDns(database, flaws));
  const agents = Array.from({ length: AGENTS }, () => new SimAgent(clock, flaws));
  let isAccepted = true;
  await pass(clock, 400);
  for (const agent of agents) agent.link.linkTo(dns[nextInt(rng, DNS)]);
  for (let step = 0; step < STEPS; step++) {
    const index = nextInt(rng, DNS);
    const agent = agents[nextInt(rng, AGENTS)];
    const die = rng.next();
    if (die < 0.3) {
      const modId = database.edit();
      if (rng.next() < 0.6) dns[index].told([{ modId, cmdId: 1 }]);
    } else if (die < 0.45) agent.link.linkTo(dns[index]);
    else if (die < 0.57) database.toggleLag();
    else if (die < 0.65) {
      const { kept } = dns[index];
      const linked = agents.filter(({ link }) => link.dns === dns[index]);
      for (const { link } of linked) link.lose();
      dns[index].stop();
      dns[index] = new SimDns(database, flaws, kept);
    } else if (die < 0.72) agent.restart();
    else if (die < 0.78) database.backUp();
    else if (die < 0.8) {
      // A dns that never saw what a restore takes back could not know of it.
      database.catchUp();
      await pass(clock, 3500);
      database.restore();
      isAccepted = false;
      // It takes longer than versions of edits can be ahead of the clock.
      await pass(clock, 10_000);
    } else if (die < 0.82) {
      database.accept();
      isAccepted = true;
    } else if (die < 0.88) dns[index].store.server = nextInt(rng, SERVERS);
    else if (agent.link.ready) agent.ask(nextInt(rng, MODULES));
    await pass(clock, 20 + nextInt(rng, 160));
    for (const { link } of agents) {
      if (rng.next() < 0.4) link.ponged();
      link.deliver(nextInt(rng, 6));
    }
  }
  return await settled(seed, { clock, database, dns, agents, isAccepted });
}

/** Once all is calm every dns knows of the last edit within this time; looked at in such steps. */
const SETTLE_MS_MAX = 12_000;
const SETTLE_STEP_MS = 200;

async function settled(
  seed: number,
  { clock, database, dns, agents, isAccepted }: {
    readonly clock: ManualClock;
    readonly database: Database;
    readonly dns: readonly SimDns[];
    readonly agents: readonly SimAgent[];
    readonly isAccepted: boolean;
  },
): Promise<string[]> {
  database.catchUp();
  database.isCalm = true;
  if (!isAccepted) database.accept();
  const { epoch, version } = database.servers[0];
  const isKnown = ({ plan }: SimDns): boolean => plan?.epoch === epoch && plan.version === version;
  for (let ms = 0; ms < SETTLE_MS_MAX && !dns.every(isKnown); ms += SETTLE_STEP_MS) {
    await pass(clock, SETTLE_STEP_MS);
  }
  agents.forEach((agent, index) => agent.link.linkTo(dns[index % DNS]));
  for (let round = 0; round < 3; round++) {
    for (const { link } of agents) {
      link.ponged();
      link.deliver(Infinity);
    }
    await pass(clock, 200);
  }
  for (const one of dns) one.stop();
  const faults = agents.flatMap((agent) => agent.faults);
  for (const { nodes } of agents) {
    for (let modId = 0; modId < MODULES; modId++) {
      const truth = database.servers[0].nodes.get(modId);
      if (nodes.get(modId) === truth) continue;
      faults.push(`module ${modId}: ${nodes.get(modId)} at the end instead of ${truth}`);
    }
  }
  return faults.map((fault) => `seed ${seed}: ${fault}`);
}
