// Core. What nodes ask of discovery, judged before anything is done.

import {
  LEASE_NOTE_BYTES_MAX,
  LEASE_OWNER_LENGTH_MAX,
  LEASE_TTL_MS_MAX,
  LEASE_TTL_MS_MIN,
  type LeaseSource,
} from "../model/lease.ts";
import { isPrintable, moduleText, UINT32_MAX } from "../model/module.ts";
import { isNodePort, type NodeKey, nodeText, WEIGHT_MAX, ZONE_LENGTH_MAX } from "../model/node.ts";
import { formatIpv4, isLoopback } from "../reactor/address.ts";
import { mayCheck, parseNodeCheck } from "../daemon/node_check_rules.ts";
import { LeaseCode } from "../proto/message_ids.ts";
import type { LeaseResult, LeaseSpec, LeaseValues } from "./lease_plan.ts";

/** A registration as it is asked for, whatever carried it. */
export interface RegisterRequest {
  readonly node: NodeKey;
  readonly ttlMs: number;
  readonly weight: number;
  readonly zone: string;
  readonly note: string;
  /** What discovery is asked to check; "" = nothing. */
  readonly check: string;
  readonly isReady: boolean;
  /** Registration that it goes on from; 0: a new program. */
  readonly previous: number;
  readonly makesModule: boolean;
}

/** What is answered. */
export interface LeaseAnswer {
  readonly code: LeaseCode;
  /** For people; empty when it is done. */
  readonly reason: string;
}

/**
 * Longest reason, in characters: it may name what the asker, or somebody before, has written, and has to
 * fit a frame.
 */
export const LEASE_REASON_LENGTH_MAX = 500;

/** A reason as it is sent. */
export function reasonText(reason: string): string {
  return reason.slice(0, LEASE_REASON_LENGTH_MAX).toWellFormed();
}

/** Nothing more to say. */
export const LEASE_DONE: LeaseAnswer = { code: LeaseCode.Done, reason: "" };

function invalid(what: string, rule: string, value: unknown): LeaseAnswer {
  return { code: LeaseCode.Invalid, reason: `${what} must be ${rule}: current value is ${value}` };
}

/**
 * What is wrong with a registration; undefined: nothing.
 *
 * @param peerHost Where the request comes from: only a host itself reaches its loopback.
 * @param checks Whether this discovery checks nodes that ask for it.
 */
export function registerFault(
  request: RegisterRequest,
  peerHost: string,
  checks: boolean,
): LeaseAnswer | undefined {
  const { node, ttlMs } = request;
  if (!(ttlMs >= LEASE_TTL_MS_MIN && ttlMs <= LEASE_TTL_MS_MAX)) {
    return invalid("ttl", `${LEASE_TTL_MS_MIN} to ${LEASE_TTL_MS_MAX} ms`, ttlMs);
  }
  return addressFault(node, peerHost) ?? changeFault(request) ?? checkFault(request, checks);
}

/** What is wrong with the check that is asked for; undefined: nothing. */
function checkFault(
  { check, node, previous }: RegisterRequest,
  checks: boolean,
): LeaseAnswer | undefined {
  if (check === "") return undefined;
  try {
    parseNodeCheck(check);
  } catch {
    return invalid("check", "tcp, or http:/path", quoted(check));
  }
  // A program that was taken in with its check must not end because checks were switched off.
  if (!checks && previous === 0) {
    const reason = "This discovery checks no nodes: it would with [discovery] checks = 1";
    return { code: LeaseCode.Invalid, reason };
  }
  if (mayCheck(node.ip)) return undefined;
  return invalid("ip", "an address that may be checked", formatIpv4(node.ip));
}

