// Shell. One event loop of dns: accepts connections, answers, pushes, and keeps what agents tell.

import type { Clock } from "../reactor/time/clock.ts";
import type { PeerSession } from "../session/server_sessions.ts";
import { PORT_MAX, ZONE_LENGTH_MAX } from "../model/node.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { HIGH_WATER_BYTES } from "../reactor/tcp/framed_link.ts";
import type { Connection } from "../reactor/tcp/tcp_server.ts";
import type { PeerTrust } from "../session/peer_trust.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import { ProtocolError } from "../reactor/errors.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../service/loops/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  type AgentStatus,
  decodeAgentStatus,
  decodeExplainRequest,
  decodeExplainResponse,
  decodeGetRouteRequest,
  decodeNodeUse,
  decodeNodeUseRequest,
  decodeRouteChanged,
  decodeTableSubscribe,
  encodeExplainRequest,
  encodeExplainResponse,
  encodeNodeUseReport,
  encodeNodeUseRequest,
  encodeRouteUnchanged,
  encodeSubscriptionTerms,
  encodeTableSubscribe,
  type ExplainRequest,
  type NodeUseRequest,
} from "../proto/codec.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { NODELESS_PER_PEER_MAX, Publisher, RemoteSource } from "../feed/publisher.ts";
import { AgentExplains, type Explained } from "./agent_explain.ts";
import { MadeUpBudget } from "./made_up_budget.ts";
import { FleetLoop, type FleetNote, type FleetTask } from "./fleet_loop.ts";
import { type AgentName, NodeUseSurveys, type SurveyResult } from "./node_use_survey.ts";
import { KnownDigests } from "./known_digests.ts";
import type { RouteFrames } from "./route_frames.ts";
import type { DatabaseState } from "../model/database_state.ts";

/** Longest texts that are kept of an agent, in characters. */
const HELD_LENGTH_MAX = 600;

/** One linked agent, in plain values that pass from a loop to the main thread. */
export interface AgentSighting {
  readonly status: AgentStatus;
  readonly software: string;
  /** Since its last ping, in milliseconds. */
  readonly heardMsAgo: number;
  /** For how long a push has been on its way without having arrived; 0: it has everything. */
  readonly behindMs: number;
}

/** Main thread to loop. */
export type RouteTask =
  | FleetTask
  /** The frames of a module it wants. */
  | {
    readonly type: "frames";
    readonly modId: number;
    readonly cmdId: number;
    readonly frames: RouteFrames;
  }
  /** All routes are as new as this. */
  | { readonly type: "plan"; readonly plan: DatabaseState | undefined }
  /** Ask your agents whether they still use a node. */
  | { readonly type: "survey"; readonly id: number; readonly request: NodeUseRequest }
  /** Say which agents are linked to you. */
  | { readonly type: "agents"; readonly round: number }
  /** Ask the agent that the request names, if it is one of yours, why it picks which node. */
  | { readonly type: "explain"; readonly id: number; readonly request: ExplainRequest }
  /** What came of the question of a tool of yours. */
  | { readonly type: "explained"; readonly question: number; readonly explained: Explained }
  /** What all loops found out for a tool of yours. */
  | { readonly type: "report"; readonly question: number; readonly result: SurveyResult };

/** Loop to main thread. */
export type RouteNote =
  | FleetNote
  /** Send me the frames of this module now and after each change. */
  | { readonly type: "want"; readonly modId: number; readonly cmdId: number }
  /** I need these modules no more. */
  | { readonly type: "drop"; readonly keys: readonly ModuleId[] }
  /** A tool of mine asks whether a node is still used. */
  | { readonly type: "nodeUse"; readonly question: number; readonly request: NodeUseRequest }
  /** What my agents say to the survey with this id. */
  | { readonly type: "surveyed"; readonly id: number; readonly result: SurveyResult }
  /** A tool of mine asks an agent why it picks which node. */
  | { readonly type: "explain"; readonly question: number; readonly request: ExplainRequest }
  /** What an agent of mine says to the question with this id, or that I have no such agent. */
  | { readonly type: "explained"; readonly id: number; readonly explained: Explained }
  /** These agents are linked to me. */
  | {
    readonly type: "agents";
    readonly round: number;
    readonly agents: readonly AgentSighting[];
  }
  /** An agent of mine has stopped because it was asked to. */
  | { readonly type: "goodbye"; readonly ip: number; readonly port: number }
  /** A writer says that it changed these modules; none named: any. */
  | { readonly type: "routesChanged"; readonly keys: readonly ModuleKey[] };

