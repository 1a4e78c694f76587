// Shell. The loop of a relay: its port, its clients, its workers, and the broker between them.

import type { ModuleKey } from "../model/module.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import type { Logger } from "../reactor/log.ts";
import { runtime, type TcpConnector, type TcpTransport } from "../reactor/runtime/mod.ts";
import { type Connection, connectionBudget } from "../reactor/tcp/tcp_server.ts";
import { type Clock, sleep } from "../reactor/time/clock.ts";
import type { PeerTrust } from "../session/peer_trust.ts";
import { TLS_FIRST_BYTE } from "../session/tls/tls_identity.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import { AdminDoor } from "./admin_door.ts";
import { RelayEvents } from "./relay_events.ts";
import type { ModulePolicy } from "../balancer/mod.ts";
import type { Rng } from "../reactor/time/rng.ts";
import { WorkerChoice } from "./broker/worker_choice.ts";
import { Broker } from "./broker/broker.ts";
import type { BrokerWorker } from "./broker/broker_parts.ts";
import type { BrokerLimits } from "./broker/broker_limits.ts";
import { Directory } from "./people/directory.ts";
import { type ClusterBus, RelayCluster } from "./cluster/relay_cluster.ts";
import type { MailRoom } from "./people/mail_room.ts";
import { PeopleDoor } from "./people_door.ts";
import { type Door, PortSorter } from "./port_sorter.ts";
import { SeedDoor, type SeedLimits } from "./seed/seed_door.ts";
import { SessionDoor } from "./session_door.ts";
import type { WebPort } from "./web_port.ts";

/** First byte of a session: of the number of Hello, little-endian. */
const HELLO_BYTE = 64;

/** Time that clients have to go elsewhere, and requests under way to be answered, before a stop. */
export const RELAY_LEAVE_MS_MAX = 1_000;

/** Time between two looks whether they have. */
const LEAVE_LOOK_MS = 10;

/** Plain values that a loop is made from. */
export interface RelayLoopInit extends SessionServerInit {
  readonly limits: BrokerLimits;
  /** By which workers are picked and judged; undefined: in turn. */
  readonly policy: ModulePolicy | undefined;
  /** How long messages are kept where their sender does not say, and at most, in milliseconds. */
  readonly mailTtl: { readonly mailTtlMs: number; readonly mailTtlMsMax: number };
  /** Undefined: clients of the original are not served. */
  readonly originals: { readonly module: ModuleKey; readonly limits: SeedLimits } | undefined;
}

/** What a loop is given besides. */
export interface RelayLoopSurroundings {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Logger;
  /** Keeps messages for clients that are away. @default {none are kept} */
  readonly mailRoom?: MailRoom | undefined;
  /** How other relays are reached. @default {there are none} */
  readonly clusterBus?: ClusterBus | undefined;
  /** Where connections come from, and how they are made. @default {the runtime} */
  readonly transport?: TcpTransport & TcpConnector;
  /** Where WebSockets come in; it is theirs who opened it. @default {nowhere} */
  readonly webPort?: WebPort | undefined;
}

/** Everything of a relay that has to do with connections; one for each relay. */
export class RelayLoop {
  readonly broker: Broker;
  readonly #clock: Clock;
  readonly #server: SessionServer;
  readonly #sorter: PortSorter;
  readonly #door: SessionDoor<Connection>;
  readonly #people: PeopleDoor<Connection>;
  readonly #admin: AdminDoor<Connection>;
  readonly #cluster: RelayCluster | undefined;
  readonly #mailRoom: MailRoom | undefined;
  readonly #seedDoor: SeedDoor | undefined;
  readonly #webPort: WebPort | undefined;
  #address: Address | undefined;

