// Shell. How a starting agent comes to sockets of others, and takes the place of who had them.

import type { DaemonContext } from "../../daemon/daemon.ts";
import { BindError } from "../../reactor/errors.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { sleep } from "../../reactor/time/clock.ts";
import type { AgentSettings } from "../config.ts";
import type { PackedRoute } from "../routes/packed_route.ts";
import type { Supervisor } from "../supervisor/supervisor.ts";
import { handOverName } from "./hand_over_messages.ts";
import { HandOverOffer } from "./hand_over_offer.ts";
import type { PassedSockets } from "./passed_sockets.ts";

/** Time for which the TCP port of an agent that has ended may still be taken, and a pause. */
const FEED_AGAIN_MS = 5000;
const FEED_AGAIN_PAUSE_MS = 50;

/** Sockets that need not be opened, where they are looked for. @throws {ConfigError} wrong ones. */
export async function passedSockets(
  { listenIp, listenPort, fastPath, threads, takeOver: takes }: AgentSettings,
  { clock, log, software }: DaemonContext,
): Promise<PassedSockets | undefined> {
  // Neither is loaded by an agent that has nothing to do with it.
  if (!takes && runtime.env("LISTEN_FDS") === undefined) return undefined;
  const { socketsFromSystemd, takeOver } = await import("./passed_sockets.ts");
  if (fastPath === "off" || threads === "0") {
    log.warn("Sockets can be taken from others by the fast path only", { fastPath, threads });
    return undefined;
  }
  const options = { hostname: listenIp, firstPort: listenPort, clock, log, software };
  return socketsFromSystemd(options) ?? (takes ? await takeOver(options) : undefined);
}

/** What a running agent offers to a newer one, if it is the only service of its process. */
export function offerOf(
  { handOver, listenIp }: AgentSettings,
  { clock, log, software, isAlone }: DaemonContext,
  firstPort: number,
  supervisor: Supervisor,
  routes: () => Iterable<PackedRoute>,
): HandOverOffer | undefined {
  if (!handOver || isAlone !== true) return undefined;
  return new HandOverOffer({
    ...{ clock, log, software, routes },
    name: handOverName(listenIp, firstPort),
    sockets: () => supervisor.sockets,
    watch: (fd) => supervisor.watch(fd),
  });
}

/**
 * Takes what could not be had before the predecessor ended, who is told that this agent serves: the
 * TCP port; nothing without a predecessor. Its place at the reporter comes after this: the last results of that one are first.
 *
 * @param listen Takes the port; throws BindError while it is taken.
 */
export async function succeed(
  passed: PassedSockets | undefined,
  listen: () => Promise<void>,
  { clock, log }: Pick<DaemonContext, "clock" | "log">,
): Promise<void> {
  if (passed === undefined) return;
  await passed.serving();
  const untilMs = clock.nowMs() + FEED_AGAIN_MS;
  for (;;) {
    try {
      return await listen();
    } catch (error) {
      if (!(error instanceof BindError)) throw error;
      if (clock.nowMs() >= untilMs) {
        // Callers are served already: to end now would leave all of them alone.
        return log.error("In-process clients are not fed", { error: error.message });
      }
      await sleep(clock, FEED_AGAIN_PAUSE_MS);
    }
  }
}