/** Plain values that a loop is started with. */
export interface RouteLoopInit extends SessionServerInit {
  readonly subscriptionsMax: number;
  /** All loops together keep at most this many subscriptions; this is the share of one. */
  readonly subscriptionsTotalMax: number;
}

/** Questions of tools under way in one loop; of more the oldest get no answer, and ask again. */
const QUESTIONS_MAX = 64;

interface Question {
  readonly peer: Connection;
  readonly seq: number;
  /** Of the question why, the module and the first node. */
  readonly explain?: ExplainRequest;
}

/** A server with its connections and what they are subscribed to. */
export class RouteLoop implements ServiceLoop<RouteTask> {
  readonly #server: SessionServer;
  readonly #routes: RemoteSource<RouteFrames>;
  readonly #publisher: Publisher<Connection, RouteFrames>;
  readonly #surveys: NodeUseSurveys<Connection>;
  readonly #explains: AgentExplains<Connection>;
  readonly #agents: LoopAgents<Connection>;
  readonly #fleet: FleetLoop<Connection>;
  readonly #madeUp: MadeUpBudget<Connection>;
  readonly #note: (note: RouteNote) => void;
  /** Tools that wait for a report, by the number of their question; the oldest are forgotten. */
  readonly #questions = new Map<number, Question>();
  readonly #termsTold = new Set<Connection>();
  readonly #digests = new KnownDigests<Connection>();
  /** All routes that are sent are as new as this; undefined: not known. */
  #plan: DatabaseState | undefined;
  #unchangedCount = 0;
  #questionCount = 0;
  #requestCount = 0;

