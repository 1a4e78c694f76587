// Shell. Asks an agent over UDP who it is and how it does.

import { lookup } from "node:dns/promises";
import { softwareName } from "../../daemon/daemon.ts";
import { decodeHello, frameHello, type Hello } from "../../proto/codec.ts";
import { HELLO_PROTOCOL, MessageId } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import { type Address, formatAddress, isLoopback } from "../../reactor/address.ts";
import { ProtocolError, TimeoutError } from "../../reactor/errors.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";

/** An agent on this machine answers in well under a millisecond. */
export const PROBE_TIMEOUT_MS = 500;

/** Datagrams get lost: the question is asked again at this interval until the time is over. */
const PROBE_INTERVAL_MS = 150;

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
 */
export async function probeAgent(agent: Address): Promise<AgentFacts> {
  const ip = /^[\d.]+$/.test(agent.hostname)
    ? agent.hostname
    : (await lookup(agent.hostname, { family: 4 })).address;
  const question = frameHello({
    protocol: HELLO_PROTOCOL,
    software: softwareName(),
    role: "tool",
  });
  const answer = await exchange(question, { hostname: ip, port: agent.port });
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

/** Sends the question until a Hello comes back; undefined when none comes in time. */
async function exchange(question: Uint8Array, to: Address): Promise<Hello | undefined> {
  let settle: (hello: Hello | undefined) => void = () => {};
  const answer = new Promise<Hello | undefined>((resolve) => {
    settle = resolve;
  });
  const socket = await runtime.bindUdp({
    hostname: isLoopback(to.hostname) ? "127.0.0.1" : "0.0.0.0",
    port: 0,
    onDatagram: (bytes) => {
      const hello = helloOf(bytes);
      if (hello !== undefined) settle(hello);
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
