// Shell. A program for tests that is very many nodes over many connections, and tells whenever all of
// them are registered.

import { NodeRegistrar } from "../../api/register.ts";
import { runtime } from "../../reactor/runtime/mod.ts";

/** Of one connection, as of a host. */
const NODES_PER_HOST = 50;

const [discovery, countText] = runtime.args;
const count = Number(countText);
let registered = 0;
let rounds = 0;

function registerOne(registrar: NodeRegistrar, index: number): Promise<unknown> {
  return registrar.register({
    ...{ modId: 7, cmdId: 1 + Math.floor(index / 1_000), port: 1 + index % 60_000 },
    ...{ ttlMs: 60_000, createModule: true, ip: `127.0.${1 + Math.floor(index / 60_000)}.1` },
    onState: (state) => {
      const was = registered;
      registered += state === "registered" ? 1 : state === "connecting" ? -1 : 0;
      if (registered === count && was < count) runtime.writeStdout(`all ${++rounds}\n`);
    },
  });
}

const hosts = Array.from(
  { length: Math.ceil(count / NODES_PER_HOST) },
  () => new NodeRegistrar({ discovery }),
);
await Promise.all(
  Array.from({ length: count }, (_, index) => registerOne(hosts[index % hosts.length], index)),
);
// It lives until it is killed.
await new Promise<void>((resolve) => void runtime.onSignal("SIGTERM", () => resolve()));