  constructor(init: RouteLoopInit, around: LoopSurroundings<RouteNote>) {
    const { clock, log } = around;
    this.#note = (note) => around.note(note);
    this.#madeUp = new MadeUpBudget<Connection>(clock);
    this.#surveys = new NodeUseSurveys<Connection>({
      clock,
      nameOf: (peer) => agentName(peer.remote, this.#agents.statusOf(peer)),
      send: (peer, request) =>
        void peer.send(MessageId.NodeUseRequest, encodeNodeUseRequest(request)),
    });
    this.#explains = new AgentExplains<Connection>({
      clock,
      send: (peer, request) =>
        void peer.send(MessageId.ExplainRequest, encodeExplainRequest(request)),
    });
    this.#agents = new LoopAgents<Connection>({
      clock,
      sessionOf: (peer) => this.#server.sessionOf(peer),
    });
    this.#server = new SessionServer({
      role: "dns",
      init,
      clock,
      log,
      onClose: (peer) => this.#closed(peer),
      onDrain: (peer) => {
        this.#publisher.drained(peer);
        this.#fleet.drained(peer);
      },
      onGoodbye: (peer) => this.#goodbye(peer),
      pongDetail: () => this.#plan ?? {},
    });
    this.#routes = new RemoteSource<RouteFrames>({
      want: (modId, cmdId) => around.note({ type: "want", modId, cmdId }),
      drop: (keys) => around.note({ type: "drop", keys }),
    });
    this.#publisher = new Publisher<Connection, RouteFrames>(this.#routes, {
      send: (peer, frames, modId, cmdId) => this.#send(peer, frames, modId, cmdId),
      isBusy: (peer) => peer.pendingBytes > HIGH_WATER_BYTES,
      isNodeless: (frames) => frames.nodeless,
      mayFollowNodeless: (peer) => this.#madeUp.spend(peer),
      ended: (peer, modId, cmdId) => {
        if (!this.#server.isExtended(peer)) return;
        peer.send(MessageId.TableSubscribe, encodeTableSubscribe({ modId, cmdId, end: true }));
      },
    }, { perPeerMax: init.subscriptionsMax, totalMax: init.subscriptionsTotalMax });
    this.#server.router.add(MessageId.GetRouteRequest, (body, peer) => {
      const { modId, cmdId, digest } = decodeGetRouteRequest(body);
      this.#requestCount++;
      this.#digests.note(peer, moduleId(modId, cmdId), digest);
      this.#publisher.request(peer, modId, cmdId);
    });
    this.#server.router.add(MessageId.TableSubscribe, (body, peer) => {
      const { modId, cmdId, end } = decodeTableSubscribe(body);
      if (end) this.#publisher.unsubscribe(peer, [moduleId(modId, cmdId)]);
    });
    this.#server.router.add(MessageId.RouteChanged, (body) => {
      around.note({ type: "routesChanged", keys: decodeRouteChanged(body).modules });
    });
    this.#server.router.add(MessageId.AgentStatus, (body, peer) => {
      this.#agents.told(peer, decodeAgentStatus(body));
      this.#tellTerms(peer, init.subscriptionsMax);
    });
    this.#addQuestions();
    this.#fleet = this.#makeFleet();
  }

  #send(peer: Connection, frames: RouteFrames, modId: number, cmdId: number): void {
    if (!this.#server.isExtended(peer)) {
      peer.sendFrames(frames.legacy);
      return;
    }
    const { revision, plan } = frames;
    this.#agents.sent(peer, revision);
    if (!this.#digests.isKnown(peer, moduleId(modId, cmdId), () => frames.digest)) {
      peer.sendFrames(frames.extended);
      return;
    }
    this.#unchangedCount++;
    peer.send(
      MessageId.RouteUnchanged,
      encodeRouteUnchanged({ modId, cmdId, revision, ...plan }),
    );
  }

  #closed(peer: Connection): void {
    this.#termsTold.delete(peer);
    this.#digests.closed(peer);
    this.#publisher.closed(peer);
    this.#madeUp.closed(peer);
    this.#surveys.closed(peer);
    this.#explains.closed(peer);
    this.#agents.closed(peer);
    this.#fleet.closed(peer);
  }

  #makeFleet(): FleetLoop<Connection> {
    return new FleetLoop<Connection>({
      router: this.#server.router,
      note: this.#note,
      send: (peer, msgId, body) => void peer.send(msgId, body),
      isBusy: (peer) => peer.pendingBytes > HIGH_WATER_BYTES,
      roleOf: (peer) => this.#server.sessionOf(peer)?.role,
      agentsOf: ({ modId, cmdId }) => {
        let count = 0;
        for (const peer of this.#publisher.subscribers(modId, cmdId)) {
          if (this.#server.sessionOf(peer)?.role === "agent") count++;
        }
        return count;
      },
    });
  }

  /** What tools ask of agents, and what agents answer. */
  #addQuestions(): void {
    this.#server.router.add(MessageId.NodeUseRequest, (body, peer) => {
      const request = decodeNodeUseRequest(body);
      const question = this.#ask({ peer, seq: request.seq });
      this.#note({ type: "nodeUse", question, request });
    });
    this.#server.router.add(MessageId.ExplainRequest, (body, peer) => {
      const { token: _, ...request } = decodeExplainRequest(body);
      const question = this.#ask({ peer, seq: request.seq, explain: request });
      this.#note({ type: "explain", question, request });
    });
    this.#server.router.add(MessageId.ExplainResponse, (body, peer) => {
      const { seq, explanation } = decodeExplainResponse(body);
      this.#explains.answered(peer, seq, explanation);
    });
    this.#server.router.add(MessageId.NodeUse, (body, peer) => {
      const { seq, ...usage } = decodeNodeUse(body);
      this.#surveys.answered(peer, seq, usage);
    });
  }

  listen(port: number, reusePort: boolean): Promise<Address> {
    return this.#server.listen(port, reusePort);
  }

  onTask(task: RouteTask): void {
    if (task.type === "frames") {
      const { modId, cmdId, frames } = task;
      if (this.#routes.take(modId, cmdId, frames)) this.#publisher.publish(modId, cmdId);
    } else if (task.type === "survey") this.#survey(task.id, task.request);
    else if (task.type === "plan") this.#plan = task.plan;
    else if (task.type === "report") this.#report(task.question, task.result);
    else if (task.type === "explain") this.#explain(task.id, task.request);
    else if (task.type === "explained") this.#explained(task.question, task.explained);
    else if (task.type !== "agents") this.#fleet.onTask(task);
    else this.#note({ type: "agents", round: task.round, agents: this.#agents.sightings() });
  }

  setTrust(trust: PeerTrust): void {
    this.#server.setTrust(trust);
  }

  stats(): LoopStats {
    const counts = this.#publisher.counts;
    return {
      ...this.#server.stats(),
      requests: this.#requestCount,
      answers: counts.answered,
      pushes: counts.pushed,
      answers_unchanged: this.#unchangedCount,
      pushes_held_back: counts.pushesHeldBack,
      requests_dropped: counts.requestsDropped,
      subscriptions: counts.subscriptions,
      subscriptions_nodeless: counts.nodelessSubscriptions,
      subscription_bytes: counts.subscriptionBytes,
      peers_held: this.#madeUp.heldCount,
      subscriptions_refused: counts.subscriptionsRefused,
      subscriptions_ended: counts.subscriptionsEnded,
      ...this.#fleet.stats(),
      surveys_dropped: this.#surveys.droppedCount,
      explains_dropped: this.#explains.droppedCount,
    };
  }

  #goodbye(peer: Connection): void {
    const status = this.#agents.statusOf(peer);
    if (status === undefined) return;
    this.#agents.closed(peer);
    this.#note({ type: "goodbye", ip: status.ip, port: status.port });
  }

  leave(): Promise<void> {
    return this.#server.leave();
  }

  close(): Promise<void> {
    this.#surveys.close();
    this.#explains.close();
    return this.#server.close();
  }

  /** Once for each agent that said who it is. */
  #tellTerms(peer: Connection, modulesMax: number): void {
    if (this.#termsTold.has(peer)) return;
    this.#termsTold.add(peer);
    const terms = { modulesMax, nodelessMax: NODELESS_PER_PEER_MAX };
    peer.send(MessageId.SubscriptionTerms, encodeSubscriptionTerms(terms));
  }

  /**
   * A tool asks something.
   *
   * @returns the number of the question.
   * @throws {ProtocolError} when the peer never said Hello.
   */
  #ask(asked: Question): number {
    if (!this.#server.isExtended(asked.peer)) throw new ProtocolError("Hello must come first");
    const question = ++this.#questionCount;
    this.#questions.set(question, asked);
    if (this.#questions.size > QUESTIONS_MAX) {
      const [oldest] = this.#questions.keys();
      this.#questions.delete(oldest);
    }
    return question;
  }

  #explain(id: number, request: ExplainRequest): void {
    const { agentIp = 0, agentPort = 0 } = request;
    this.#explains.ask(
      request,
      this.#agents.find(agentIp, agentPort),
      (explained) => this.#note({ type: "explained", id, explained }),
    );
  }

  #explained(question: number, { outcome, explanation }: Explained): void {
    const asked = this.#questions.get(question);
    this.#questions.delete(question);
    if (asked?.explain === undefined) return;
    const { seq, modId, cmdId, from } = asked.explain;
    asked.peer.send(
      MessageId.ExplainResponse,
      encodeExplainResponse({ seq, modId, cmdId, from, explanation, outcome }),
    );
  }

  #survey(id: number, request: NodeUseRequest): void {
    const { modId, cmdId } = request;
    const peers = [...this.#publisher.subscribers(modId, cmdId)];
    const agents = peers.filter((peer) => this.#server.isExtended(peer));
    this.#surveys.start(
      request,
      agents,
      peers.length - agents.length,
      (result) => this.#note({ type: "surveyed", id, result }),
    );
  }

  #report(question: number, { agents, plain, cut }: SurveyResult): void {
    const asked = this.#questions.get(question);
    this.#questions.delete(question);
    // The tool may be gone by now; then sending does nothing.
    asked?.peer.send(
      MessageId.NodeUseReport,
      encodeNodeUseReport({ seq: asked.seq, agents, plain, cut }),
    );
  }
}

