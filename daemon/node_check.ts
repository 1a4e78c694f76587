// Shell. One look whether a node serves: a connection, or an answer to a GET.

import { connect } from "node:net";
import { formatIpv4 } from "../reactor/address.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { mayCheck, type NodeCheck } from "./node_check_rules.ts";

/** What was found: `refused`: its host says that nobody listens there. */
export interface CheckOutcome {
  readonly result: "good" | "refused" | "bad";
  /** For people; empty when it is good. */
  readonly fault: string;
}

/** Of an HTTP answer so much is read: its first line is all that counts. */
const HTTP_LINE_BYTES_MAX = 256;

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
