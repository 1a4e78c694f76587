// Shell. Clients of xDS, each on a connection of its own, that follow the same names: how long until
// the last of them has a change, and what that costs the server.

import { Buffer } from "node:buffer";
import { connect } from "node:net";
// @ts-types="../export/xds/grpc.d.ts"
import { Client, type ClientStream, credentials } from "@grpc/grpc-js";
import { decodeXds, encodeXds, XdsType } from "../export/xds/messages.ts";
import { sleep } from "../reactor/time/clock.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { cpuSeconds, residentBytes } from "./machine.ts";
import { readWords, tell } from "./program.ts";

/** A change that takes longer is lost. */
const CHANGE_MS_MAX = 30_000;
/** Streams that are opened at once. */
const OPENING_MAX = 50;
/** Time in which what follows an answer comes to rest, before memory or processor time are read. */
const SETTLE_MS = 500;

const words = readWords(runtime.args);
const [port, controlPort, pid] = ["port", "control", "pid"].map((name) => words.number(name));
const [streams, names, rounds] = [
  words.number("streams", 1000),
  words.number("names", 50),
  words.number("rounds", 5),
];
const asked = Array.from({ length: names }, (_, index) => `m${index + 1}`);
const bytes = (one: Buffer): Buffer => one;
const METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/** Answers with endpoints since the latest change. */
let informed = 0;
let wanted = Infinity;
let onAll: () => void = () => undefined;

function allHave(count: number): Promise<void> {
  informed = 0;
  wanted = count;
  return new Promise((resolve, reject) => {
    const timer = systemClock.setTimer(
      CHANGE_MS_MAX,
      () => reject(new Error(`Only ${informed} of ${count} clients heard of it`)),
    );
    onAll = (): void => {
      timer.cancel();
      resolve();
    };
  });
}

function say(stream: ClientStream, values: Record<string, unknown>): void {
  stream.write(Buffer.from(encodeXds("DiscoveryRequest", values)));
}

function open(): void {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const stream = client.makeBidiStreamRequest(METHOD, bytes, bytes);
  stream.on("error", (error) => {
    runtime.writeStderr(`A stream has ended: ${error.message}\n`);
    runtime.exit(3);
  });
  stream.on("data", (message) => {
    const { type_url, nonce, version_info } = decodeXds<
      { type_url: string; nonce: string; version_info: string }
    >("DiscoveryResponse", message);
    say(stream, { type_url, version_info, response_nonce: nonce, resource_names: asked });
    if (type_url === XdsType.endpoints && ++informed === wanted) onAll();
  });
  say(stream, { node: { id: "bench" }, type_url: XdsType.listener, resource_names: asked });
  for (const type_url of [XdsType.cluster, XdsType.endpoints]) {
    say(stream, { type_url, resource_names: asked });
  }
}

const restBytes = residentBytes(pid) ?? NaN;
for (let opened = 0; opened < streams; opened += OPENING_MAX) {
  const some = Math.min(OPENING_MAX, streams - opened);
  const all = allHave(some);
  for (let i = 0; i < some; i++) open();
  await all;
}
await sleep(systemClock, SETTLE_MS);
const bytesPerStream = ((residentBytes(pid) ?? NaN) - restBytes) / streams;
const control = connect(controlPort, "127.0.0.1");
await new Promise<void>((resolve) => control.once("connect", () => resolve()));
const ms: number[] = [];
const cpuMs: number[] = [];
for (let round = 0; round < rounds; round++) {
  const all = allHave(streams);
  const beforeS = cpuSeconds(pid) ?? NaN;
  const startMs = systemClock.nowMs();
  control.write("c");
  await all;
  ms.push(systemClock.nowMs() - startMs);
  await sleep(systemClock, SETTLE_MS);
  cpuMs.push(((cpuSeconds(pid) ?? NaN) - beforeS) * 1000);
}
tell({ ms, cpuMs, bytesPerStream });
runtime.exit(0);
