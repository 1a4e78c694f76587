import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { fileURLToPath } from "node:url";
import { until } from "../../tests/support/until.ts";
import { batchTcpFault } from "../fast/batch_tcp.ts";
import { ProtocolError } from "../errors.ts";
import { systemClock } from "../time/system_clock.ts";
import { TestProgram } from "../testing/program.ts";
import { decodeEchoMessage, encodeEchoMessage } from "./echo_message.ts";
import { readExampleOptions } from "./example_options.ts";

/** A program starts in well under a second; a busy machine may need much longer. */
const timeoutMs = 20_000;
const timeout = 60_000;

function start(name: string, ...args: string[]): TestProgram {
  return new TestProgram(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), args);
}

/** Runs `client` against `server` until its output has all of `words`, then ends both politely. */
async function runPair(
  server: TestProgram,
  client: (port: string) => TestProgram,
  words: readonly string[],
): Promise<TestProgram> {
  try {
    const listens = (): boolean => server.stdout.includes("listening on");
    await until(() => listens() || !server.running, { timeoutMs, what: "the server" });
    assert.ok(listens(), server.stderr);
    const program = client(String(server.port));
    try {
      await until(() => words.every((word) => program.stdout.includes(word)) || !program.running, {
        timeoutMs,
        what: words.join(", "),
      });
      for (const word of words) assert.ok(program.stdout.includes(word), program.stderr);
    } finally {
      assert.equal(await program.stop("SIGTERM"), 0, program.stderr);
    }
    return program;
  } finally {
    assert.equal(await server.stop("SIGTERM"), 0, server.stderr);
  }
}

test("echo_server and echo_client talk", { timeout }, async () => {
  const server = start("echo_server", "--port", "0");
  await runPair(server, (port) => start("echo_client", "--port", port), [
    "server: welcome! you are online",
    "echo: Hello Lars!",
    "echo: Hello again, 1",
  ]);
  assert.match(server.stdout, /visitor 1 says: here I am/);
  assert.match(server.stdout, /visitor 1 left after [2-9] echoes: peer closed/);
});

test("task_server gives a task to every loop", { timeout }, async () => {
  const server = start("task_server", "--port", "0", "--loops", "3");
  await runPair(server, (port) => start("echo_client", "--port", port), [
    "server: Hello, I am a task!",
    "echo: Hello Lars!",
  ]);
  for (const loop of [0, 1, 2]) assert.match(server.stdout, new RegExp(`loop ${loop} greeted`));
});

test("qps_client counts the echoes of qps_server", { timeout }, async () => {
  const server = start("qps_server", "--port", "0");
  const client = await runPair(server, (port) => {
    return start("qps_client", "--port", port, "--connections=3", "--window=2");
  }, ["---> qps = "]);
  assert.match(client.stdout, /^---> qps = [1-9]\d* <----$/m);
  assert.match(server.stdout, /^[1-9]\d* messages, [1-9]\d* bytes$/m);
});

test("qps_server ends by itself on the fast path, its connections served", {
  timeout,
  skip: batchTcpFault(systemClock) === undefined ? false : "not on this machine",
}, async () => {
  const server = start("qps_server", "--port=0", "--fast=1", "--seconds=6");
  await until(() => server.port !== undefined, { timeoutMs, what: "the server" });
  const client = start("qps_client", `--port=${server.port}`, "--connections=3");
  await until(() => client.stdout.includes("---> qps = "), { timeoutMs, what: "a count" });
  assert.equal(await server.ended(), 0, server.stderr);
  assert.match(server.stdout, /^[1-9]\d* messages, [1-9]\d* bytes$/m);
  await client.stop();
});

test("udp_echo answers itself and ends by itself", { timeout }, async () => {
  const program = start("udp_echo", "--port=0", "--seconds=1");
  assert.equal(await program.ended(), 0, program.stderr);
  assert.match(program.stdout, /echo: Hello Lars, 0!\n[1-9]\d* answers, 0 lost/);
});

test("an example says which option it does not know", { timeout }, async () => {
  const program = start("echo_client", "--prot", "1");
  assert.equal(await program.ended(), 1);
  assert.match(program.stderr, /Option must be one of --port, .*: current value is "--prot"/);
});

test("readExampleOptions() reads both forms and refuses other values", () => {
  assert.deepEqual(readExampleOptions(["--port=1", "--seconds", "2"], { loops: 9 }), {
    port: 1,
    seconds: 2,
    connections: 1,
    window: 1,
    loops: 9,
    fast: 0,
  });
  for (const args of [["--port", "x"], ["--port"], ["--toString", "1"], ["--port=-1"]]) {
    assert.throws(() => readExampleOptions(args), RangeError);
  }
});

test("decodeEchoMessage() reads what encodeEchoMessage() wrote, and nothing else", () => {
  const content = new TextEncoder().encode("Hello Lars!!!");
  for (const id of [0, 1, 127, 128, 300, 2 ** 31 - 1]) {
    const message = decodeEchoMessage(encodeEchoMessage({ content, id }));
    assert.equal(message.id, id);
    assert.deepEqual([...message.content], [...content]);
  }
  // As a protobuf library writes it: a zero is left out.
  assert.equal(decodeEchoMessage(Uint8Array.of(0x0a, 1, 65)).id, 0);
  assert.throws(() => encodeEchoMessage({ content: new Uint8Array(128), id: 0 }), RangeError);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
    try {
      decodeEchoMessage(bytes);
    } catch (error) {
      assert.ok(error instanceof ProtocolError);
    }
  }));
});
