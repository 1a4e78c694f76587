// Shell. Makes the health checks that the plan asks for: connections, GETs and pings.

import { decodePong, encodePing, frameHello } from "../../proto/codec.ts";
import { HELLO_PROTOCOL, MessageId } from "../../proto/message_ids.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { messageOf } from "../../reactor/errors.ts";
import { encodeFrame, FrameDecoder } from "../../reactor/frame.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { runtime, type Stream } from "../../reactor/runtime/mod.ts";
import {
  type HealthCheck,
  type HealthModule,
  HealthPlan,
  type HealthVerdict,
} from "./health_plan.ts";
import type { HealthTarget } from "./health_plan.ts";

/** Most of an HTTP answer that is read: its first line is all that counts. */
const HTTP_LINE_BYTES_MAX = 256;

/** What a {@linkcode HealthChecker} is given. */
export interface HealthCheckerOptions {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly software: string;
  /** The balancer must hear this. */
  onVerdict(verdict: HealthVerdict): void;
}

/** The checks of one agent. Nothing runs while no module asks for checks. */
export class HealthChecker {
  readonly #options: HealthCheckerOptions;
  readonly #plan: HealthPlan;
  readonly #abort = new AbortController();
  readonly #counts = { checks: 0, bad: 0, verdicts: 0 };
  #timer: Timer | undefined;

  constructor(options: HealthCheckerOptions) {
    this.#options = options;
    this.#plan = new HealthPlan(options.rng);
  }

  /** Counters since the start, and present sizes, under the names of the status. */
  get stats(): Readonly<Record<string, number>> {
    const { targets, running, dropped } = this.#plan.stats;
    return {
      healthTargets: targets,
      healthTargetsDropped: dropped,
      healthRunning: running,
      healthChecks: this.#counts.checks,
      healthChecksBad: this.#counts.bad,
      healthVerdicts: this.#counts.verdicts,
    };
  }

  /** A module's route or policy has changed. */
  setModule(module: HealthModule): void {
    this.#plan.setModule(module, this.#options.clock.nowMs());
    this.#schedule();
  }

  /** The module is not used any more. */
  forget(modId: number, cmdId: number): void {
    this.#plan.forget(modId, cmdId);
  }

  /** The balancer has put a node out, or taken it back. */
  setDoubt(target: HealthTarget, inDoubt: boolean): void {
    this.#plan.setDoubt(target, inDoubt, this.#options.clock.nowMs());
    this.#schedule();
  }

  close(): void {
    this.#timer?.cancel();
    this.#abort.abort();
  }

  #schedule(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { nextDueMs } = this.#plan;
    if (nextDueMs === Infinity || this.#abort.signal.aborted) return;
    const { clock } = this.#options;
    const waitMs = Math.max(0, Math.ceil(nextDueMs - clock.nowMs()));
    this.#timer = clock.setTimer(waitMs, () => this.#begin());
  }

  #begin(): void {
    for (const check of this.#plan.take(this.#options.clock.nowMs())) void this.#run(check);
    this.#schedule();
  }

  async #run(check: HealthCheck): Promise<void> {
    const { clock, onVerdict } = this.#options;
    const fault = await this.#check(check);
    if (this.#abort.signal.aborted) return;
    this.#counts.checks++;
    if (fault !== undefined) this.#counts.bad++;
    const verdict = this.#plan.finished(check, fault, clock.nowMs());
    if (verdict !== undefined) {
      this.#counts.verdicts++;
      onVerdict(verdict);
    }
    this.#schedule();
  }

  /** Makes one check. @returns what was wrong; undefined = it was good. */
  #check(check: HealthCheck): Promise<string | undefined> {
    const { clock, software } = this.#options;
    const { ip, port, settings } = check;
    const abort = new AbortController();
    let stream: Stream | undefined;
    return new Promise((resolve) => {
      const finish = (fault: string | undefined): void => {
        timer.cancel();
        this.#abort.signal.removeEventListener("abort", stop);
        abort.abort();
        stream?.close();
        resolve(fault);
      };
      const stop = (): void => finish("stopped");
      const timer = clock.setTimer(
        settings.timeoutMs,
        () => finish(`no answer in ${settings.timeoutMs} ms`),
      );
      this.#abort.signal.addEventListener("abort", stop);
      const target = { hostname: formatIpv4(ip), port: settings.port || port };
      runtime.connectTcp({ ...target, signal: abort.signal }).then((opened) => {
        // Too late: nobody waits for it any more.
        if (abort.signal.aborted) return opened.close();
        stream = opened;
        const talk = conversationOf(check, `${target.hostname}:${target.port}`, software);
        opened.start({
          onData: (chunk) => talk.onData(chunk, opened, finish),
          onDrain: () => {},
          onEnd: () => finish("closed without an answer"),
          onClose: (reason) => finish(reason),
        });
        if (talk.first === undefined) finish(undefined);
        else opened.write(talk.first);
      }).catch((error) => finish(messageOf(error)));
    });
  }
}

/** What is said to a node, and what its answer means. */
interface Conversation {
  /** Undefined: to be connected is all. */
  readonly first: Uint8Array | undefined;
  onData(chunk: Uint8Array, stream: Stream, finish: (fault: string | undefined) => void): void;
}

function conversationOf(check: HealthCheck, host: string, software: string): Conversation {
  switch (check.settings.kind) {
    case "tcp":
      return { first: undefined, onData: () => {} };
    case "http":
      return httpConversation(check.settings.path, host, software);
    case "ping":
      return pingConversation(software);
  }
}

/** 2xx and 3xx are good; a redirection is not followed. */
function httpConversation(path: string, host: string, software: string): Conversation {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    // What software says of itself may hold what a header must not.
    `User-Agent: ${software.replace(/[^\x20-\x7e]/g, "?")}`,
    "Connection: close",
    "",
    "",
  ];
  let answer = "";
  return {
    first: new TextEncoder().encode(lines.join("\r\n")),
    onData: (chunk, _stream, finish): void => {
      answer += String.fromCharCode(...chunk.subarray(0, HTTP_LINE_BYTES_MAX - answer.length));
      const end = answer.indexOf("\n");
      if (end < 0 && answer.length < HTTP_LINE_BYTES_MAX) return;
      const status = /^HTTP\/1\.[01] (\d{3})(?:[ \r\n]|$)/.exec(answer)?.[1];
      if (status === undefined) return finish("no answer of HTTP");
      finish(/^[23]/.test(status) ? undefined : `status ${status}`);
    },
  };
}

/** Hello first, as everything of ours; the Ping follows its answer. */
function pingConversation(software: string): Conversation {
  const decoder = new FrameDecoder();
  return {
    first: frameHello({ protocol: HELLO_PROTOCOL, software, role: "agent" }),
    onData: (chunk, stream, finish): void => {
      try {
        decoder.push(chunk, (msgId, body) => {
          if (msgId === MessageId.Hello) {
            stream.write(encodeFrame(MessageId.Ping, encodePing({ seq: 1 })));
          } else if (msgId === MessageId.Pong) {
            finish(decodePong(body).seq === 1 ? undefined : "the wrong Pong");
          }
        });
      } catch (error) {
        finish(messageOf(error));
      }
    },
  };
}
