// Shell. Sockets that a starting agent need not open: systemd passes them, or the running agent.

import { AGENT_PORT_COUNT } from "../../proto/message_ids.ts";
import { formatAddress } from "../../reactor/address.ts";
import { ConfigError, messageOf } from "../../reactor/errors.ts";
import {
  connectUnix,
  describeSocket,
  socketsOfSystemd,
  type UnixMessage,
  type UnixPeer,
} from "../../reactor/fast/unix_peer.ts";
import type { Logger } from "../../reactor/log.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { type Clock, sleep } from "../../reactor/time/clock.ts";
import type { PackedRoute } from "../routes/packed_route.ts";
import { CACHE_BYTES_MAX, decodeRouteCache } from "../routes/route_cache.ts";
import {
  decodeAbout,
  encodeAbout,
  HandOverKind,
  handOverName,
  joinPieces,
} from "./hand_over_messages.ts";
import { HAND_OVER_LOOK_MS } from "./hand_over_offer.ts";

/** Time in which the running agent must have passed everything. */
export const PASSING_MS = 10_000;

/** Time in which it must have ended, once this one serves. */
export const PREDECESSOR_END_MS = 5_000;

/** Sockets that are there already. */
export interface PassedSockets {
  readonly firstPort: number;
  /** Of the three ports, in their order; they stay open until {@linkcode release}. */
  readonly fds: readonly number[];
  /** What the running agent knew. */
  readonly routes: readonly PackedRoute[];
  /** This agent serves: the other one may end. Resolves when it has, or is not waited for longer. */
  serving(): Promise<void>;
  /** Gives them up: the other agent goes on. */
  release(): void;
}

/** What is wanted, and with what it is waited for. */
export interface PassingOptions {
  readonly hostname: string;
  readonly firstPort: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly software: string;
}

function closeAll(fds: readonly number[]): void {
  for (const fd of fds) runtime.openLibc().close(fd);
}

/** Sorts sockets by the ports that are wanted; undefined unless it is exactly those. */
function sortedFds(
  fds: readonly number[],
  { hostname, firstPort }: PassingOptions,
): number[] | undefined {
  const ip = hostname === "localhost" ? "127.0.0.1" : hostname;
  const places = new Map(fds.map((fd) => {
    const known = describeSocket(fd);
    return [known === undefined ? "" : `${known.kind} ${formatAddress(known.address)}`, fd];
  }));
  const wanted = Array.from({ length: AGENT_PORT_COUNT }, (_, i) => `udp ${ip}:${firstPort + i}`);
  const sorted = wanted.flatMap((place) => places.get(place) ?? []);
  return sorted.length === AGENT_PORT_COUNT && fds.length === AGENT_PORT_COUNT ? sorted : undefined;
}

function describeAll(fds: readonly number[]): string {
  const words = fds.map((fd) => {
    const known = describeSocket(fd);
    return known === undefined ? "another kind" : `${known.kind} ${formatAddress(known.address)}`;
  });
  return words.join(", ");
}

/**
 * The sockets that systemd passes.
 *
 * @returns undefined when it passes none.
 * @throws {ConfigError} when they are not those of this agent's ports.
 */
export function socketsFromSystemd(options: PassingOptions): PassedSockets | undefined {
  if ((runtime.env("LISTEN_FDS") ?? "") === "") return undefined;
  let fds: number[];
  try {
    fds = socketsOfSystemd();
  } catch (error) {
    options.log.warn("Sockets of systemd cannot be used: that takes the fast path", {
      reason: messageOf(error),
    });
    return undefined;
  }
  if (fds.length === 0) return undefined;
  const { hostname, firstPort, log } = options;
  const sorted = sortedFds(fds, options);
  if (sorted === undefined) {
    throw new ConfigError(
      `systemd must pass the agent's UDP sockets ${hostname}:${firstPort} to ` +
        `${firstPort + AGENT_PORT_COUNT - 1} and no other (TCP is listened on by the agent ` +
        `itself): it passes ${describeAll(fds)}`,
    );
  }
  log.info("Sockets taken from systemd", { sockets: describeAll(sorted) });
  return {
    firstPort,
    fds: sorted,
    routes: [],
    serving: () => Promise.resolve(),
    release: () => closeAll(sorted),
  };
}

