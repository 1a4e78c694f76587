// Shell. One look whether a node serves: a connection, or an answer to a GET.

import { connect } from "node:net";
import { formatIpv4 } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";

/** What is looked for. */
export type NodeCheck =
  | { readonly kind: "tcp" }
  | {
    readonly kind: "http";
    /** Begins with `/`. */
    readonly path: string;
  };

/** What was found: `refused`: its host says that nobody listens there. */
export interface CheckOutcome {
  readonly result: "good" | "refused" | "bad";
  /** For people; empty when it is good. */
  readonly fault: string;
}

/** Of an HTTP answer so much is read: its first line is all that counts. */
const HTTP_LINE_BYTES_MAX = 256;

/** Link-local: 169.254.0.0/16, in which clouds keep the metadata of their machines. */
const LINK_LOCAL = 0xa9fe;

/** Metadata of one cloud outside of it: 100.100.100.200. */
const OTHER_METADATA = 0x646464c8;

/** True for an address that may be looked at: never what only a host or its cloud can reach. */
export function mayCheck(ip: number): boolean {
  const first = ip >>> 24;
  return (ip >>> 16) !== LINK_LOCAL && (ip >>> 0) !== OTHER_METADATA && first > 0 && first < 224;
}

/** Reads `tcp` or `http:/path`. @throws {RangeError} when it is neither. */
export function parseNodeCheck(text: string): NodeCheck {
  if (text === "tcp") return { kind: "tcp" };
  const path = text.startsWith("http:") ? text.slice(5) : "";
  if (/^\/[\x21-\x7e]{0,500}$/.test(path)) return { kind: "http", path };
  throw new RangeError(`Check must be tcp, or http:/path: current value is "${text}"`);
}

/**
 * Looks once, at this address alone: a redirection counts as an answer and is not followed. Never
 * rejects.
 */
export function checkNode(
  { ip, port }: { readonly ip: number; readonly port: number },
  check: NodeCheck,
  clock: Clock,
  timeoutMs: number,
): Promise<CheckOutcome> {
  if (!mayCheck(ip)) {
    return Promise.resolve({ result: "bad", fault: `${formatIpv4(ip)} is not looked at` });
  }
  return new Promise((resolve) => {
    const host = formatIpv4(ip);
    const socket = connect({ host, port });
    const finish = (result: CheckOutcome["result"], fault = ""): void => {
      timer.cancel();
      socket.destroy();
      resolve({ result, fault });
    };
    const timer = clock.setTimer(timeoutMs, () => finish("bad", `no answer in ${timeoutMs} ms`));
    socket.on("error", (error: Error & { code?: string }) => {
      finish(error.code === "ECONNREFUSED" ? "refused" : "bad", error.message);
    });
    socket.once("connect", () => {
      if (check.kind === "tcp") return finish("good");
      socket.write(
        `GET ${check.path} HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: close\r\n\r\n`,
      );
    });
    let answer = "";
    socket.on("data", (chunk: Uint8Array) => {
      answer += String.fromCharCode(...chunk.subarray(0, HTTP_LINE_BYTES_MAX - answer.length));
      if (!answer.includes("\n") && answer.length < HTTP_LINE_BYTES_MAX) return;
      const status = /^HTTP\/1\.[01] (\d{3})(?:[ \r\n]|$)/.exec(answer)?.[1];
      if (status === undefined) finish("bad", "no answer of HTTP");
      else if (/^[23]/.test(status)) finish("good");
      else finish("bad", `status ${status}`);
    });
    socket.once("end", () => finish("bad", "closed without an answer"));
  });
}
