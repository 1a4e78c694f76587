// Shell. Asks an agent over UDP who it is and how it does.

import { lookup } from "node:dns/promises";
import { softwareName } from "../../daemon/daemon.ts";
import type { ModuleKey } from "../../model/module.ts";
import { paddingTowards } from "../../proto/answer_growth.ts";
import { decodeHello, frameGetRouteRequest, frameHello, type Hello } from "../../proto/codec.ts";
import { AGENT_PORT_COUNT, HELLO_PROTOCOL, MessageId } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import { type Address, formatAddress, isLoopback } from "../../reactor/address.ts";
import { ConnectError, ProtocolError, TimeoutError } from "../../reactor/errors.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

/** An agent on this machine answers in well under a millisecond. */
export const PROBE_TIMEOUT_MS = 500;

/** Datagrams get lost: the question is asked again at this interval until the time is over. */
const PROBE_INTERVAL_MS = 150;

/** An agent of the original is asked for this module: any will do. */
const PROBED_MODULE = { modId: 1, cmdId: 1 };

/** An agent's answer. */
export interface AgentFacts {
  readonly address: string;
  readonly software: string;
  /** The agent's own counters; empty when it sends none. */
  readonly status: Record<string, unknown>;
}

/**
 * Says Hello to an agent.
 *
 * @throws {TimeoutError} when nothing answers within {@linkcode PROBE_TIMEOUT_MS}.
 * @throws {ConnectError} when its host has no address.
 */
export async function probeAgent(agent: Address): Promise<AgentFacts> {
  const to = await resolvedAgent(agent);
  const question = frameHello({
    protocol: HELLO_PROTOCOL,
    software: softwareName(),
    role: "tool",
    ...paddingTowards(to.hostname),
  });
  const answer = await exchange(question, to, helloOf);
  if (answer === undefined) {
    throw new TimeoutError(
      `No agent answers at ${formatAddress(agent)} within ${PROBE_TIMEOUT_MS} ms`,
      PROBE_TIMEOUT_MS,
    );
  }
  return {
    address: formatAddress(agent),
    software: answer.software,
    status: statusOf(answer.status),
  };
}

/**
 * Whether an agent of the original is there: it says no Hello, and answers what its callers ask. It
 * is asked for a list of nodes, which counts as no pick; it may then ask its dns for the module.
 *
 * @param module One that exists, if possible; (0,0), on which a dns of the original ends, is never
 * asked for.
 */
export async function isOriginalAgent(agent: Address, module: ModuleKey): Promise<boolean> {
  const { modId, cmdId } = module.modId === 0 && module.cmdId === 0
    ? { modId: 1, cmdId: 1 }
    : module;
  const { hostname, port } = await resolvedAgent(agent);
  // Each module has its port, as callers find it.
  const own = port + (modId + cmdId) % AGENT_PORT_COUNT;
  // Any answer will do: no room is made for a longer one, which the original would not need.
  const question = frameGetRouteRequest({ modId, cmdId });
  return await exchange(question, { hostname, port: own }, (bytes) => {
    const isAnswer = messageIdOf(bytes) === MessageId.ApiGetRouteResponse;
    return isAnswer ? true : undefined;
  }) ?? false;
}

/**
 * Asks an agent who it is, also when it is one of the original.
 *
 * @throws {TimeoutError} when nothing answers.
 * @throws {ConnectError} when its host has no address.
 */
export async function askAgent(agent: Address): Promise<AgentFacts & { original?: true }> {
  try {
    return await probeAgent(agent);
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    if (!await isOriginalAgent(agent, PROBED_MODULE)) throw error;
    // It answers by now: one of ours that was only slow does so to Hello as well.
    const slow = await probeAgent(agent).catch((again: unknown) => {
      if (!(again instanceof TimeoutError)) throw again;
    });
    if (slow !== undefined) return slow;
    return { address: formatAddress(agent), software: "", status: {}, original: true };
  }
}

/** The address with a host of numbers. @throws {ConnectError} when the host has none. */
export async function resolvedAgent(agent: Address): Promise<Address> {
  const { hostname, port } = agent;
  if (/^[\d.]+$/.test(hostname)) return agent;
  try {
    return { hostname: (await lookup(hostname, { family: 4 })).address, port };
  } catch (error) {
    const message =
      "the host has no IPv4 address (is its name right, does the name server answer?)";
    throw new ConnectError(formatAddress(agent), message, { cause: error });
  }
}

/** Sends the question until an answer that can be read comes back; undefined without one in time. */
async function exchange<T>(
  question: Uint8Array,
  to: Address,
  read: (bytes: Uint8Array) => T | undefined,
): Promise<T | undefined> {
  let settle: (answer: T | undefined) => void = () => {};
  const answer = new Promise<T | undefined>((resolve) => {
    settle = resolve;
  });
  const socket = await runtime.bindUdp({
    hostname: isLoopback(to.hostname) ? "127.0.0.1" : "0.0.0.0",
    port: 0,
    onDatagram: (bytes) => {
      const found = read(bytes);
      if (found !== undefined) settle(found);
    },
    // A refused port is the same as silence: the time limit reports it.
    onError: () => {},
  });
  const ask = (): void => void socket.send(question, to);
  ask();
  const timers = [
    systemClock.setTimer(PROBE_INTERVAL_MS, ask),
    systemClock.setTimer(2 * PROBE_INTERVAL_MS, ask),
    systemClock.setTimer(PROBE_TIMEOUT_MS, () => settle(undefined)),
  ];
  try {
    return await answer;
  } finally {
    for (const timer of timers) timer.cancel();
    socket.close();
  }
}

/** Number of the message in a datagram; undefined for anything else. */
function messageIdOf(bytes: Uint8Array): number | undefined {
  try {
    return readDatagram(bytes).msgId;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** The Hello in a datagram, or undefined for anything else. */
function helloOf(bytes: Uint8Array): Hello | undefined {
  try {
    const { msgId, body } = readDatagram(bytes);
    return msgId === MessageId.Hello ? decodeHello(body) : undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

function statusOf(text: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {}; // An agent of another make may put any text there.
  }
}