  constructor(init: RelayLoopInit, around: RelayLoopSurroundings) {
    const { clock, rng, log, clusterBus, transport = runtime } = around;
    this.#clock = clock;
    const events = new RelayEvents(clock);
    const { limits, policy } = init;
    const choice = policy === undefined ? {} : {
      choice: new WorkerChoice<BrokerWorker>({ clock, rng, policy }),
    };
    const address = (): string => this.#address === undefined ? "" : formatAddress(this.#address);
    const cluster = clusterBus === undefined
      ? undefined
      : new RelayCluster({ ...clusterBus, clock, log, events, address });
    this.#cluster = cluster;
    this.broker = new Broker({
      ...{ clock, limits, events, ...choice },
      onServed: (module, isServed) => cluster?.served(module, isServed),
    });
    this.#seedDoor = init.originals === undefined ? undefined : new SeedDoor({
      ...init.originals,
      ...{ clock, log, connector: transport, budget: connectionBudget, broker: this.broker },
      ownPorts: () =>
        [this.#address, around.webPort?.address].flatMap((own) =>
          own === undefined ? [] : own.port
        ),
    });
    this.#sorter = new PortSorter({
      ...{ transport, clock, budget: connectionBudget },
      doorOf: (firstByte) => this.#doorOf(firstByte),
    });
    this.#webPort = around.webPort;
    this.#server = new SessionServer({
      ...{ role: "relay", init, clock, log },
      transport: this.#webPort?.beside(this.#sorter) ?? this.#sorter,
      onClose: (peer) => {
        this.#admin.forget(peer);
        this.#people.forget(peer);
        this.#door.forget(peer);
      },
    });
    this.#mailRoom = around.mailRoom;
    const directory = new Directory(cluster);
    this.#people = new PeopleDoor({
      ...{ clock, log, directory, cluster, mailRoom: this.#mailRoom, ...init.mailTtl },
      relayName: address,
    }, this.#server);
    this.#admin = new AdminDoor({
      ...{ clock, log, events, broker: this.broker, mail: around.mailRoom?.store, cluster },
      names: this.#people.names,
      stats: () => this.stats(),
    }, this.#server);
    const onJoin: PeopleDoor<Connection>["join"] = (...given) => this.#people.join(...given);
    this.#door = new SessionDoor(this.broker, this.#server, onJoin, transport.views);
    cluster?.start({
      ...{ broker: this.broker, directory },
      takeMessage: (pass) => this.#people.takePassed(pass),
    });
  }

  /**
   * Begins to accept connections.
   *
   * @returns the address with the real port.
   * @throws {BindError} when the port is taken.
   */
  async listen(port: number): Promise<Address> {
    this.#address = await this.#server.listen(port, false);
    return this.#address;
  }

  /** Believes this from now on. */
  setTrust(trust: PeerTrust): void {
    this.#server.setTrust(trust);
  }

  /** Takes other limits from now on. */
  setLimits(limits: BrokerLimits): void {
    this.broker.setLimits(limits);
  }

  /** Counters since the start, and present sizes. */
  stats(): Record<string, number> {
    const { undecided, silent } = this.#sorter.stats;
    return {
      ...this.#server.stats(),
      ...this.broker.stats(),
      ...this.#people.stats(),
      ...this.#seedDoor?.stats() ?? {},
      ...this.#webPort?.stats ?? {},
      ...this.#cluster?.stats() ?? {},
      connections_undecided: undecided,
      connections_without_a_byte: silent,
    };
  }

  /**
   * Takes no further connection, and sends clients to other relays, each at its place in line; they are
   * served meanwhile. Workers stay for them.
   *
   * @returns when they are gone and nothing is under way, or after {@linkcode RELAY_LEAVE_MS_MAX}.
   */
  async leave(): Promise<void> {
    const clock = this.#clock;
    const endMs = clock.nowMs() + RELAY_LEAVE_MS_MAX;
    // Its end is not waited for, as workers do not go.
    void this.#server.leave();
    while (clock.nowMs() < endMs && this.#door.clientCount + this.broker.runningCount > 0) {
      await sleep(clock, LEAVE_LOOK_MS);
    }
  }

  /** Ends everything; what has been sent still leaves. */
  async close(): Promise<void> {
    this.broker.stopTaking();
    this.#cluster?.close();
    this.#seedDoor?.close();
    // What senders are to be told still leaves with the connections.
    await this.#mailRoom?.close();
    await this.#server.close();
    this.broker.close();
  }

  /** Whatever is no session is an L0, so that nonsense is told as what it is. */
  #doorOf(firstByte: number): Door | undefined {
    const seedDoor = this.#seedDoor;
    const isSession = firstByte === HELLO_BYTE || firstByte === TLS_FIRST_BYTE;
    if (isSession || seedDoor === undefined) return undefined;
    return (stream) => seedDoor.accept(stream);
  }
}
