// Core. Words of the command line as checked values.

import { type Address, parseAddress, parseIpv4 } from "../reactor/address.ts";
import { AGENT_PORT_COUNT, DEFAULT_PORTS } from "../proto/message_ids.ts";
import type { NodeAddress } from "../model/node.ts";
import { parseNodeIp, parsePort } from "../model/route_values.ts";

/**
 * `IP:PORT` of a node.
 *
 * @throws {RangeError} when the address is not IPv4 or the port is not 1 to 65535.
 */
export function parseNodeAddress(text: string): NodeAddress {
  const match = /^([^:]*):([^:]*)$/.exec(text);
  if (match === null) {
    throw new RangeError(`Node must look like 10.0.0.1:7777: current value is "${text}"`);
  }
  return { ip: parseNodeIp(match[1]), port: parsePort(match[2]) };
}

/**
 * As {@linkcode parseNodeAddress}, but takes any port number, so that a bad row that another
 * program wrote can be named and removed.
 *
 * @throws {RangeError} when the text is not IPv4 and a number.
 */
export function parseStoredNodeAddress(text: string): NodeAddress {
  const match = /^([^:]*):(\d{1,10})$/.exec(text);
  if (match === null) {
    throw new RangeError(`Node must look like 10.0.0.1:7777: current value is "${text}"`);
  }
  return { ip: parseIpv4(match[1]), port: Number(match[2]) };
}

/** Reads `host:port` or `host`, as {@linkcode parseAddress}, and refuses port 0. */
export function parsePeer(text: string, defaultPort: number): Address {
  const address = parseAddress(text, defaultPort);
  if (address.port === 0) {
    throw new RangeError(`Port must be from 1 to 65535: current value is "${text}"`);
  }
  return address;
}

/**
 * `HOST:PORT` with the first of an agent's three ports.
 *
 * @throws {RangeError} when it is none, or the last of the three would be beyond 65535.
 */
export function parseAgent(text: string): Address {
  const agent = parsePeer(text, DEFAULT_PORTS.agent);
  const portMax = 65535 - (AGENT_PORT_COUNT - 1);
  if (agent.port <= portMax) return agent;
  throw new RangeError(`First port of an agent must be at most ${portMax}: it is ${agent.port}`);
}
