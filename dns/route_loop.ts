// Shell. One event loop of dns: accepts connections, answers, pushes, and keeps what agents tell.

import { type Address, formatAddress } from "../reactor/address.ts";
import { HIGH_WATER_BYTES } from "../reactor/tcp/framed_link.ts";
import type { Connection } from "../reactor/tcp/tcp_server.ts";
import type { PeerTrust } from "../session/peer_trust.ts";
import { SessionServer, type SessionServerInit } from "../session/session_server.ts";
import { ProtocolError } from "../reactor/errors.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import type { LoopStats, LoopSurroundings, ServiceLoop } from "../service/loops/loop_group.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  type AgentStatus,
  decodeAgentStatus,
  decodeExplainRequest,
  decodeExplainResponse,
  decodeExportStatus,
  decodeGetRouteRequest,
  decodeNodeUse,
  decodeNodeUseRequest,
  decodeRouteChanged,
  decodeTableSubscribe,
  encodeExplainRequest,
  encodeNodeUseRequest,
  encodeRouteUnchanged,
  encodeSubscriptionTerms,
  encodeTableSubscribe,
  type ExplainRequest,
  type NodeUseRequest,
  type Pong,
} from "../proto/codec.ts";
import { type ModuleId, moduleId, type ModuleKey, UINT32_MAX } from "../model/module.ts";
import { NODELESS_PER_PEER_MAX, Publisher, RemoteSource } from "../feed/publisher.ts";
import { AgentExplains, type Explained, explainedBody } from "./agent_explain.ts";
import { MadeUpBudget } from "./made_up_budget.ts";
import { type AgentSighting, LoopAgents, type OtherSightings } from "./linked_peers.ts";
import { FleetLoop, type FleetNote, type FleetTask } from "./fleet_loop.ts";
import {
  type AgentName,
  NodeUseSurveys,
  surveyReportBody,
  type SurveyResult,
} from "./node_use_survey.ts";
import { KnownDigests } from "./known_digests.ts";
import type { RouteFrames } from "./route_frames.ts";
import type { DatabaseState } from "../model/database_state.ts";

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
  /** For how long the database has not been read; undefined: it is. */
  | { readonly type: "behind"; readonly behindMs: number | undefined }
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
    readonly others: OtherSightings;
  }
  /** An export of mine has stopped because it was asked to. */
  | { readonly type: "exportGone"; readonly name: string }
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

/**
 * A subscription to a module without nodes ends when its peer has not asked for so long: nobody may
 * want it any more. Agents and clients of ours ask far more often for what is used, and ask again
 * when they are told of the end.
 */
export const NODELESS_UNASKED_MS_MAX = 600_000;

/** How often these are looked for, and how many end at once: 30,000 take two minutes. */
const NODELESS_LOOK_MS = 1000;
const NODELESS_ENDS_MAX = 256;

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
  readonly #clock: Clock;
  #nodelessTimer: Timer | undefined;
  /** Tools that wait for a report, by the number of their question; the oldest are forgotten. */
  readonly #questions = new Map<number, Question>();
  readonly #termsTold = new Set<Connection>();
  readonly #digests = new KnownDigests<Connection>();
  /** All routes that are sent are as new as this; undefined: not known. */
  #plan: DatabaseState | undefined;
  /** Since when the database has not been read, by the clock of this loop; undefined: it is. */
  #behindSinceMs: number | undefined;
  #unchangedCount = 0;
  #questionCount = 0;
  #requestCount = 0;

  constructor(init: RouteLoopInit, around: LoopSurroundings<RouteNote>) {
    const { clock, log } = around;
    this.#note = (note) => around.note(note);
    this.#clock = clock;
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
      transport: around.sockets,
      onClose: (peer) => this.#closed(peer),
      onDrain: (peer) => {
        this.#publisher.drained(peer);
        this.#fleet.drained(peer);
      },
      onGoodbye: (peer) => this.#goodbye(peer),
      pongDetail: () => ({ ...this.#plan, ...this.#behind() }),
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
      nowMs: () => clock.nowMs(),
      ended: (peer, modId, cmdId) => this.#tellEnd(peer, { modId, cmdId }),
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
    this.#server.router.add(MessageId.ExportStatus, (body, peer) => {
      this.#agents.toldExport(peer, decodeExportStatus(body));
    });
    this.#addQuestions();
    this.#fleet = this.#makeFleet();
  }

  #behind(): Pick<Pong, "behindMs"> {
    const sinceMs = this.#behindSinceMs;
    if (sinceMs === undefined) return {};
    return { behindMs: Math.min(UINT32_MAX, Math.round(this.#clock.nowMs() - sinceMs)) };
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

  #tellEnd(peer: Connection, key: ModuleKey): void {
    if (!this.#server.isExtended(peer)) return;
    peer.send(MessageId.TableSubscribe, encodeTableSubscribe({ ...key, end: true }));
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
    this.#nodelessTimer = setRepeating(this.#clock, NODELESS_LOOK_MS, () => {
      const askedBeforeMs = this.#clock.nowMs() - NODELESS_UNASKED_MS_MAX;
      this.#publisher.endNodeless(askedBeforeMs, NODELESS_ENDS_MAX);
    });
    return this.#server.listen(port, reusePort);
  }

  onTask(task: RouteTask): void {
    if (task.type === "frames") {
      const { modId, cmdId, frames } = task;
      if (this.#routes.take(modId, cmdId, frames)) this.#publisher.publish(modId, cmdId);
    } else if (task.type === "survey") this.#survey(task.id, task.request);
    else if (task.type === "plan") this.#plan = task.plan;
    else if (task.type === "behind") {
      const { behindMs } = task;
      this.#behindSinceMs = behindMs === undefined ? undefined : this.#clock.nowMs() - behindMs;
    } else if (task.type === "report") this.#report(task.question, task.result);
    else if (task.type === "explain") this.#explain(task.id, task.request);
    else if (task.type === "explained") this.#explained(task.question, task.explained);
    else if (task.type !== "agents") this.#fleet.onTask(task);
    else {
      const [agents, others] = [this.#agents.sightings(), this.#agents.others()];
      this.#note({ type: "agents", round: task.round, agents, others });
    }
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
    const exported = this.#agents.exportOf(peer);
    this.#agents.closed(peer);
    if (exported !== undefined) this.#note({ type: "exportGone", name: exported });
    if (status === undefined) return;
    this.#note({ type: "goodbye", ip: status.ip, port: status.port });
  }

  leave(): Promise<void> {
    return this.#server.leave();
  }

  close(): Promise<void> {
    this.#nodelessTimer?.cancel();
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

  #explained(question: number, explained: Explained): void {
    const asked = this.#questions.get(question);
    this.#questions.delete(question);
    if (asked?.explain === undefined) return;
    asked.peer.send(MessageId.ExplainResponse, explainedBody(asked.explain, explained));
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

  #report(question: number, result: SurveyResult): void {
    const asked = this.#questions.get(question);
    this.#questions.delete(question);
    // The tool may be gone by now; then sending does nothing.
    asked?.peer.send(MessageId.NodeUseReport, surveyReportBody(asked.seq, result));
  }
}

function agentName(remote: Address, status: AgentStatus | undefined): AgentName {
  const agent = formatAddress(remote);
  return status === undefined ? { agent } : { agent, agentIp: status.ip, agentPort: status.port };
}