function agentName(remote: Address, status: AgentStatus | undefined): AgentName {
  const agent = formatAddress(remote);
  return status === undefined ? { agent } : { agent, agentIp: status.ip, agentPort: status.port };
}

interface Link {
  status: AgentStatus | undefined;
  /** Newest revision that was sent, and when. */
  sent: number;
  sentAtMs: number;
  /** The first one that was sent after the one before had arrived, and when. */
  mark: number;
  markAtMs: number;
}

/** Text of a stranger: without what moves a terminal's cursor, and not too long. */
function plainText(text: string, lengthMax: number): string {
  return text.replace(/\p{Cc}/gu, "").slice(0, lengthMax).toWellFormed();
}

/** The agents of one loop. Bounded by its connections: {@linkcode LoopAgents.closed} drops them. */
export class LoopAgents<P> {
  readonly #clock: Clock;
  readonly #sessionOf: (peer: P) => PeerSession | undefined;
  readonly #links = new Map<P, Link>();

  constructor(port: { clock: Clock; sessionOf(peer: P): PeerSession | undefined }) {
    this.#clock = port.clock;
    this.#sessionOf = (peer) => port.sessionOf(peer);
  }

  /**
   * A peer tells of itself.
   *
   * @throws {ProtocolError} when it is no agent that said Hello, or changes its name.
   */
  told(peer: P, status: AgentStatus): void {
    if (this.#sessionOf(peer)?.role !== "agent") {
      throw new ProtocolError("Only an agent that said Hello may send AgentStatus");
    }
    if (status.port < 1 || status.port > PORT_MAX) {
      throw new ProtocolError(
        `AgentStatus.port must be 1 to ${PORT_MAX}: current value is ${status.port}`,
      );
    }
    const link = this.#link(peer);
    const before = link.status;
    if (before !== undefined && (before.ip !== status.ip || before.port !== status.port)) {
      throw new ProtocolError("An agent must keep its name on a connection");
    }
    link.status = {
      ...status,
      zone: plainText(status.zone, ZONE_LENGTH_MAX),
      heldRoutes: plainText(status.heldRoutes, HELD_LENGTH_MAX),
    };
  }

