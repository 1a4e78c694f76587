// Shell. An in-process client's stream to the agent of its host.

import type { ModuleReport } from "../balancer/routes/route_records.ts";
import { RouteParts } from "../feed/route_subscriber.ts";
import {
  decodeCallReportsTaken,
  decodeTableSettings,
  encodeCallReports,
  encodeTableSubscribe,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Rng } from "../reactor/time/rng.ts";
import type { Link } from "../session/link.ts";
import { BATCH_NODES_MAX, CallLedger } from "./call_ledger.ts";
import type { Upstream, UpstreamEvents, UpstreamStats } from "./upstream.ts";
import { openUpstreamLink } from "./upstream_link.ts";
import type { ClientTls } from "./tls_option.ts";

/** Least time between two batches of results, unless one is full earlier. */
export const BATCH_INTERVAL_MS = 1000;

/** Time that `close` gives the agent to confirm what waits. */
export const CLOSE_MS_MAX = 1000;

/**
 * Time after connecting for which results wait until the agent has sent every route again: one that
 * has just started ignores calls of nodes it does not know yet.
 */
export const SETTLE_MS_MAX = 5000;

/** Time an agent may take to confirm a batch; one that takes longer is left. */
export const CONFIRM_MS_MAX = 5000;

/** What an upstream of either kind is given. */
export interface UpstreamOptions {
  readonly token: Uint8Array | undefined;
  readonly tls?: ClientTls | undefined;
  /** Most nodes with results that wait. */
  readonly resultsMax: number;
  /** For what must be waited for. */
  readonly clock: Clock;
  /** For what must not keep the program alive. */
  readonly background: Clock;
  readonly rng: Rng;
  readonly events: UpstreamEvents;
}

/** Routes from the agent, outcomes of calls to it. */
export class AgentUpstream implements Upstream {
  readonly #options: UpstreamOptions;
  readonly #link: Link;
  readonly calls: CallLedger;
  readonly #parts = new RouteParts();
  #batchAtMs = -Infinity;
  #batches = 0;
  #readyAtMs = 0;
  /** True: the batch under way must be sent again, over a new connection. */
  #repeat = false;
  /** Called when the last batch is confirmed, while closing. */
  #emptied: (() => void) | undefined;

  constructor(addresses: readonly Address[], options: UpstreamOptions) {
    const { token, tls, background, rng, events } = options;
    this.#options = options;
    this.calls = new CallLedger(Math.floor(rng.next() * 2 ** 53), options.resultsMax);
    this.#link = openUpstreamLink({
      addresses,
      token,
      tls,
      welcomeWaitMs: Infinity,
      clock: background,
      rng,
      onHeard: events.onHeard,
      onReady: () => {
        this.#readyAtMs = background.nowMs();
        this.#repeat = true;
        events.onReady();
        if (this.#emptied !== undefined) this.#sendLast();
      },
      onLost: () => {
        this.#parts.clear();
        events.onLost();
      },
    });
    for (const msgId of [MessageId.GetRouteResponse, MessageId.RoutePart]) {
      this.#link.router.add(msgId, (body) => {
        const route = this.#parts.read(msgId, body);
        if (route === undefined) return;
        events.onRoute(route.modId, route.cmdId, route.hosts, route.policy ?? "");
      });
    }
    this.#link.router.add(MessageId.TableSettings, (body) => {
      const { rules, zone } = decodeTableSettings(body);
      events.onSettings(rules, zone);
    });
    this.#link.router.add(
      MessageId.CallReportsTaken,
      (body) => this.#confirmed(decodeCallReportsTaken(body).seq),
    );
  }

  get source(): Link {
    return this.#link;
  }

  get stats(): UpstreamStats {
    return {
      connects: this.#link.connectCount,
      resultsPending: this.calls.nodeCount,
      resultsDropped: this.calls.droppedCount,
      batches: this.#batches,
    };
  }

  start(): void {
    this.#link.start();
  }

  ask(modId: number, cmdId: number): void {
    this.#link.send(MessageId.TableSubscribe, encodeTableSubscribe({ modId, cmdId, end: false }));
  }

  forget(modId: number, cmdId: number): void {
    this.#link.send(MessageId.TableSubscribe, encodeTableSubscribe({ modId, cmdId, end: true }));
  }

  /** The agent judges nodes by the calls themselves; who got no node it cannot know. */
  addReports(reports: readonly ModuleReport[]): void {
    for (const { modId, cmdId, refused } of reports) {
      if (refused !== undefined) this.calls.addRefused(modId, cmdId, refused);
    }
  }

  tick(nowMs: number, settled: boolean): void {
    if (!this.#link.ready || (!settled && nowMs - this.#readyAtMs < SETTLE_MS_MAX)) return;
    if (this.#repeat) {
      this.#batchAtMs = nowMs;
      this.#sendBatch();
    }
    if (this.calls.unconfirmed !== undefined && nowMs - this.#batchAtMs > CONFIRM_MS_MAX) {
      this.#link.failOver("results are not confirmed");
      return;
    }
    const due = nowMs - this.#batchAtMs >= BATCH_INTERVAL_MS ||
      this.calls.waitingNodes >= BATCH_NODES_MAX;
    if (due) this.#nextBatch(nowMs);
  }

  async close(): Promise<void> {
    const { clock } = this.#options;
    if (this.calls.nodeCount > 0) {
      await new Promise<void>((resolve) => {
        const timer = clock.setTimer(CLOSE_MS_MAX, resolve);
        this.#emptied = (): void => {
          timer.cancel();
          resolve();
        };
        if (this.#link.ready) this.#sendLast();
      });
    }
    this.#emptied = undefined;
    await this.#link.close();
  }

  /** While closing: there is no time to wait for routes. */
  #sendLast(): void {
    if (this.#repeat) this.#sendBatch();
    this.#nextBatch(this.#options.clock.nowMs());
  }

  #nextBatch(nowMs: number): void {
    if (this.calls.take() === undefined) return;
    this.#batchAtMs = nowMs;
    this.#sendBatch();
  }

  #sendBatch(): void {
    this.#repeat = false;
    const batch = this.calls.unconfirmed;
    if (batch === undefined) return;
    if (this.#link.send(MessageId.CallReports, encodeCallReports(batch))) this.#batches++;
    // Never half: what is not taken now is sent over a new connection, which counts it once.
    else this.#link.failOver("the agent does not read");
  }

  #confirmed(seq: number): void {
    this.calls.confirm(seq);
    if (this.#emptied === undefined) return;
    if (this.calls.nodeCount === 0) this.#emptied();
    else this.#nextBatch(this.#options.clock.nowMs());
  }
}