/** The next message, or why there is none. */
async function nextMessage(
  peer: UnixPeer,
  clock: Clock,
  untilMs: number,
): Promise<UnixMessage | string> {
  for (;;) {
    const message = peer.receive();
    if (message === "closed") return "it closed the connection";
    if (message !== undefined) return message;
    if (clock.nowMs() >= untilMs) return `it took longer than ${PASSING_MS} ms`;
    await sleep(clock, HAND_OVER_LOOK_MS);
  }
}

/** What was passed, or why not; the sockets of what fails are closed. */
async function receiveAll(
  peer: UnixPeer,
  options: PassingOptions,
): Promise<{ fds: number[]; routes: PackedRoute[]; from: string } | string> {
  const { clock, software } = options;
  const untilMs = clock.nowMs() + PASSING_MS;
  if (!peer.send(encodeAbout(HandOverKind.Ask, software))) return "it takes no message";
  const first = await nextMessage(peer, clock, untilMs);
  if (typeof first === "string") return first;
  const about = decodeAbout(HandOverKind.Sockets, first.bytes);
  const sorted = about === undefined ? undefined : sortedFds(first.fds, options);
  const fail = (reason: string): string => {
    closeAll(first.fds);
    return reason;
  };
  if (about === undefined || sorted === undefined) {
    return fail("it passes no sockets of these ports");
  }
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const message = await nextMessage(peer, clock, untilMs);
    if (typeof message === "string") return fail(message);
    closeAll(message.fds);
    if (message.bytes[0] === HandOverKind.RoutesEnd) break;
    bytes += message.bytes.length;
    if (message.bytes[0] !== HandOverKind.Routes || bytes > CACHE_BYTES_MAX * 2) {
      return fail("what it says is not understood");
    }
    pieces.push(message.bytes.subarray(1));
  }
  const decoded = decodeRouteCache(joinPieces(pieces));
  if (!decoded.ok) return fail(`its routes cannot be read: ${decoded.reason}`);
  return { fds: sorted, routes: decoded.routes, from: about.software };
}

/**
 * Takes the sockets and routes of the agent that runs on these ports.
 *
 * @returns undefined when none runs there, or it does not hand over; the log says which.
 */
export async function takeOver(options: PassingOptions): Promise<PassedSockets | undefined> {
  const { hostname, firstPort, clock, log } = options;
  let peer: UnixPeer;
  try {
    const found = connectUnix(handOverName(hostname, firstPort));
    if (found === "nobody") {
      log.info("No agent hands over its sockets here, own ones are opened");
      return undefined;
    }
    if (found === "another user") {
      log.warn("The running agent is that of another user, its sockets are not taken");
      return undefined;
    }
    peer = found;
  } catch (error) {
    log.warn("Sockets cannot be taken over: that takes the fast path", {
      reason: messageOf(error),
    });
    return undefined;
  }
  const received = await receiveAll(peer, options);
  if (typeof received === "string") {
    peer.close();
    log.warn("The running agent did not hand over its sockets", { reason: received });
    return undefined;
  }
  const { fds, routes, from } = received;
  log.info("Sockets taken over from the running agent", { from, modules: routes.length });
  return {
    firstPort,
    fds,
    routes,
    async serving(): Promise<void> {
      peer.send(Uint8Array.of(HandOverKind.Serving));
      const untilMs = clock.nowMs() + PREDECESSOR_END_MS;
      while (peer.receive() !== "closed") {
        if (clock.nowMs() >= untilMs) {
          log.warn("The agent before has not ended yet, it is not waited for");
          break;
        }
        await sleep(clock, HAND_OVER_LOOK_MS);
      }
      peer.close();
    },
    release(): void {
      closeAll(fds);
      peer.close();
    },
  };
}