  /** What a peer has told of itself; undefined: nothing. */
  statusOf(peer: P): AgentStatus | undefined {
    return this.#links.get(peer)?.status;
  }

  /** A route of this revision was sent to a peer that said Hello. */
  sent(peer: P, revision: number): void {
    const link = this.#link(peer);
    if (revision <= link.sent) return;
    link.sent = revision;
    link.sentAtMs = this.#clock.nowMs();
    if (this.#arrived(peer) < link.mark) return;
    link.mark = revision;
    link.markAtMs = link.sentAtMs;
  }

  /** A peer is gone. */
  closed(peer: P): void {
    this.#links.delete(peer);
  }

  /** The agent of this name: address of its host, unsigned, and the first of its ports. */
  find(ip: number, port: number): P | undefined {
    for (const [peer, { status }] of this.#links) {
      if (status !== undefined && status.ip === ip && status.port === port) return peer;
    }
    return undefined;
  }

  /** Every agent that has told of itself. */
  sightings(): AgentSighting[] {
    const nowMs = this.#clock.nowMs();
    const sightings: AgentSighting[] = [];
    for (const [peer, link] of this.#links) {
      const session = this.#sessionOf(peer);
      if (link.status === undefined || session === undefined) continue;
      sightings.push({
        status: link.status,
        software: plainText(session.software, Infinity),
        heardMsAgo: nowMs - session.heardAtMs,
        behindMs: this.#behindMs(peer, link, nowMs),
      });
    }
    return sightings;
  }

  #behindMs(peer: P, link: Link, nowMs: number): number {
    const arrived = this.#arrived(peer);
    if (arrived >= link.sent) return 0;
    return nowMs - (arrived >= link.mark ? link.sentAtMs : link.markAtMs);
  }

  #arrived(peer: P): number {
    return this.#sessionOf(peer)?.revision ?? 0;
  }

  #link(peer: P): Link {
    let link = this.#links.get(peer);
    if (link === undefined) {
      link = { status: undefined, sent: 0, sentAtMs: 0, mark: 0, markAtMs: 0 };
      this.#links.set(peer, link);
    }
    return link;
  }
}