/** What is wrong with the address of a node; undefined: nothing. */
export function addressFault(
  { modId, cmdId, ip, port }: NodeKey,
  peerHost: string,
): LeaseAnswer | undefined {
  for (const [name, value] of Object.entries({ modid: modId, cmdid: cmdId })) {
    if (Number.isInteger(value) && value >= 0 && value <= UINT32_MAX) continue;
    return invalid(name, `0 to ${UINT32_MAX}`, value);
  }
  if (!isNodePort(port)) return invalid("port", "1 to 65535", port);
  const text = formatIpv4(ip);
  const first = ip >>> 24;
  if (!Number.isInteger(ip) || first === 0 || first >= 224) {
    return invalid("ip", "an address that can be called", text);
  }
  if (isLoopback(text) && !isLoopback(peerHost)) {
    return {
      code: LeaseCode.Invalid,
      reason: `${text} can be called on its own host alone, and ${peerHost} registers it here`,
    };
  }
  return undefined;
}

/** What is wrong with new values of a node; undefined: nothing. */
export function changeFault({ weight, zone, note }: LeaseValues): LeaseAnswer | undefined {
  if (weight !== undefined && !(Number.isInteger(weight) && weight >= 0 && weight <= WEIGHT_MAX)) {
    return invalid("weight", `0 to ${WEIGHT_MAX}`, weight);
  }
  if (zone !== undefined && (zone.length > ZONE_LENGTH_MAX || !isPrintable(zone))) {
    return invalid("zone", `at most ${ZONE_LENGTH_MAX} printable characters`, quoted(zone));
  }
  return note === undefined || note === "" ? undefined : noteFault(note);
}

function noteFault(note: string): LeaseAnswer | undefined {
  // Before it is parsed, and each character has one byte at least.
  const bytes = note.length > LEASE_NOTE_BYTES_MAX
    ? note.length
    : new TextEncoder().encode(note).length;
  if (bytes > LEASE_NOTE_BYTES_MAX) {
    return invalid("note", `at most ${LEASE_NOTE_BYTES_MAX} bytes`, `of ${bytes} bytes`);
  }
  try {
    const parsed: unknown = JSON.parse(note);
    const isObject = parsed !== null && typeof parsed === "object" && !Array.isArray(parsed);
    if (isObject && note.isWellFormed() && !note.includes("\0")) return undefined;
  } catch {
    // Said below.
  }
  return invalid("note", "a JSON object", quoted(note));
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}

/** Who registers, as it is stored: what no terminal should be sent is replaced. */
export function ownerText(owner: string): string {
  return owner.slice(0, LEASE_OWNER_LENGTH_MAX).toWellFormed().replace(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    "?",
  );
}

/**
 * Where a registration comes from that a console passes on: only what is near to both of them
 * counts as near.
 *
 * @param peerHost The console.
 * @param forHost Who asked it.
 */
export function hostBehind(peerHost: string, forHost: string): string {
  return isLoopback(forHost) ? peerHost : forHost;
}

/** A request as the rules take it. */
export function specOf(
  request: RegisterRequest,
  source: LeaseSource,
  owner: string,
): LeaseSpec {
  const { ttlMs, weight, zone, note, check, isReady } = request;
  return { ttlMs, weight, zone, note, check, isReady, source, owner: ownerText(owner) };
}

/** What to say of what came of a request. */
export function answerOf(result: LeaseResult, node: NodeKey): LeaseAnswer {
  switch (result) {
    case "done":
      return LEASE_DONE;
    case "superseded":
      return {
        code: LeaseCode.Superseded,
        reason: `Another program has registered ${nodeText(node)} since`,
      };
    case "unknown":
    case "not-held":
    case "late":
      return { code: LeaseCode.Unknown, reason: `${nodeText(node)} is not registered any more` };
    case "foreign":
      return {
        code: LeaseCode.Foreign,
        reason: `${nodeText(node)} is registered by somebody else`,
      };
    case "no-module":
      return {
        code: LeaseCode.NoModule,
        reason: `There is no module ${moduleText(node)}: make it with lars module set, or say ` +
          "that the registration may make it",
      };
  }
}
