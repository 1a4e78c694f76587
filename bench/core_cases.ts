// Shell. Benchmarks of the pure parts: frames, codecs, picks, routes.

import { readFileSync } from "node:fs";
import { HashRing } from "../balancer/picking/hash_ring.ts";
import { type Host, NO_TURN, POLICY_NAMES, PRESET_NAMES, RouteLb } from "../balancer/mod.ts";
import { defaultBalanceSettings } from "../balancer/mod.ts";
import * as codecs from "../proto/codec.ts";
import { readTypes } from "../proto/generate/schema.ts";
import { encodeFrame, FrameDecoder } from "../reactor/frame.ts";
import { seededRng } from "../reactor/time/rng.ts";
import type { BenchCase, Work } from "./measure.ts";

const FRAMES_PER_CHUNK = 64;

const POLICIES = [...PRESET_NAMES, ...POLICY_NAMES];

function frames(): BenchCase {
  const frame = encodeFrame(4, new Uint8Array(21).fill(7));
  const chunk = new Uint8Array(frame.length * FRAMES_PER_CHUNK);
  for (let index = 0; index < FRAMES_PER_CHUNK; index++) chunk.set(frame, index * frame.length);
  const decoder = new FrameDecoder();
  const target = new Uint8Array(chunk.length);
  return {
    name: `decode ${FRAMES_PER_CHUNK} frames of 21 bytes`,
    work: {
      name: "FrameDecoder",
      run(count): number {
        let seen = 0;
        for (let index = 0; index < count; index++) {
          decoder.push(chunk, (_msgId, body) => void (seen += body.length));
        }
        return seen;
      },
    },
    reference: {
      name: "copy of the same bytes",
      run(count): number {
        for (let index = 0; index < count; index++) target.set(chunk);
        return target[0];
      },
    },
    expected: FRAMES_PER_CHUNK * 21,
  };
}

/** Messages as protobufjs has them, by reflection, with the names of lars.proto. */
function protobufTypes(): ReturnType<typeof readTypes> {
  return readTypes(readFileSync(new URL("../proto/lars.proto", import.meta.url), "utf8"));
}

function codec(): BenchCase {
  const message = { seq: 77, modId: 1, cmdId: 2 };
  const request = codecs.encodeGetHostRequest(message);
  const host = { ip: 3232235953, port: 7777 };
  const types = protobufTypes();
  const asked = types.find(({ name }) => name === "GetHostRequest");
  const answered = types.find(({ name }) => name === "GetHostResponse");
  return {
    name: "decode GetHostRequest, encode GetHostResponse",
    work: {
      name: "own codec",
      run(count): number {
        let bytes = 0;
        for (let index = 0; index < count; index++) {
          const { seq, modId, cmdId } = codecs.decodeGetHostRequest(request);
          bytes += codecs.encodeGetHostResponse({ seq, modId, cmdId, retcode: 0, host }).length;
        }
        return bytes;
      },
    },
    reference: {
      name: "protobufjs",
      run(count): number {
        let bytes = 0;
        for (let index = 0; index < count; index++) {
          const wire = asked?.decode(request);
          bytes += answered?.encode({ ...wire, retcode: 0, host }).finish().length ?? 0;
        }
        return bytes;
      },
    },
    expected: codecs.encodeGetHostResponse({ ...message, retcode: 0, host }).length,
  };
}

/** A balancer with `moduleCount` modules of `nodeCount` nodes each; with the policy of new modules. */
function balancer(moduleCount: number, nodeCount: number, policy = "recommended"): RouteLb {
  const routes = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    modulesMax: moduleCount,
    onPull: () => undefined,
  });
  const nodes = Array.from({ length: nodeCount }, (_, index) => ({ ip: index + 1, port: 80 }));
  for (let modId = 0; modId < moduleCount; modId++) {
    routes.getHost(modId, 1, 0);
    if (policy !== "lars") routes.setModulePolicy(modId, 1, JSON.stringify({ policy }));
    routes.update(modId, 1, nodes, 0);
  }
  return routes;
}

/** What a balancer holds, and how many of its modules are called, in turn. */
interface PickSize {
  readonly modules: number;
  readonly nodes: number;
  readonly called: number;
  readonly policy?: string;
}

/** Makes the address of a node known, as the agent does for an answer. */
type Caller = (routes: RouteLb, modId: number, index: number) => number;

function pickOnly(routes: RouteLb, modId: number): number {
  const turn = routes.nextTurn(modId, 1, 1);
  if (turn !== NO_TURN) return routes.turnIp(turn) + routes.turnPort(turn);
  const host = routes.getHost(modId, 1, 1) as Host;
  return host.ip + host.port;
}

function pickAndReport(routes: RouteLb, modId: number, index: number): number {
  const host = routes.getHost(modId, 1, 1, index) as Host;
  routes.report(modId, 1, host.ip, host.port, 0, 0, 1);
  return host.ip + host.port;
}

function pickWork(
  name: string,
  { modules, nodes, called, policy }: PickSize,
  call: Caller = pickAndReport,
): Work {
  let routes: RouteLb | undefined; // made when it is needed: the large ones take a second
  const step = modules / called;
  let next = 0;
  const run = (count: number): number => {
    routes ??= balancer(modules, nodes, policy);
    let picked = 0;
    for (let index = 0; index < count; index++) {
      if (call(routes, next * step, index) > 0) picked++;
      next = next + 1 === called ? 0 : next + 1;
    }
    return picked;
  };
  return {
    name,
    run(count): number {
      // The first call of each node costs more, once: memory for what is told of it.
      if (routes === undefined) run(called * nodes);
      return run(count);
    },
  };
}

