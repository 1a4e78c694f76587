// Shell. Tells a service manager (systemd, `Type=notify`) how a service stands, when it asks to be told.

import type { Clock, Timer } from "../reactor/time/clock.ts";
import { messageOf } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";

/** What a {@linkcode ServiceManager} works with. */
export interface ServiceManagerOptions {
  /** NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly processId: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sends one message to a socket. @throws {Error} when it cannot. */
  send(socket: string, text: string): void | Promise<void>;
}

/** Longest text of a state, in characters: what `systemctl status` shows on a line. */
const STATUS_CHARS_MAX = 200;

/**
 * The service manager that started this process; nothing is sent where none asked for it. The
 * protocol is that of sd_notify(3): lines of `NAME=value` in one datagram. A manager that cannot be
 * told is said once in the log, and the service goes on: it is the manager's choice what to do.
 */
export class ServiceManager {
  readonly #options: ServiceManagerOptions;
  readonly #socket: string | undefined;
  #timer: Timer | undefined;
  #isTold = false;

  constructor(options: ServiceManagerOptions) {
    this.#options = options;
    const socket = options.env.NOTIFY_SOCKET ?? "";
    this.#socket = socket === "" ? undefined : socket;
  }

  /** Interval of signs of life that the manager wants, in milliseconds; undefined: none. */
  get watchdogMs(): number | undefined {
    const { env, processId } = this.#options;
    const micros = Number(env.WATCHDOG_USEC ?? "");
    const isForUs = (env.WATCHDOG_PID ?? "") === "" || Number(env.WATCHDOG_PID) === processId;
    if (this.#socket === undefined || !isForUs || !Number.isSafeInteger(micros)) return undefined;
    // Half of the time that it allows, as sd_watchdog_enabled(3) advises.
    return micros > 0 ? Math.max(1, Math.floor(micros / 2000)) : undefined;
  }

  /** It serves now. From then on the manager hears signs of life, as long as timers run. */
  ready(status: string): void {
    const line = status.replaceAll("\n", " ").slice(0, STATUS_CHARS_MAX);
    this.#send(`READY=1\nSTATUS=${line}\n`);
    const intervalMs = this.watchdogMs;
    if (intervalMs === undefined || this.#timer !== undefined) return;
    const { clock } = this.#options;
    const beat = (): void => {
      this.#send("WATCHDOG=1\n");
      this.#timer = clock.setTimer(intervalMs, beat);
    };
    this.#timer = clock.setTimer(intervalMs, beat);
  }

  /** It is asked to stop: no more signs of life follow. */
  stopping(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#send("STOPPING=1\n");
  }

  #send(text: string): void {
    if (this.#socket === undefined) return;
    const { send, log } = this.#options;
    const fail = (error: unknown): void => {
      if (this.#isTold) return;
      this.#isTold = true;
      log.warn("The service manager could not be told", { reason: messageOf(error) });
    };
    try {
      Promise.resolve(send(this.#socket, text)).catch(fail);
    } catch (error) {
      fail(error);
    }
  }
}
