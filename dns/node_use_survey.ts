// Core. Asks the agents of one loop whether a node is still used, and gathers what they say.

import {
  type AgentUse,
  encodeNodeUseReport,
  type NodeUsage,
  type NodeUseRequest,
} from "../proto/codec.ts";
import { NodeUseState } from "../proto/message_ids.ts";
import { FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import type { Clock, Timer } from "../reactor/time/clock.ts";

/** Surveys under way in one loop; further ones are dropped, and the tool asks again. */
export const SURVEYS_MAX = 32;

/** Time agents have to answer; then they are reported as silent. */
export const SURVEY_MS = 500;

/** Agents in one report, each of some 50 bytes. Those that matter most come first. */
export const AGENTS_REPORTED_MAX = 1000;

/** Which agent is spoken of. */
export type AgentName = Pick<AgentUse, "agent" | "agentIp" | "agentPort">;

/** What a loop found out. */
export interface SurveyResult {
  readonly agents: AgentUse[];
  /** Peers of the original protocol that are subscribed. */
  readonly plain: number;
  readonly cut: boolean;
}

interface Survey<P> {
  readonly waitsFor: Set<P>;
  readonly agents: AgentUse[];
  readonly plain: number;
  readonly timer: Timer;
  readonly done: (result: SurveyResult) => void;
}

/** What {@linkcode NodeUseSurveys} needs of its loop. */
export interface SurveyPort<P> {
  readonly clock: Clock;
  /** `host:port` of a peer, and its name as an agent, if it has told. */
  nameOf(peer: P): AgentName;
  send(peer: P, request: NodeUseRequest): void;
}

/** The surveys of one loop. */
export class NodeUseSurveys<P> {
  readonly #port: SurveyPort<P>;
  readonly #surveys = new Map<number, Survey<P>>();
  #nextSeq = 1;
  #dropped = 0;

  constructor(port: SurveyPort<P>) {
    this.#port = port;
  }

  /** Surveys not begun because too many were under way. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /** Asks peers, `plain` of which cannot be asked; `done` is called once, unless it is dropped. */
  start(
    request: NodeUseRequest,
    peers: readonly P[],
    plain: number,
    done: (result: SurveyResult) => void,
  ): void {
    if (peers.length === 0) return done({ agents: [], plain, cut: false });
    if (this.#surveys.size >= SURVEYS_MAX) {
      this.#dropped++;
      return;
    }
    const seq = this.#nextSeq;
    this.#nextSeq = (this.#nextSeq + 1) >>> 0;
    const timer = this.#port.clock.setTimer(SURVEY_MS, () => this.#finish(seq));
    this.#surveys.set(seq, { waitsFor: new Set(peers), agents: [], plain, timer, done });
    for (const peer of peers) this.#port.send(peer, { ...request, seq });
  }

  /** A peer answers the survey `seq`. */
  answered(peer: P, seq: number, usage: NodeUsage): void {
    const survey = this.#surveys.get(seq);
    if (survey === undefined || !survey.waitsFor.delete(peer)) return;
    survey.agents.push({ ...this.#port.nameOf(peer), ...plainUsage(usage), silent: false });
    if (survey.waitsFor.size === 0) this.#finish(seq);
  }

  /** A peer is gone: what it does with the node is not known. */
  closed(peer: P): void {
    for (const [seq, survey] of this.#surveys) {
      if (!survey.waitsFor.delete(peer)) continue;
      survey.agents.push(silentAgent(this.#port.nameOf(peer)));
      if (survey.waitsFor.size === 0) this.#finish(seq);
    }
  }

  /** Ends all without a word. */
  close(): void {
    for (const { timer } of this.#surveys.values()) timer.cancel();
    this.#surveys.clear();
  }

  #finish(seq: number): void {
    const survey = this.#surveys.get(seq);
    if (survey === undefined) return;
    this.#surveys.delete(seq);
    survey.timer.cancel();
    for (const peer of survey.waitsFor) survey.agents.push(silentAgent(this.#port.nameOf(peer)));
    survey.done(mostImportant(survey.agents, survey.plain));
  }
}

/** What several loops found out, as one. */
export function joinSurveys(results: readonly SurveyResult[]): SurveyResult {
  const plain = results.reduce((sum, result) => sum + result.plain, 0);
  const { agents, cut } = mostImportant(results.flatMap((result) => result.agents), plain);
  return { agents, plain, cut: cut || results.some((result) => result.cut) };
}

/** A report as it is sent: without the agents that matter least where not all fit a frame. */
export function surveyReportBody(seq: number, { agents, plain, cut }: SurveyResult): Uint8Array {
  for (let count = agents.length;; count = Math.floor(count * 0.9)) {
    const some = agents.slice(0, count);
    const isCut = cut || count < agents.length;
    const body = encodeNodeUseReport({ seq, agents: some, plain, cut: isCut });
    // Names of agents are long over IPv6, and what they say of themselves may be any number.
    if (body.length <= FRAME_BODY_BYTES_MAX) return body;
  }
}

function silentAgent(name: AgentName): AgentUse {
  return { ...name, state: NodeUseState.Unknown, clients: 0, silent: true };
}

function plainUsage({ state, idleMs, clients }: NodeUsage): NodeUsage {
  return idleMs === undefined ? { state, clients } : { state, idleMs, clients };
}

/** Those that may pick the node first, then the silent ones, then those that used it last. */
function mostImportant(agents: readonly AgentUse[], plain: number): SurveyResult {
  const rank = ({ state, silent, idleMs }: AgentUse): number => {
    if (state === NodeUseState.Picked) return -2;
    if (silent) return -1;
    return state === NodeUseState.Draining ? idleMs ?? 0 : Infinity;
  };
  const sorted = agents.toSorted((a, b) => {
    const [left, right] = [rank(a), rank(b)];
    return left === right ? 0 : left - right;
  });
  return {
    agents: sorted.slice(0, AGENTS_REPORTED_MAX),
    plain,
    cut: agents.length > AGENTS_REPORTED_MAX,
  };
}

/** Time that all loops have together; those that say nothing are left out as if cut. */
export const INQUIRY_MS = SURVEY_MS + 200;

/** What {@linkcode NodeUseInquiries} needs. */
export interface InquiryPort {
  readonly clock: Clock;
  readonly loopCount: number;
  /** Lets every loop make a survey. */
  survey(id: number, request: NodeUseRequest): void;
  /** Gives the loop that asked what all found out. */
  report(loop: number, question: number, result: SurveyResult): void;
}

interface Inquiry {
  readonly loop: number;
  readonly question: number;
  readonly results: Map<number, SurveyResult>;
  readonly timer: Timer;
}

/** The questions of tools at the loops, on the main thread: each is put to all loops. */
export class NodeUseInquiries {
  readonly #port: InquiryPort;
  readonly #inquiries = new Map<number, Inquiry>();
  #nextId = 1;

  constructor(port: InquiryPort) {
    this.#port = port;
  }

  /** A tool of a loop asks. More than `SURVEYS_MAX` at once are dropped: the tool asks again. */
  ask(loop: number, question: number, request: NodeUseRequest): void {
    if (this.#inquiries.size >= SURVEYS_MAX) return;
    const id = this.#nextId++;
    const timer = this.#port.clock.setTimer(INQUIRY_MS, () => this.#finish(id));
    this.#inquiries.set(id, { loop, question, results: new Map(), timer });
    this.#port.survey(id, request);
  }

  /** A loop has made its survey. */
  surveyed(id: number, loop: number, result: SurveyResult): void {
    const inquiry = this.#inquiries.get(id);
    if (inquiry === undefined) return;
    inquiry.results.set(loop, result);
    if (inquiry.results.size === this.#port.loopCount) this.#finish(id);
  }

  /** Ends all without a word. */
  close(): void {
    for (const { timer } of this.#inquiries.values()) timer.cancel();
    this.#inquiries.clear();
  }

  #finish(id: number): void {
    const inquiry = this.#inquiries.get(id);
    if (inquiry === undefined) return;
    this.#inquiries.delete(id);
    inquiry.timer.cancel();
    const { loop, question, results } = inquiry;
    const joined = joinSurveys([...results.values()]);
    const missing = results.size < this.#port.loopCount;
    this.#port.report(loop, question, { ...joined, cut: joined.cut || missing });
  }
}
