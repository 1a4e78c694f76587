// deno-lint-ignore-file explicit-function-return-type no-process-global
// For tests, run by Node: gRPC nodes that answer with their number, and a gRPC client that finds them
// by xDS. Commands are lines on standard input, answers lines of JSON.

import { createRequire } from "node:module";
import process from "node:process";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const grpc = require("@grpc/grpc-js");
require("@grpc/grpc-js-xds").register();

const identity = (bytes) => bytes;
const METHOD = {
  path: "/lars.test/Who",
  requestStream: false,
  responseStream: false,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};
const servers = [];
const clients = new Map();
const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

function startNode(index, port) {
  return new Promise((resolve, reject) => {
    const server = new grpc.Server();
    server.addService({ Who: METHOD }, {
      Who: (_call, done) => done(null, Buffer.from([index])),
    });
    servers[index] = server;
    server.bindAsync(
      `127.0.0.1:${port}`,
      grpc.ServerCredentials.createInsecure(),
      (error, bound) => {
        if (error) reject(error);
        else resolve(bound);
      },
    );
  });
}

function call(target) {
  let client = clients.get(target);
  if (client === undefined) {
    client = new grpc.Client(`xds:///${target}`, grpc.credentials.createInsecure());
    clients.set(target, client);
  }
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      METHOD.path,
      identity,
      identity,
      Buffer.alloc(0),
      { deadline: Date.now() + 5_000 },
      (error, answer) => resolve(error ? `error ${error.code}` : answer[0]),
    );
  });
}

const COMMANDS = {
  node: async (index, port) => ({ port: await startNode(Number(index), Number(port ?? 0)) }),
  stop: (index) => {
    servers[Number(index)].forceShutdown();
    return {};
  },
  call: async (target, count) => {
    const counts = {};
    for (let i = 0; i < Number(count); i++) {
      const answer = await call(target);
      counts[answer] = (counts[answer] ?? 0) + 1;
    }
    return counts;
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [word, ...rest] = line.split(" ");
  try {
    say(await COMMANDS[word](...rest));
  } catch (error) {
    say({ fault: String(error) });
  }
}).on("close", () => process.exit(0));
