// deno-lint-ignore-file explicit-function-return-type no-process-global
// For tests, run by Node: nodes that serve HTTP and gRPC, or callers of both over HAProxy and xDS.
// Commands are lines on standard input, answers lines of JSON.

import http from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const grpc = require("@grpc/grpc-js");
require("@grpc/grpc-js-xds").register();

const identity = (bytes) => bytes;
const METHOD = {
  path: "/lars.test/Work",
  requestStream: false,
  responseStream: false,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};
/** Time that a call takes at its node. */
const WORK_MS = 5;
const nodes = [];

class Node {
  active = 0;
  lastAtMs = 0;
  calls = 0;
  sockets = new Set();
  ways = {};

  begin(way) {
    this.ways[way] = (this.ways[way] ?? 0) + 1;
    this.active++;
    this.calls++;
    this.lastAtMs = performance.now();
  }

  end() {
    this.active--;
  }

  async start(httpPort, grpcPort) {
    this.http = http.createServer((request, response) => {
      this.begin(request.url);
      setTimeout(() => {
        this.end();
        response.end("ok");
      }, WORK_MS);
    });
    this.http.on("connection", (socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    this.http.keepAliveTimeout = 60_000;
    await new Promise((resolve, reject) => {
      this.http.once("error", reject);
      this.http.listen(httpPort, "127.0.0.1", resolve);
    });
    this.grpc = new grpc.Server();
    this.grpc.addService({ Work: METHOD }, {
      Work: (_call, done) => {
        this.begin("grpc");
        setTimeout(() => {
          this.end();
          done(null, Buffer.from("ok"));
        }, WORK_MS);
      },
    });
    const bound = await new Promise((resolve, reject) => {
      this.grpc.bindAsync(
        `127.0.0.1:${grpcPort}`,
        grpc.ServerCredentials.createInsecure(),
        (error, port) => error ? reject(error) : resolve(port),
      );
    });
    return { http: this.http.address().port, grpc: bound };
  }

  /** As a process that ends: every connection is cut. */
  stop() {
    this.grpc.forceShutdown();
    const closed = new Promise((resolve) => this.http.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    return closed;
  }
}

const counts = {};

function count(way, reason) {
  const of = counts[way] ??= { calls: 0, failed: 0, reasons: {} };
  of.calls++;
  if (reason === undefined) return;
  of.failed++;
  of.reasons[reason] = (of.reasons[reason] ?? 0) + 1;
}

/** Begins so many calls a second, on time, whether those before have ended or not. */
function every(rate, call) {
  const startMs = performance.now();
  let done = 0;
  const timer = setInterval(() => {
    const due = Math.floor((performance.now() - startMs) / 1000 * rate);
    for (; done < due; done++) call();
  }, 5);
  return timer;
}

const timers = [];
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

function callHttp(port) {
  const request = http.get(
    { host: "127.0.0.1", port, agent, path: "/haproxy", timeout: 5_000 },
    (response) => {
      response.resume();
      response.on(
        "end",
        () =>
          count(
            "haproxy",
            response.statusCode === 200 ? undefined : `status ${response.statusCode}`,
          ),
      );
    },
  );
  request.on("timeout", () => request.destroy(new Error("timeout")));
  request.on("error", (error) => count("haproxy", error.code ?? error.message));
}

const COMMANDS = {
  start: async (index, httpPort = 0, grpcPort = 0) => {
    const node = nodes[index] ??= new Node();
    return await node.start(Number(httpPort), Number(grpcPort));
  },
  stop: async (index) => {
    await nodes[index].stop();
    return {};
  },
  node: (index) => {
    const { active, lastAtMs, calls, ways } = nodes[index];
    return { active, calls, ways, quietMs: performance.now() - lastAtMs };
  },
  haproxy: (rate, port) => {
    timers.push(every(Number(rate), () => callHttp(Number(port))));
    return {};
  },
  grpc: async (rate, target) => {
    const client = new grpc.Client(`xds:///${target}`, grpc.credentials.createInsecure());
    await new Promise((resolve, reject) => {
      client.waitForReady(Date.now() + 30_000, (error) => error ? reject(error) : resolve());
    });
    const call = () =>
      client.makeUnaryRequest(
        ...[METHOD.path, identity, identity, Buffer.alloc(0), { deadline: Date.now() + 5_000 }],
        (error) =>
          count(
            "grpc",
            error
              ? `code ${error.code}: ${
                error.details.replace(/ after .*|\d+\.\d+\.\d+\.\d+:\d+.*/, "")
              }`
              : undefined,
          ),
      );
    timers.push(every(Number(rate), call));
    return {};
  },
  halt: async () => {
    for (const timer of timers) clearInterval(timer);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return counts;
  },
  counts: () => counts,
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [word, ...rest] = line.split(" ");
  try {
    process.stdout.write(JSON.stringify(await COMMANDS[word](...rest)) + "\n");
  } catch (error) {
    process.stdout.write(JSON.stringify({ fault: String(error) }) + "\n");
  }
}).on("close", () => process.exit(0));
