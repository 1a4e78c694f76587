// Shell. Programs of every kind that follow routes, each asked what is in force for it: which part of
// its calls, or of the weight it goes by, each node of a module has.

import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { existsSync, readFileSync } from "node:fs";
import { get } from "node:http";
import { InProcessClient, type LarsApi, LarsClient } from "../../api/mod.ts";
import { askHaproxy } from "../../export/haproxy/runtime_socket.ts";
import { readServersState } from "../../export/haproxy/servers.ts";
// @ts-types="../../export/nameserver/dns_packet.d.ts"
import dnsPacket from "dns-packet";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { LinePeer } from "../support/line_peer.ts";

/** Calls or picks of one look: enough to tell a quarter of them from none, and from three quarters. */
const LOOK_CALLS = 24;

/** An answer that takes longer is none. */
const ANSWER_MS = 2_000;

/** Parts of 1 by the port of the node. */
export type Shares = ReadonlyMap<number, number>;

/** Somebody who follows. */
export interface Follower {
  readonly name: string;
  /** Which module: the nodes of the one speak HTTP, those of the other gRPC. */
  readonly module: "web" | "rpc";
  /** What it may take beside the second of all: how long answers are kept, or changes gathered. */
  readonly allowedMs: number;
  /** Why there is more, for people; "": there is none. */
  readonly why: string;
  /** False: it knows which nodes there are and not their weights. */
  readonly hasWeights: boolean;
  /** What is in force now; undefined: it does not say now. */
  shares(): Promise<Shares | undefined>;
  close(): Promise<void>;
}

/** What is the same for most. */
const PLAIN: Omit<Follower, "name" | "shares"> = {
  ...{ module: "web", allowedMs: 0, why: "", hasWeights: true },
  close: () => Promise.resolve(),
};

/** Counts, or weights, as parts of their sum; undefined when there are none. */
function partsOf(counts: Iterable<readonly [port: number, count: number]>): Shares | undefined {
  const sums = new Map<number, number>();
  for (const [port, count] of counts) sums.set(port, (sums.get(port) ?? 0) + count);
  const total = [...sums.values()].reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  return new Map([...sums].map(([port, count]) => [port, count / total]));
}

/** By picks of a client of ours. */
function byPicks(name: string, api: LarsApi): Follower {
  return {
    ...{ ...PLAIN, name },
    shares: async () => {
      const ports: [number, number][] = [];
      for (let i = 0; i < LOOK_CALLS; i++) {
        const host = await api.getHost(1, 1).catch(() => undefined);
        if (host === undefined) return undefined;
        ports.push([host.port, 1]);
      }
      return partsOf(ports);
    },
    close: () => api.close(),
  };
}

/** Picks that an agent is asked for. */
export function askingClient(port: number): Follower {
  return byPicks("agent, UDP", new LarsClient({ port, sharedTable: false, deadlineMs: 500 }));
}

/** Picks from the agent's table; undefined where there is none for this runtime. */
export async function tableClient(port: number): Promise<Follower | undefined> {
  const client = new LarsClient({ port });
  const first = await client.getHost(1, 1).catch(() => undefined);
  for (let i = 0; i < 100 && first !== undefined; i++) {
    await client.getHost(1, 1);
    if (client.stats.tablePicks > 0) return byPicks("agent, table", client);
  }
  await client.close();
  return undefined;
}

/** Picks in the program itself, with routes from the agent. */
export function inProcessClient(port: number): Follower {
  return byPicks("in process", new InProcessClient({ agents: [`127.0.0.1:${port}`] }));
}

/** Calls of a gRPC program. */
export function grpcProgram(
  name: string,
  peer: LinePeer,
  ports: readonly number[],
): Follower {
  return {
    ...{ ...PLAIN, name, module: "rpc" },
    shares: async () => {
      const counts = Object.entries(await peer.ask(`call rpc ${LOOK_CALLS}`));
      if (counts.some(([by]) => !/^\d+$/.test(by))) return undefined;
      return partsOf(counts.map(([by, count]) => [ports[Number(by)], count]));
    },
  };
}

