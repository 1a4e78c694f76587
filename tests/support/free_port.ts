// Shell. TCP ports for programs that have to be told theirs, or to come back on the same one.

import { createServer } from "node:net";
import { nextInt } from "../../reactor/rng.ts";
import { systemRng } from "../../reactor/system_rng.ts";

/**
 * Where ports are looked for: below those that the system gives to outgoing connections (from
 * 32768 on Linux). One of those may be taken between the look and its use, or while a program is
 * dead that is to come back on it; a client that knocks there may even connect to itself.
 */
const FIRST_PORT = 15_000;
const PORT_COUNT = 15_000;

/** Ports given before are not given again: their programs may not have started yet. */
const given = new Set<number>();

/** A port of 127.0.0.1 that nobody listens on, each time another one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + nextInt(systemRng, PORT_COUNT);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
