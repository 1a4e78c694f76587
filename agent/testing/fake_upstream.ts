// Shell. For tests: a dns and a reporter that do what a test tells them, and a caller.

import { SessionServer } from "../../session/session_server.ts";
import {
  decodeGetHostResponse,
  decodeGetRouteRequest,
  decodeNodeUse,
  decodeReportSession,
  decodeReportStatusRequest,
  decodeTableSubscribe,
  encodeGetRouteResponse,
  encodeNodeUseRequest,
  encodeReportsStored,
  encodeRoutePart,
  encodeSubscriptionTerms,
  encodeTableSubscribe,
  frameGetHostRequest,
  frameReportRequest,
  type GetHostResponse,
  type HostInfo,
  type NodeUse,
  type NodeUseRequest,
  type ReportStatusRequest,
} from "../../proto/codec.ts";
import { readDatagram } from "../../proto/wire.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { silentLogger } from "../../reactor/log.ts";
import { MessageRouter } from "../../reactor/message_router.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { type Connection, TcpServer } from "../../reactor/tcp/tcp_server.ts";
import { UdpClient } from "../../reactor/udp/udp_client.ts";

/** How a fake server behaves. */
export interface FakeOptions {
  /** Default 0: a free port. */
  port?: number;
  /** Answers Hello; without it the server is like the original. Default true. */
  extended?: boolean;
  token?: Uint8Array;
}

/** What both fake servers are. */
class FakeServer {
  readonly router: MessageRouter<Connection>;
  readonly server: TcpServer;

  constructor(
    role: string,
    options: FakeOptions,
    onWelcomed: (peer: Connection) => void = () => {},
  ) {
    const { port = 0, extended = true, token } = options;
    const shared = { clock: systemClock, log: silentLogger };
    const hostname = "127.0.0.1";
    const init = { hostname, connectionsMax: 1024, software: "fake", secrets: token && [token] };
    const sessions = extended
      ? new SessionServer({ ...shared, role, init, onWelcomed })
      : undefined;
    this.router = sessions?.router ?? new MessageRouter<Connection>();
    this.server = new TcpServer({
      ...shared,
      hostname,
      port,
      router: this.router,
      onAccept: (connection) => sessions?.accept(connection),
      onClose: (connection) => sessions?.forget(connection),
    });
  }

  get port(): number {
    return this.server.address.port;
  }

  async listen(): Promise<this> {
    await this.server.listen();
    return this;
  }

  close(): Promise<void> {
    return this.server.close();
  }
}

/** Answers route requests from a table. */
export class FakeDns extends FakeServer {
  /** Nodes by `modId,cmdId`; a module that is missing has none. */
  readonly routes = new Map<string, HostInfo[]>();
  /** Policies by `modId,cmdId`. */
  readonly policies = new Map<string, string>();
  /** Names by `modId,cmdId`. */
  readonly names = new Map<string, string>();
  /** Modules whose routes are sent as meant, and as those whose changes are marked. */
  readonly meant = new Set<string>();
  readonly guarded = new Set<string>();
  /** Modules asked for, in order. */
  readonly requests: string[] = [];
  readonly nodeUses: NodeUse[] = [];
  /** Modules of which subscriptions were ended, in order. */
  readonly ended: string[] = [];
  /** True: requests are taken and not answered. */
  silent = false;
  readonly #extended: boolean;
  /** More than 1: routes are sent in so many parts. */
  partCount = 1;

  constructor(options: FakeOptions = {}) {
    super("dns", options);
    this.#extended = options.extended ?? true;
    this.router.add(MessageId.GetRouteRequest, (body, peer) => {
      const { modId, cmdId } = decodeGetRouteRequest(body);
      this.requests.push(`${modId},${cmdId}`);
      if (!this.silent) this.#send(peer, modId, cmdId);
    });
    this.router.add(MessageId.TableSubscribe, (body) => {
      const { modId, cmdId } = decodeTableSubscribe(body);
      this.ended.push(`${modId},${cmdId}`);
    });
    this.router.add(MessageId.NodeUse, (body) => void this.nodeUses.push(decodeNodeUse(body)));
  }

  /** Tells everyone that subscriptions may be ended. */
  tellTerms(): void {
    const terms = encodeSubscriptionTerms({ modulesMax: 20_000, nodelessMax: 1_000 });
    for (const peer of this.server.connections()) peer.send(MessageId.SubscriptionTerms, terms);
  }

  /** Tells everyone that a module is not pushed any more. */
  endSubscription(modId: number, cmdId: number): void {
    const end = encodeTableSubscribe({ modId, cmdId, end: true });
    for (const peer of this.server.connections()) peer.send(MessageId.TableSubscribe, end);
  }

  /** Asks every agent whether it still uses a node; their answers come into `nodeUses`. */
  askNodeUse(request: NodeUseRequest): void {
    for (const peer of this.server.connections()) {
      peer.send(MessageId.NodeUseRequest, encodeNodeUseRequest(request));
    }
  }

  /** Starts one. */
  static start(options: FakeOptions = {}): Promise<FakeDns> {
    return new FakeDns(options).listen();
  }

  /** Sends a route to everyone, asked for or not. */
  push(modId: number, cmdId: number, hosts: HostInfo[]): void {
    this.routes.set(`${modId},${cmdId}`, hosts);
    for (const peer of this.server.connections()) this.#send(peer, modId, cmdId);
  }

