// Core. Waiting for the first route of a module, so that the first call of a program need not fail.

import { type ModuleId, moduleId } from "../model/module.ts";
import { ConnectError, TimeoutError } from "../reactor/errors.ts";
import { type Clock, sleep } from "../reactor/time/clock.ts";
import { RetCode } from "../proto/message_ids.ts";
import type { Host, HostAnswer } from "./host.ts";
import type { CallOptions } from "./options.ts";

/** Modules without a route that are remembered; for a new one the oldest is forgotten. */
export const FIRST_ROUTE_MODULES_MAX = 1024;

/** Pauses between two questions for a route: the first one, and the longest, in milliseconds. */
const PAUSE_FIRST_MS = 5;
const PAUSE_MAX_MS = 100;

/** A module without a route: since when, and who asks for it. */
interface Absence {
  readonly endMs: number;
  asking: Promise<void> | undefined;
}

/** What {@linkcode FirstRoutes} works with. */
export interface FirstRoutesOptions {
  readonly clock: Clock;
  getRoute(modId: number, cmdId: number, options: CallOptions): Promise<Host[]>;
  isClosed(): boolean;
}

/** True for an answer that may be another one when the route has come. */
export function isAbsent({ retcode, host, error }: HostAnswer): boolean {
  if (host !== undefined) return false;
  if (error !== undefined) return error instanceof TimeoutError;
  return retcode === RetCode.NoExist;
}

/**
 * Which modules have no route yet. One question at a time asks for each of them, with pauses that
 * grow, however many wait for it; when the time of a module is over nobody waits for it any more,
 * until it has had a route.
 */
export class FirstRoutes {
  readonly #options: FirstRoutesOptions;
  readonly #absences = new Map<ModuleId, Absence>();

  constructor(options: FirstRoutesOptions) {
    this.#options = options;
  }

  /** Modules without a route. */
  get size(): number {
    return this.#absences.size;
  }

  /** A module has a route. */
  arrived(modId: number, cmdId: number): void {
    if (this.#absences.size > 0) this.#absences.delete(moduleId(modId, cmdId));
  }

  /**
   * Waits until the module has a route, or until `endMs`, or what that was for whoever was first.
   *
   * @returns false when that time is over: nothing was asked.
   */
  async wait(modId: number, cmdId: number, endMs: number): Promise<boolean> {
    const { clock } = this.#options;
    const key = moduleId(modId, cmdId);
    const absence = this.#absences.get(key) ?? this.#begin(key, endMs);
    const leftMs = Math.min(absence.endMs, endMs) - clock.nowMs();
    if (leftMs <= 0) return false;
    absence.asking ??= this.#ask(modId, cmdId, absence).finally(() => absence.asking = undefined);
    let timer;
    const late = new Promise<void>((resolve) => timer = clock.setTimer(leftMs, resolve));
    await Promise.race([absence.asking, late]);
    (timer as { cancel(): void } | undefined)?.cancel();
    return true;
  }

  #begin(key: ModuleId, endMs: number): Absence {
    const absence = { endMs, asking: undefined };
    this.#absences.set(key, absence);
    const [oldest] = this.#absences.keys();
    if (this.#absences.size > FIRST_ROUTE_MODULES_MAX) this.#absences.delete(oldest);
    return absence;
  }

  async #ask(modId: number, cmdId: number, { endMs }: Absence): Promise<void> {
    const { clock, getRoute, isClosed } = this.#options;
    for (let pauseMs = PAUSE_FIRST_MS;; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
      await sleep(clock, Math.min(pauseMs, Math.max(0, endMs - clock.nowMs())));
      const leftMs = endMs - clock.nowMs();
      if (leftMs <= 0 || isClosed()) return;
      try {
        const deadlineMs = Math.min(leftMs, PAUSE_MAX_MS);
        if ((await getRoute(modId, cmdId, { deadlineMs })).length > 0) return;
      } catch (error) {
        if (!(error instanceof TimeoutError) && !(error instanceof ConnectError)) return;
      }
    }
  }
}