/** A HAProxy, by the weights of the servers that it sends calls to. */
export function haproxyState(socket: string, backend: string): Follower {
  return {
    ...{ ...PLAIN, name: "HAProxy" },
    shares: async () => {
      const answer = await askHaproxy(socket, `show servers state ${backend}`, systemClock);
      const servers = readServersState(answer, backend).filter(({ state }) => state === "ready");
      return partsOf(servers.map(({ name, weight }) => [Number(name.split("-").at(-1)), weight]));
    },
  };
}

/** One request; the port of the node that answered, 0: none did. */
function askHttp(port: number, path: string): Promise<string> {
  return new Promise((resolve) => {
    get({ host: "127.0.0.1", port, path, agent: false, timeout: ANSWER_MS }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve(response.statusCode === 200 ? text : ""));
    }).on("error", () => resolve("")).on("timeout", () => resolve(""));
  });
}

/** Calls through a proxy, whose nodes answer with their port. */
export function httpProxy(
  name: string,
  front: number,
  more: Pick<Follower, "allowedMs" | "why">,
): Follower {
  return {
    ...{ ...PLAIN, ...more, name },
    shares: async () => {
      const ports: [number, number][] = [];
      for (let i = 0; i < LOOK_CALLS; i++) {
        const text = await askHttp(front, "/");
        if (!/^\d+$/.test(text)) return undefined;
        ports.push([Number(text), 1]);
      }
      return partsOf(ports);
    },
  };
}

/** Questions to the name server, by the weights of SRV. */
export function nameAsker(port: number, name: string): Follower {
  const socket = createSocket("udp4");
  const waiting = new Map<number, (bytes: Uint8Array) => void>();
  socket.on("message", (bytes) => waiting.get(bytes[0] * 256 + bytes[1])?.(bytes));
  let lastId = 0;
  const ask = (): Promise<Uint8Array | undefined> =>
    new Promise((resolve) => {
      const id = lastId = lastId % 0xffff + 1;
      const timer = setTimeout(() => end(undefined), ANSWER_MS);
      const end = (bytes: Uint8Array | undefined): void => {
        clearTimeout(timer);
        waiting.delete(id);
        resolve(bytes);
      };
      waiting.set(id, end);
      const questions = [{ name, type: "SRV" }];
      socket.send(dnsPacket.encode({ type: "query", id, flags: 0, questions }), port, "127.0.0.1");
    });
  return {
    ...{ ...PLAIN, name: "name server" },
    shares: async () => {
      const bytes = await ask();
      if (bytes === undefined) return undefined;
      const { answers = [] } = dnsPacket.decode(Buffer.from(bytes));
      return partsOf(
        answers.flatMap((answer) =>
          answer.type === "SRV" ? [[answer.data.port, answer.data.weight] as const] : []
        ),
      );
    },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

/** A file of lines `PORT WEIGHT`. */
export function writtenFile(path: string, more: Pick<Follower, "allowedMs" | "why">): Follower {
  return {
    ...{ ...PLAIN, ...more, name: "file" },
    shares: () => {
      const lines = existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
      return Promise.resolve(partsOf(lines.map((line) => {
        const [port, weight] = line.split(" ").map(Number);
        return [port, weight];
      })));
    },
  };
}

/** Targets that dns tells Prometheus, of nodes that are on: there are no weights among them. */
export function httpDiscovery(metricsPort: number): Follower {
  return {
    ...{ ...PLAIN, name: "http_sd", hasWeights: false },
    shares: async () => {
      const text = await askHttp(metricsPort, "/sd/modules?modid=1&cmdid=1&state=on");
      if (text === "") return undefined;
      const groups: { readonly targets: readonly string[] }[] = JSON.parse(text);
      return partsOf(
        groups.flatMap(({ targets }) =>
          targets.map((target) => [Number(target.split(":")[1]), 1] as const)
        ),
      );
    },
  };
}