  #send(peer: Connection, modId: number, cmdId: number): void {
    const key = `${modId},${cmdId}`;
    const hosts = this.routes.get(key) ?? [];
    const extras = !this.#extended ? {} : {
      revision: 1,
      policy: this.policies.get(key),
      name: this.names.get(key),
      meant: this.meant.has(key) || undefined,
      guarded: this.guarded.has(key) || undefined,
    };
    if (this.partCount === 1) {
      const message = { modId, cmdId, hosts, ...extras };
      peer.send(MessageId.GetRouteResponse, encodeGetRouteResponse(message));
      return;
    }
    const { partCount } = this;
    const size = Math.ceil(hosts.length / partCount);
    for (let part = 0; part < partCount; part++) {
      const some = hosts.slice(part * size, (part + 1) * size);
      const message = { modId, cmdId, hosts: some, part, partCount, revision: 1, ...extras };
      peer.send(MessageId.RoutePart, encodeRoutePart(message));
    }
  }
}

/** Keeps what it is sent, and tells nobody what is stored unless a test does. */
export class FakeReporter extends FakeServer {
  /** True: senders are told what is stored, by {@linkcode tellStored}. */
  tells = false;
  /** False: senders that ask are not answered, as by an older build. */
  knowsSessions = true;
  /** False: senders hear of that only when they ask, as from a build of before. */
  saysSo = false;
  /** Sessions that senders named, in order. */
  readonly sessions: number[] = [];
  /** Sessions whose senders end soon, and wait until all is stored. */
  readonly leaving: number[] = [];
  /** Reports with the time of their arrival, in order. */
  readonly reports: (ReportStatusRequest & { atMs: number })[] = [];

  constructor(options: FakeOptions = {}) {
    super("reporter", options, (peer) => {
      const body = encodeReportsStored({ held: 0, plain: false });
      if (this.saysSo) peer.send(MessageId.ReportsStored, body);
    });
    this.router.add(MessageId.ReportStatusRequest, (body) => {
      this.reports.push({ ...decodeReportStatusRequest(body), atMs: systemClock.nowMs() });
    });
    this.router.add(MessageId.ReportSession, (body, peer) => {
      const { session, leaving } = decodeReportSession(body);
      if (leaving) this.leaving.push(session);
      else this.sessions.push(session);
      if (!this.knowsSessions) return;
      peer.send(MessageId.ReportsStored, encodeReportsStored({ held: 0, plain: !this.tells }));
    });
  }

  /** Starts one. */
  static start(options: FakeOptions = {}): Promise<FakeReporter> {
    return new FakeReporter(options).listen();
  }

  /** Tells every sender that reports up to `stored` are stored, and up to `held` have arrived. */
  tellStored(stored: number, held = stored): void {
    const body = encodeReportsStored({ stored, held, plain: false });
    for (const peer of this.server.connections()) peer.send(MessageId.ReportsStored, body);
  }

  /** Calls whose time was told, and what they took, of all nodes by their latest totals. */
  times(): [number, number] {
    const latest = new Map<string, [number, number]>();
    for (const { modId, cmdId, results } of this.reports) {
      for (const { ip, port, timedTotal = 0, timeMsTotal = 0 } of results) {
        latest.set(`${modId},${cmdId},${ip},${port}`, [timedTotal, timeMsTotal]);
      }
    }
    return [...latest.values()].reduce<[number, number]>(
      ([timed, timeMs], [moreTimed, moreMs]) => [timed + moreTimed, timeMs + moreMs],
      [0, 0],
    );
  }

  /** Sum of the latest totals of all nodes: successes and failures. */
  totals(): [number, number] {
    const latest = new Map<string, [number, number]>();
    for (const { modId, cmdId, results } of this.reports) {
      for (const { ip, port, succTotal = 0, errTotal = 0 } of results) {
        latest.set(`${modId},${cmdId},${ip},${port}`, [succTotal, errTotal]);
      }
    }
    return [...latest.values()].reduce<[number, number]>(
      ([succ, err], [moreSucc, moreErr]) => [succ + moreSucc, err + moreErr],
      [0, 0],
    );
  }
}

/** A caller at one port of an agent; asks one thing at a time. */
export class FakeCaller {
  readonly client: UdpClient;
  #seq = 0;

  private constructor(client: UdpClient) {
    this.client = client;
  }

  /** Opens a caller towards a port. */
  static async open(port: number): Promise<FakeCaller> {
    return new FakeCaller(await UdpClient.open({ hostname: "127.0.0.1", port }));
  }

  /** Asks for a node, again when there is no answer; answers to earlier questions are dropped. */
  async getHost(
    modId: number,
    cmdId: number,
    token?: Uint8Array,
    key?: Uint8Array,
  ): Promise<GetHostResponse> {
    const seq = ++this.#seq;
    for (;;) {
      this.client.send(frameGetHostRequest({ seq, modId, cmdId, token, key }));
      const answer = await this.#answer(seq);
      if (answer !== undefined) return answer;
    }
  }

  /** Reports the outcome of a call. */
  report(modId: number, cmdId: number, host: HostInfo, retcode: number, timecostMs?: number): void {
    this.client.send(frameReportRequest({ modId, cmdId, host, retcode, timecostMs }));
  }

  close(): void {
    this.client.close();
  }

  async #answer(seq: number): Promise<GetHostResponse | undefined> {
    try {
      for (;;) {
        const { msgId, body } = readDatagram(await this.client.receive(500));
        const answer = msgId === MessageId.GetHostResponse
          ? decodeGetHostResponse(body)
          : undefined;
        if (answer?.seq === seq) return answer;
      }
    } catch {
      return undefined;
    }
  }
}
