// Shell. The processes of a simulation, and who edits: how many of each, and where they are.

import { tellingDns } from "../../control/changes/dns_notifier.ts";
import { DEFAULT_PORTS } from "../../proto/message_ids.ts";
import { type Address, parseIpv4 } from "../../reactor/address.ts";
import { nextInt } from "../../reactor/time/rng.ts";
import type { RouteRow } from "../../sql/store.ts";
import { AgentProcess, type AgentWatch, hostOf } from "./agent_process.ts";
import { DiscoveryProcess } from "./discovery_process.ts";
import { DnsProcess } from "./dns_process.ts";
import { NODE_PORT, NodeProcess } from "./node_process.ts";
import { ReporterProcess } from "./reporter_process.ts";
import { type ProcessParts, SIM_SOFTWARE, SimProcess, type SimWorld } from "./sim_process.ts";

/** The module of an editor, of nodes that register themselves, and of a hand that writes SQL. */
export const EDITED = 1;
export const REGISTERED = 2;
export const BY_HAND = 3;

/** Nodes that register themselves. */
export const NODES = 5;

/** Nodes of the two other modules: at least, and at most. */
const ROUTE_NODES_MIN = 3;
const ROUTE_NODES_MAX = 6;

const EDIT_PAUSE_MS = 6_000;
const HAND_PAUSE_MS = 15_000;
/** The editor gives none from here on: no two edits leave the same route. */
const HAND_WEIGHT = 2_000;

/** A node of a module that somebody edits. */
export function routeRow(modId: number, index: number, weight = 100): RouteRow {
  const ip = parseIpv4(hostOf(10 + modId, index));
  return { modId, cmdId: 1, ip, port: NODE_PORT, weight, zone: "", state: "on" };
}

/** What the modules begin with. */
export function firstRoutes(): ReadonlyMap<number, readonly RouteRow[]> {
  const four = (modId: number): RouteRow[] => [0, 1, 2, 3].map((index) => routeRow(modId, index));
  return new Map([[EDITED, four(EDITED)], [REGISTERED, []], [BY_HAND, four(BY_HAND)]]);
}

/** Edits the first module, as the command line does: marked as meant, and dns is told. */
class EditorProcess extends SimProcess {
  isIdle = false;
  #weight = 100;

  constructor(world: SimWorld, name: string, host: string, readonly dns: readonly Address[]) {
    super(world, name, host);
  }

  protected begin({ clock, rng }: ProcessParts): void {
    clock.setTimer(1 + nextInt(rng, EDIT_PAUSE_MS), () => {
      const edited = this.isIdle ? Promise.resolve() : this.edit();
      void edited.catch(() => {}).finally(() => this.begin(this.parts));
    });
  }

  /** One edit. No two leave the same route. */
  async edit(): Promise<void> {
    const { clock, store, transport, rng } = this.parts;
    const options = { store: store.asStore, clock, software: SIM_SOFTWARE, secrets: undefined };
    const weight = ++this.#weight;
    await tellingDns(
      { ...options, transport, addresses: this.dns },
      () =>
        store.edit(
          EDITED,
          (rows) => editedRoute(rows, nextInt(rng, ROUTE_NODES_MAX), weight),
          true,
        ),
    );
  }
}

/** One node gets a weight that no node had; now and then one goes, and one comes that never was there. */
function editedRoute(rows: readonly RouteRow[], index: number, weight: number): RouteRow[] {
  const at = index % rows.length;
  const isShort = rows.length < ROUTE_NODES_MAX;
  if (isShort && (weight % 3 === 0 || rows.length <= ROUTE_NODES_MIN)) {
    return [...rows, routeRow(EDITED, weight, weight)];
  }
  const others = weight % 3 === 1 ? rows.filter((_, one) => one !== at) : rows;
  return others.map((row, one) => one === at % others.length ? { ...row, weight } : row);
}

/** Everybody. */
export class Cast {
  readonly dns: readonly DnsProcess[];
  readonly reporters: readonly ReporterProcess[];
  readonly discoveries: readonly DiscoveryProcess[];
  readonly agents: readonly AgentProcess[];
  readonly nodes: readonly NodeProcess[];
  readonly editor: EditorProcess;
  readonly world: SimWorld;
  /** The hand that writes SQL rests. */
  isHandIdle = false;
  #handWeight = 0;

  constructor(world: SimWorld, watch: AgentWatch) {
    this.world = world;
    const several = <T>(
      count: number,
      kind: number,
      make: (index: number, host: string) => T,
    ): T[] => Array.from({ length: count }, (_, index) => make(index, hostOf(kind, index)));
    const at = (port: number, processes: readonly SimProcess[]): Address[] =>
      processes.map(({ host }) => ({ hostname: host, port }));
    this.dns = several(2, 1, (i, host) => new DnsProcess(world, `dns ${i}`, host));
    this.reporters = several(2, 2, (i, host) => new ReporterProcess(world, `reporter ${i}`, host));
    const dns = at(DEFAULT_PORTS.dns, this.dns);
    this.discoveries = several(
      2,
      3,
      (i, host) => new DiscoveryProcess(world, `discovery ${i}`, host, dns),
    );
    const servers = { dns, reporters: at(DEFAULT_PORTS.reporter, this.reporters) };
    const modIds = [EDITED, REGISTERED, BY_HAND];
    this.agents = several(
      2,
      4,
      (i, host) => new AgentProcess(world, `agent ${i}`, host, servers, modIds, watch),
    );
    const discoveries = at(DEFAULT_PORTS.discovery, this.discoveries);
    this.nodes = several(NODES, 5, (i, host) => {
      // Half of them begin with the other one.
      const turned = i % 2 === 0 ? discoveries : [...discoveries].reverse();
      return new NodeProcess(world, `node ${i}`, host, parseIpv4(host), REGISTERED, turned);
    });
    this.editor = new EditorProcess(world, "editor", hostOf(6, 0), dns);
  }

  get all(): readonly SimProcess[] {
    return [
      ...this.dns,
      ...this.reporters,
      ...this.discoveries,
      ...this.agents,
      ...this.nodes,
      this.editor,
    ];
  }

  /** Begins to edit by hand. */
  startHand(): void {
    const { clock, rng } = this.world;
    clock.setTimer(1 + nextInt(rng, HAND_PAUSE_MS), () => {
      if (!this.isHandIdle) this.editByHand();
      this.startHand();
    });
  }

  /** One weight changes, and nobody says that it is meant; in the editor's module as well. */
  editByHand(modId = this.world.rng.next() < 0.5 ? EDITED : BY_HAND): void {
    const { database, rng } = this.world;
    const rows = database.rows(modId);
    const at = nextInt(rng, rows.length);
    const weight = HAND_WEIGHT + ++this.#handWeight;
    const edited = rows.map((row, index) => index === at ? { ...row, weight } : row);
    database.setRoute(modId, edited, false);
  }
}
