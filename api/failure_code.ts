// Core. What a failed call says about its node: the return code to report for an error.

import { ReportCode } from "../balancer/detection/call_outcome.ts";
import { TimeoutError } from "../reactor/errors.ts";
import { StatusError } from "./status.ts";

/** Errors in a chain of causes that are looked at. */
const CAUSES_MAX = 8;

/** Codes of system errors in Node, Deno and Bun; undici's own for `fetch` in Node. */
const CODES: ReadonlyMap<string, number> = new Map([
  ["ECONNREFUSED", ReportCode.Refused],
  ["ECONNRESET", ReportCode.Refused],
  ["ECONNABORTED", ReportCode.Refused],
  ["EPIPE", ReportCode.Refused],
  ["EHOSTUNREACH", ReportCode.Refused],
  ["EHOSTDOWN", ReportCode.Refused],
  ["ENETUNREACH", ReportCode.Refused],
  ["UND_ERR_SOCKET", ReportCode.Refused],
  ["ETIMEDOUT", ReportCode.Timeout],
  ["UND_ERR_CONNECT_TIMEOUT", ReportCode.Timeout],
  ["UND_ERR_HEADERS_TIMEOUT", ReportCode.Timeout],
  ["UND_ERR_BODY_TIMEOUT", ReportCode.Timeout],
]);

/** Names of errors that have no code of the system: those of Deno, and of `AbortSignal.timeout`. */
const NAMES: ReadonlyMap<string, number> = new Map([
  ["ConnectionRefused", ReportCode.Refused],
  ["ConnectionReset", ReportCode.Refused],
  ["ConnectionAborted", ReportCode.Refused],
  ["BrokenPipe", ReportCode.Refused],
  ["HostUnreachable", ReportCode.Refused],
  ["NetworkUnreachable", ReportCode.Refused],
  ["TimedOut", ReportCode.Timeout],
  ["TimeoutError", ReportCode.Timeout],
]);

/** Error numbers of Linux in the text of errors of `fetch` in Deno, which have nothing else. */
const TEXT_NUMBER = /\(os error (\d+)\)/;
const NUMBERS: ReadonlyMap<string, number> = new Map([
  ...["32", "101", "103", "104", "111", "112", "113"].map((number) =>
    [number, ReportCode.Refused] as const
  ),
  ["110", ReportCode.Timeout],
]);

function codeOf(error: Error & { readonly code?: unknown }): number | undefined {
  if (error instanceof TimeoutError) return ReportCode.Timeout;
  if (error instanceof StatusError) return error.status;
  const known = typeof error.code === "string" ? CODES.get(error.code) : undefined;
  const [, number = ""] = TEXT_NUMBER.exec(error.message) ?? [];
  return known ?? NAMES.get(error.name) ?? NUMBERS.get(number);
}

/**
 * The return code that says what kind of failure an error is: a refused or lost connection, a time
 * that was over, a status of HTTP, or another one. Errors of the system and of `fetch` are known, in Deno, Bun and
 * Node, also as the cause of another error; everything else is `ReportCode.Other`.
 */
export function failureCodeOf(error: unknown): number {
  let cause = error;
  for (let depth = 0; depth < CAUSES_MAX && cause instanceof Error; depth++) {
    const code = codeOf(cause);
    if (code !== undefined) return code;
    // Several addresses were tried: what became of the last one says as much as any.
    cause = cause instanceof AggregateError && cause.cause === undefined
      ? cause.errors.at(-1)
      : cause.cause;
  }
  return ReportCode.Other;
}
