// Core. Words of the command line as checked values.

import { type Address, parseAddress, parseIpv4 } from "../reactor/address.ts";
import { AGENT_PORT_COUNT, DEFAULT_PORTS } from "../proto/message_ids.ts";
import type { NodeState } from "../sql/store.ts";

/** Largest module or command number: both are 32-bit. */
export const ID_MAX = 4_294_967_295;

/** Largest weight of a node; 0 keeps a node listed and gives it no calls. */
export const WEIGHT_MAX = 10_000;

/** Longest zone name. */
export const ZONE_LENGTH_MAX = 64;

/** States of a node in the route table. */
export const NODE_STATES: readonly NodeState[] = ["on", "drain", "off"];

/**
 * A whole number in a range.
 *
 * @throws {RangeError} naming `what`, the range and the text.
 */
export function parseWhole(what: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d{1,15}$/.test(text) || value < min || value > max) {
    throw new RangeError(
      `${what} must be a whole number from ${min} to ${max}: current value is "${text}"`,
    );
  }
  return value;
}

/**
 * A module number, 0 to 4294967295.
 *
 * @throws {RangeError} when it is not one.
 */
export function parseModId(text: string): number {
  return parseWhole("MODID", text, 0, ID_MAX);
}

/**
 * A command number, 0 to 4294967295.
 *
 * @throws {RangeError} when it is not one.
 */
export function parseCmdId(text: string): number {
  return parseWhole("CMDID", text, 0, ID_MAX);
}

/**
 * A module in words: `1 2` or `1/2`.
 *
 * @throws {RangeError} when it is none.
 */
export function parseModuleWords(words: readonly string[]): { modId: number; cmdId: number } {
  const numbers = words.flatMap((word) => word.split("/"));
  if (numbers.length !== 2) {
    throw new RangeError(`Module must be MODID CMDID: current value is "${words.join(" ")}"`);
  }
  return { modId: parseModId(numbers[0]), cmdId: parseCmdId(numbers[1]) };
}

/**
 * A port that can be called, 1 to 65535.
 *
 * @throws {RangeError} when it is not one.
 */
export function parsePort(text: string): number {
  return parseWhole("Port", text, 1, 65535);
}

/**
 * The IPv4 address of a node, as a number; 0.0.0.0 names no machine and is refused.
 *
 * @throws {RangeError} when it is not one.
 */
export function parseNodeIp(text: string): number {
  const ip = parseIpv4(text);
  if (ip === 0) throw new RangeError(`IPv4 address must name a machine: current value is ${text}`);
  return ip;
}

/** A node as written on the command line. */
export interface NodeAddress {
  /** IPv4 address, unsigned. */
  readonly ip: number;
  readonly port: number;
}

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

/**
 * Weight of a node, 0 to {@linkcode WEIGHT_MAX}.
 *
 * @throws {RangeError} when it is not one.
 */
export function parseWeight(text: string): number {
  return parseWhole("Weight", text, 0, WEIGHT_MAX);
}

/**
 * Zone of a node: letters, digits, `.`, `_` and `-`, or nothing.
 *
 * @throws {RangeError} when it holds anything else or is too long.
 */
export function parseZone(text: string): string {
  if (text.length > ZONE_LENGTH_MAX || !/^[A-Za-z0-9._-]*$/.test(text)) {
    throw new RangeError(
      `Zone must be up to ${ZONE_LENGTH_MAX} letters, digits, dots, dashes or underscores: ` +
        `current value is "${text}"`,
    );
  }
  return text;
}

/**
 * State of a node.
 *
 * @throws {RangeError} when it is none of {@linkcode NODE_STATES}.
 */
export function parseState(text: string): NodeState {
  const found = NODE_STATES.find((state) => state === text);
  if (found === undefined) {
    throw new RangeError(
      `State must be one of ${NODE_STATES.join(", ")}: current value is "${text}"`,
    );
  }
  return found;
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
