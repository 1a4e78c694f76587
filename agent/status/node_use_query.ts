// Core. Questions of dns whether a node is still used: put to the loops, gathered, answered.

import { joinUsages } from "../../balancer/routes/drain_watch.ts";
import { NodeUseState } from "../../proto/message_ids.ts";
import type { NodeUsage, NodeUse, NodeUseRequest } from "../../proto/codec.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";

/** Questions under way at once; further ones are dropped, and dns calls this agent silent. */
export const NODE_QUERIES_OPEN_MAX = 64;

/** Time the loops have; then the question is dropped. */
export const NODE_USE_QUERY_MS = 400;

/** In-process clients that have the route of a module from this agent. */
export interface FeedUsage {
  readonly clients: number;
  /** Of them: have not been sent the latest route yet. */
  readonly behind: number;
}

interface Question {
  readonly seq: number;
  readonly waitsFor: Set<number>;
  readonly usages: NodeUsage[];
  readonly timer: Timer;
}

/** What a {@linkcode NodeUseQueries} needs. */
export interface NodeUseQueriesOptions {
  readonly clock: Clock;
  /** Puts a question to the loop of a shard. */
  ask(shard: number, id: number, request: NodeUseRequest): void;
  answer(message: NodeUse): void;
}

/** The desk. A question that cannot be answered in time is not: dns asks again. */
export class NodeUseQueries {
  readonly #options: NodeUseQueriesOptions;
  readonly #questions = new Map<number, Question>();
  #nextId = 1;

  constructor(options: NodeUseQueriesOptions) {
    this.#options = options;
  }

  /** Dns asks; `shards` know the module. */
  request(request: NodeUseRequest, shards: readonly number[], feed: FeedUsage): void {
    const { clock, ask, answer } = this.#options;
    const ofFeed: NodeUsage = {
      // A client that has not been told yet may pick whatever it was told before.
      state: feed.behind > 0 ? NodeUseState.Picked : NodeUseState.Unknown,
      clients: feed.clients,
    };
    if (shards.length === 0) return answer({ seq: request.seq, ...ofFeed });
    if (this.#questions.size >= NODE_QUERIES_OPEN_MAX) return;
    const id = this.#nextId++;
    const timer = clock.setTimer(NODE_USE_QUERY_MS, () => void this.#questions.delete(id));
    const waitsFor = new Set(shards);
    this.#questions.set(id, { seq: request.seq, waitsFor, usages: [ofFeed], timer });
    for (const shard of shards) ask(shard, id, request);
  }

  /** A loop answers. */
  answered(id: number, shard: number, usage: NodeUsage): void {
    const question = this.#questions.get(id);
    if (question === undefined || !question.waitsFor.delete(shard)) return;
    question.usages.push(usage);
    if (question.waitsFor.size > 0) return;
    question.timer.cancel();
    this.#questions.delete(id);
    this.#options.answer({ seq: question.seq, ...joinUsages(question.usages) });
  }

  /** Drops every question. */
  close(): void {
    for (const { timer } of this.#questions.values()) timer.cancel();
    this.#questions.clear();
  }
}
