// Shell. Listens for the questions of HAProxy's agent checks: one line, one line back, the end.

import { createServer, type Server, type Socket } from "node:net";
import { type Address, formatAddress } from "../../reactor/address.ts";
import { BindError, messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { listenWithin } from "../../reactor/tcp/waiting_places.ts";
import { type Clock, setRepeating } from "../../reactor/time/clock.ts";
import { RecentAskers } from "../recent_askers.ts";
import { StreamPlaces } from "../stream_places.ts";
import { AGENT_QUESTION_BYTES_MAX, type AgentCheckAnswers } from "./agent_check.ts";

/** Connections at once; for a further one that is closed which never asked, or was silent for longest. */
export const AGENT_STREAMS_MAX = 1_024;

/** Time in which a question has to come, and its asker to go. */
export const QUESTION_MS = 2_000;

/** At its end it goes on for so long, to say what shall last to those who ask. */
const FAREWELL_MS = 1_500;

/** Time between two looks whether all of them have asked. */
const FAREWELL_LOOK_MS = 50;

/** What {@linkcode AgentCheckServer} is given. */
export interface AgentCheckServerOptions {
  readonly answers: AgentCheckAnswers;
  readonly hostname: string;
  readonly port: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The responder. */
export class AgentCheckServer {
  readonly #options: AgentCheckServerOptions;
  readonly #places = new StreamPlaces(AGENT_STREAMS_MAX);
  /** Who has asked lately. */
  readonly recent: RecentAskers;
  readonly #server: Server;
  readonly #counts = { checks: 0, unknown: 0 };

  constructor(options: AgentCheckServerOptions) {
    this.#options = options;
    this.recent = new RecentAskers(options.clock);
    this.#server = createServer((stream) => this.#serve(stream));
  }

  /** Checks answered, questions of which nothing was known, connections closed for others. */
  get stats(): Readonly<Record<string, number>> {
    const { checks, unknown } = this.#counts;
    return {
      haproxy_agent_checks: checks,
      haproxy_agent_unknown: unknown,
      haproxy_agent_refused: this.#places.refusedCount,
    };
  }

  /** @throws {BindError} when the port is taken. */
  listen(): Promise<Address> {
    const { hostname, port } = this.#options;
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        const text = formatAddress({ hostname, port });
        const message = `Cannot listen on ${text} for agent checks: ${messageOf(error)}`;
        reject(new BindError(text, true, message, { cause: error }));
      };
      this.#server.once("error", fail);
      listenWithin(this.#server, { hostname, port }, () => {
        this.#server.removeListener("error", fail);
        this.#server.on("error", (error) => {
          this.#options.log.warn("The port for agent checks has a fault", {
            reason: error.message,
          });
        });
        const address = this.#server.address();
        const bound = typeof address === "object" && address !== null ? address.port : port;
        resolve({ hostname, port: bound });
      });
    });
  }

  /** Waits, if it has to and not for long, until all who were told of sick nodes know better. */
  async stop(): Promise<void> {
    const { answers, clock } = this.#options;
    answers.end();
    const endMs = clock.nowMs() + FAREWELL_MS;
    if (answers.hasDown) {
      await new Promise<void>((resolve) => {
        const timer = setRepeating(clock, FAREWELL_LOOK_MS, () => {
          if (answers.hasDown && clock.nowMs() < endMs) return;
          timer.cancel();
          resolve();
        });
      });
    }
    this.#places.close();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(stream: Socket): void {
    if (!this.#places.take(stream)) return;
    let text = "";
    let isAnswered = false;
    const timer = this.#options.clock.setTimer(QUESTION_MS, () => {
      if (!isAnswered) this.#counts.unknown++;
      stream.destroy();
    });
    stream.on("close", () => timer.cancel());
    stream.on("data", (chunk) => {
      if (isAnswered) return;
      text += chunk.toString("latin1");
      const isWhole = text.includes("\n");
      if (!isWhole && text.length <= AGENT_QUESTION_BYTES_MAX) return;
      isAnswered = true;
      this.#places.heard(stream);
      const [line] = text.slice(0, AGENT_QUESTION_BYTES_MAX).split("\n");
      const answer = isWhole ? this.#options.answers.answer(line) : undefined;
      if (answer === undefined) {
        this.#counts.unknown++;
        stream.destroy();
        return;
      }
      this.#counts.checks++;
      this.recent.heard(stream.remoteAddress ?? "");
      stream.end(answer);
    });
  }
}
