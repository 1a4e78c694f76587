// Shell. Commands to HAProxy's runtime interface, each over a connection of its own.

import { connect } from "node:net";
import { Buffer } from "node:buffer";
import { parseAddress } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";

/** Time a command may take. */
const ANSWER_MS = 3_000;

/** Longest answer, some 100,000 servers; a longer one is refused. */
export const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Sends a command to the runtime interface at a path (or `host:port`, as `stats socket` may have).
 * This side of the connection stays open until the answer is whole: HAProxy takes its end for an
 * interruption.
 *
 * @throws {Error} when it does not answer in time, ends early, or says too much.
 */
export function askHaproxy(socketPath: string, command: string, clock: Clock): Promise<string> {
  return new Promise((resolve, reject) => {
    const target = socketPath.includes("/") ? { path: socketPath } : ownAddress(socketPath);
    const socket = connect(target);
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (error: Error | undefined): void => {
      timer.cancel();
      socket.destroy();
      if (error === undefined) resolve(Buffer.concat(chunks).toString("utf8"));
      else reject(error);
    };
    const timer = clock.setTimer(
      ANSWER_MS,
      () => end(new Error(`HAProxy at ${socketPath} gives no answer for ${ANSWER_MS} ms`)),
    );
    socket.on("connect", () => socket.write(`${command}\n`));
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) end(new Error(`HAProxy at ${socketPath} says too much`));
    });
    socket.on("end", () => end(undefined));
    socket.on(
      "error",
      (error) => end(new Error(`HAProxy at ${socketPath}: ${error.message}`, { cause: error })),
    );
  });
}

function ownAddress(text: string): { host: string; port: number } {
  const { hostname, port } = parseAddress(text);
  return { host: hostname, port };
}
