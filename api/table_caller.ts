// Shell. Picks from the agent's table in shared memory and reports in batches, where that can be.

import { tableKeyOf } from "../balancer/picking/murmur3.ts";
import { type ModuleId, moduleId, moduleOf } from "../model/module.ts";
import { RetCode } from "../proto/message_ids.ts";
import { textOfPickKey } from "../proto/pick_key.ts";
import { formatIpv4 } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { Host, HostAnswer } from "./host.ts";
import { LAST_GOOD_HOSTS_MAX } from "./last_good.ts";
import { type Outcome, OutcomeBatcher, USE_TOLD_MS } from "./outcome_batcher.ts";
import { TableReader } from "./table_reader.ts";
import { TablePick, type TableView } from "./table_view.ts";

/** Nodes whose objects are kept; when there are more all are made anew. */
export const TABLE_HOSTS_MAX = 16_384;

/** Modules of which is kept when the agent last heard that they are used; when full all are told anew. */
export const TABLE_MODULES_MAX = 16_384;

/** After the agent was silent it is asked by one call in so long; the others go on by themselves. */
const SILENCE_MS = 1000;

/** Entries that are looked at to find nodes of a table that is old. */
const OLD_LOOKS_MAX = 64;

/** Where the table of an agent is found by its first port. */
export function defaultTablePath(port: number): string {
  return `/dev/shm/lars-agent-${port}.table`;
}

/** How a {@linkcode TableCaller} works. */
export interface TableCallerOptions {
  readonly path: string;
  /** First UDP port of the agent. */
  readonly port: number;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Sends a batch of outcomes to the address and first port that the table names. */
  send(datagram: Uint8Array, hostname: string, port: number): void;
  /**
   * Told nodes of each module that was picked lately, when a table is left for another one, which may
   * know less: that of an agent that has just started.
   */
  onLeave?(modId: number, cmdId: number, hosts: readonly Host[]): void;
}

/** Of one client. */
export class TableCaller {
  readonly #clock: Clock;
  readonly #reader: TableReader;
  readonly #batcher: OutcomeBatcher;
  readonly #hosts = new Map<number, Host>();
  readonly #toldMs = new Map<ModuleId, number>();
  /** The table whose agent is told what waits. */
  #told: TableView | undefined;
  #silentUntilMs = -Infinity;
  #picks = 0;

  constructor(options: TableCallerOptions) {
    this.#clock = options.clock;
    const { onLeave } = options;
    this.#reader = new TableReader({
      ...options,
      onLeave: () => {
        for (const id of this.#toldMs.keys()) {
          const { modId, cmdId } = moduleOf(id);
          onLeave?.(modId, cmdId, this.latestHosts(modId, cmdId));
        }
      },
    });
    this.#batcher = new OutcomeBatcher({
      ...options,
      send: (datagram) => {
        if (this.#told === undefined) return;
        options.send(datagram, formatIpv4(this.#told.ip0), this.#told.port0);
      },
    });
  }

  /** Picks that were made from the table, refusals too. */
  get pickCount(): number {
    return this.#picks;
  }

  /** Picks from the table; undefined: the agent has to be asked. Both ids unsigned. */
  pick(modId: number, cmdId: number, key: Uint8Array | undefined): HostAnswer | undefined {
    const { view } = this.#reader;
    if (view === undefined) return undefined;
    const outcome = pickFrom(view, modId, cmdId, key);
    if (outcome === TablePick.Ask) return undefined;
    this.#picks++;
    this.#tell(view);
    if (outcome === TablePick.Refused) {
      this.#noteTold(modId, cmdId);
      this.#batcher.refused(modId, cmdId);
      return { retcode: RetCode.Overload };
    }
    this.#tellUse(modId, cmdId);
    return { retcode: RetCode.Success, host: this.#hostOf(view) };
  }

  /** Hands on the outcome of a call; false: there is no table, it is to be reported by itself. */
  report(outcome: Outcome): boolean {
    const { view } = this.#reader;
    if (view === undefined) {
      this.#batcher.flush();
      return false;
    }
    this.#tell(view);
    this.#noteTold(outcome.modId, outcome.cmdId);
    this.#batcher.takesRuns = view.takesRuns;
    this.#batcher.add(outcome);
    return true;
  }

  /** True while the agent was silent a moment ago: a call that has a node need not wait for it. */
  get isSilent(): boolean {
    const nowMs = this.#clock.nowMs();
    return this.#reader.latest !== undefined && nowMs < this.#silentUntilMs;
  }

  /** The agent did not answer a question, or has answered one. */
  heard(answered: boolean): void {
    this.#silentUntilMs = answered ? -Infinity : this.#clock.nowMs() + SILENCE_MS;
  }

  /** Nodes of a module by the table that was the last, for the time in which nobody writes one. */
  latestHosts(modId: number, cmdId: number): Host[] {
    const view = this.#reader.latest;
    const slot = view?.slotOf(modId, cmdId) ?? -1;
    const hosts = new Set<Host>();
    const probes = new Set<Host>();
    for (let look = 0; view !== undefined && slot >= 0 && look < OLD_LOOKS_MAX; look++) {
      const picked = view.pick(slot);
      if (hosts.size === LAST_GOOD_HOSTS_MAX || picked === TablePick.Ask) break;
      if (picked === TablePick.Node) (view.tag === 0 ? hosts : probes).add(this.#hostOf(view));
    }
    return [...(hosts.size > 0 ? hosts : probes)];
  }

  /** Sends what waits, and lets go of the table. */
  close(): void {
    this.#batcher.flush();
    this.#reader.close();
  }

  /** A module whose calls nobody reports would count as unused. */
  #tellUse(modId: number, cmdId: number): void {
    const toldMs = this.#toldMs.get(moduleId(modId, cmdId)) ?? -Infinity;
    if (this.#clock.nowMs() - toldMs < USE_TOLD_MS) return;
    this.#noteTold(modId, cmdId);
    this.#batcher.use(modId, cmdId);
  }

  /** What waits for the agent of another table leaves first. */
  #tell(view: TableView): void {
    if (view === this.#told) return;
    this.#batcher.flush();
    this.#told = view;
  }

  #noteTold(modId: number, cmdId: number): void {
    if (this.#toldMs.size >= TABLE_MODULES_MAX) this.#toldMs.clear();
    this.#toldMs.set(moduleId(modId, cmdId), this.#clock.nowMs());
  }

  #hostOf({ ip, port }: TableView): Host {
    const key = ip * 0x1_0000 + port;
    const known = this.#hosts.get(key);
    if (known !== undefined) return known;
    if (this.#hosts.size >= TABLE_HOSTS_MAX) this.#hosts.clear();
    const host = Object.freeze({ ip: formatIpv4(ip), port });
    this.#hosts.set(key, host);
    return host;
  }
}

function pickFrom(
  view: TableView,
  modId: number,
  cmdId: number,
  key: Uint8Array | undefined,
): TablePick {
  const slot = view.slotOf(modId, cmdId);
  if (slot < 0) return TablePick.Ask;
  if (key === undefined) return view.pick(slot);
  const text = textOfPickKey(key);
  return text === undefined ? TablePick.Ask : view.pickKeyed(slot, tableKeyOf(text), tableKeyOf);
}
