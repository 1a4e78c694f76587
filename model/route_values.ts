// Core. Values of routes as text: what command line and route files share.

import { parseIpv4 } from "../reactor/address.ts";
import { NODE_STATES, type NodeState, PORT_MAX, WEIGHT_MAX, ZONE_LENGTH_MAX } from "./node.ts";
import { UINT32_MAX } from "./module.ts";

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
  return parseWhole("MODID", text, 0, UINT32_MAX);
}

/**
 * A command number, 0 to 4294967295.
 *
 * @throws {RangeError} when it is not one.
 */
export function parseCmdId(text: string): number {
  return parseWhole("CMDID", text, 0, UINT32_MAX);
}

/**
 * A port that can be called, 1 to 65535.
 *
 * @throws {RangeError} when it is not one.
 */
export function parsePort(text: string): number {
  return parseWhole("Port", text, 1, PORT_MAX);
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
