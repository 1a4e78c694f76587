// Shell. TCP ports for programs that have to be told theirs, or to come back on the same one.

import { createServer } from "node:net";
import process from "node:process";
import { nextInt } from "../../reactor/time/rng.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";

/**
 * Where ports are looked for: below those that the system gives to outgoing connections (from
 * 32768 on Linux). One of those may be taken between the look and its use, or while a program is
 * dead that is to come back on it; a client that knocks there may even connect to itself.
 */
const FIRST_PORT = 15_000;
const LAST_PORT = 29_999;

/**
 * The variable that narrows this to a range, `15000-19999`, for test processes that run side by
 * side: none takes a port that another one has just found free, or comes back to.
 */
export const PORTS_VARIABLE = "LARS_TEST_PORTS";

/** The range of one of several lanes, for {@linkcode PORTS_VARIABLE}. */
export function portsOfLane(lane: number, laneCount: number): string {
  const count = Math.floor((LAST_PORT - FIRST_PORT + 1) / laneCount);
  const first = FIRST_PORT + lane * count;
  return `${first}-${first + count - 1}`;
}

function portRange(): [number, number] {
  const match = /^(\d+)-(\d+)$/.exec(process.env[PORTS_VARIABLE] ?? "");
  return match === null ? [FIRST_PORT, LAST_PORT] : [Number(match[1]), Number(match[2])];
}

/** Ports given before are not given again: their programs may not have started yet. */
const given = new Set<number>();

/**
 * A port of 127.0.0.1 that nobody listens on, each time another one.
 *
 * @throws {Error} when every port of the range was given.
 */
export async function freePort(): Promise<number> {
  const [first, last] = portRange();
  for (;;) {
    if (given.size > last - first) throw new Error(`No port from ${first} to ${last} is left`);
    const port = first + nextInt(systemRng, last - first + 1);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
}

/**
 * The first of so many such ports in a row, for an agent: one that it finds itself may be taken by
 * an outgoing connection before its loops are on it, or while one of them is started again.
 *
 * @throws {Error} when there is no such row.
 */
export async function freePorts(count: number): Promise<number> {
  for (let tries = 0; tries < 1000; tries++) {
    const port = await freePort();
    const others = Array.from({ length: count - 1 }, (_, index) => port + 1 + index);
    if (port + count - 1 > portRange()[1] || others.some((other) => given.has(other))) continue;
    for (const other of others) given.add(other);
    if ((await Promise.all(others.map(isFree))).every(Boolean)) return port;
  }
  throw new Error(`No ${count} ports in a row are left`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}