const ONE_NODE: PickSize = { modules: 1, nodes: 1, called: 1 };

/** What a pick costs as modules and nodes grow. */
function picks(modules: number, nodes: number, called = modules): BenchCase {
  const some = called === modules ? "" : `, ${called} of them called`;
  return {
    name: `pick, ${modules} modules x ${nodes} nodes${some}`,
    work: pickWork("RouteLb", { modules, nodes, called }, pickOnly),
    reference: pickWork("1 module x 1 node", ONE_NODE, pickOnly),
    expected: 1,
    target: { atMost: 1.3 },
  };
}

function picksWithReports(modules: number, nodes: number): BenchCase {
  return {
    name: `pick and report, ${modules} modules x ${nodes} nodes`,
    work: pickWork("RouteLb", { modules, nodes, called: modules }),
    reference: pickWork("1 module x 1 node", ONE_NODE),
    expected: 1,
  };
}

/** What the preset costs beside the original's rules. */
function picksOverLars(): BenchCase {
  const size = { modules: 1000, nodes: 3, called: 1000 };
  const reference = pickWork("policy lars", { ...size, policy: "lars" }, pickOnly);
  const work = pickWork("policy recommended", size, pickOnly);
  let isMade = false;
  const run = (count: number): number => {
    // Neither is made while it is measured.
    if (!isMade) reference.run(1), work.run(1);
    isMade = true;
    return work.run(count);
  };
  return {
    name: "pick, 1000 modules x 3 nodes, recommended over lars",
    work: { name: work.name, run },
    reference,
    expected: 1,
    target: { atMost: 1.3 },
  };
}

/** Nodes of the rows that compare policies, and of those that show how they grow. */
const POLICY_NODES = 100;
const POLICY_NODES_MANY = 10_000;

/** One policy, each call with a key, which those that know none ignore. */
function policyPicks(policy: string): BenchCase {
  const size = { modules: 1, nodes: POLICY_NODES, called: 1 };
  return {
    name: `pick and report, ${POLICY_NODES} nodes, policy ${policy}`,
    work: pickWork("RouteLb", { ...size, policy }),
    reference: pickWork("policy lars", { ...size, policy: "lars" }),
    expected: 1,
  };
}

/**
 * The same with a hundred times the nodes. O(log n) alone would cost twice as much; the rest is
 * memory that is in no cache. What walks all nodes would cost a hundred times as much.
 */
function policyGrowth(policy: string): BenchCase {
  const size = { modules: 1, nodes: POLICY_NODES_MANY, called: 1, policy };
  return {
    name: `pick and report, ${POLICY_NODES_MANY} nodes, policy ${policy}`,
    work: pickWork("RouteLb", size),
    reference: pickWork(`${POLICY_NODES} nodes`, { ...size, nodes: POLICY_NODES }),
    expected: 1,
    target: { atMost: 10 },
  };
}

function ring(): BenchCase {
  const names = ["0", "1", "2"];
  const hashRing = new HashRing(names);
  return {
    name: "hash ring pick, 3 queues",
    work: {
      name: "HashRing",
      run(count): number {
        let valid = 0;
        for (let index = 0; index < count; index++) {
          if (hashRing.pick(`${index & 1023},1`) < names.length) valid++;
        }
        return valid;
      },
    },
    reference: {
      name: "key text and modulo",
      run(count): number {
        let sum = 0;
        for (let index = 0; index < count; index++) sum += `${index & 1023},1`.length % 3;
        return sum;
      },
    },
    expected: 1,
  };
}

function routeCodec(nodeCount: number): BenchCase {
  const hosts = Array.from({ length: nodeCount }, (_, index) => ({
    ip: 3232235776 + index,
    port: 7777,
  }));
  const message = { modId: 1, cmdId: 1, hosts };
  const type = protobufTypes().find(({ name }) => name === "GetRouteResponse");
  const encode = (name: string, encoder: () => Uint8Array | undefined): Work => ({
    name,
    run(count): number {
      let bytes = 0;
      for (let index = 0; index < count; index++) bytes += encoder()?.length ?? 0;
      return bytes;
    },
  });
  return {
    name: `encode a route of ${nodeCount} nodes`,
    work: encode("own codec", () => codecs.encodeGetRouteResponse(message)),
    reference: encode(
      "protobufjs",
      () => type?.encode({ modid: 1, cmdid: 1, host: hosts }).finish(),
    ),
    expected: codecs.encodeGetRouteResponse(message).length,
  };
}

/** All rows of the pure parts. */
export function coreCases(): BenchCase[] {
  return [
    frames(),
    codec(),
    ...[1, 1000, 100_000].map((modules) => picks(modules, 3, 1)),
    ...[1000, 10_000, 100_000].map((modules) => picks(modules, 3)),
    ...[20, 1000, 10_000].map((nodes) => picks(1, nodes)),
    ...[1, 1000, 100_000].map((modules) => picksWithReports(modules, 3)),
    ...[1000, 10_000].map((nodes) => picksWithReports(1, nodes)),
    picksOverLars(),
    ...POLICIES.filter((policy) => policy !== "lars").map(policyPicks),
    ...POLICIES.map(policyGrowth),
    ring(),
    routeCodec(20),
    routeCodec(1000),
  ];
}
