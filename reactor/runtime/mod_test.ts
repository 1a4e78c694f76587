import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { testConnector, testStream, withAcceptedPair } from "../testing/tcp_conformance.ts";
import { errorCode } from "./common.ts";
import { runtime } from "./mod.ts";

testStream("an accepted", (body) => withAcceptedPair(runtime, body));
testConnector("the runtime's", (body) => body(runtime));

test("runtime tells what it runs on", async () => {
  assert.ok(["deno", "bun"].includes(runtime.name));
  assert.match(runtime.version, /^\d+\.\d+\.\d+/);
  assert.ok(runtime.memoryBytes() > 1_000_000);
  assert.equal(runtime.isCompiled, false);
  assert.equal(typeof runtime.isTerminal("stdout"), "boolean");
  const limit = runtime.openFilesMax();
  assert.ok(limit === undefined || limit > 0);
  process.env.LARS_RUNTIME_TEST = "here";
  assert.equal(runtime.env("LARS_RUNTIME_TEST"), "here");
  assert.equal(runtime.envAll().LARS_RUNTIME_TEST, "here");
  delete process.env.LARS_RUNTIME_TEST;
  assert.equal(runtime.env("LARS_RUNTIME_TEST"), undefined);
  const source = await runtime.readTextFile(fileURLToPath(new URL("./mod.ts", import.meta.url)));
  assert.match(source, /Picks the runtime/);
  await assert.rejects(runtime.readTextFile("/no/such/file"), (error) => {
    assert.equal(errorCode(error), "ENOENT");
    return true;
  });
});

test("selfCommand() starts a program with arguments, output, signal handling and exit code", () =>
  withTempDir((directory) => {
    const module = new URL("./mod.ts", import.meta.url).href;
    const script = join(directory, "program.ts");
    const source = `import { runtime } from ${JSON.stringify(module)};
const undo = runtime.onSignal("SIGHUP", () => {
  undo();
  runtime.writeStdout("x".repeat(300_000) + runtime.args.join(","));
  runtime.writeStderr("err");
  runtime.exit(3);
});
setTimeout(() => {}, 10_000);
setTimeout(() => process.kill(process.pid, "SIGHUP"), 1);
`;
    writeFileSync(script, `import process from "node:process";\n${source}`);
    const [command, ...args] = runtime.selfCommand(script);
    const result = spawnSync(command, [...args, "a", "--b=c"], { encoding: "utf8" });
    assert.equal(result.status, 3, result.stderr);
    assert.equal(result.stdout.length, 300_000 + "a,--b=c".length);
    assert.ok(result.stdout.endsWith("xa,--b=c"));
    assert.equal(result.stderr, "err");
  }));

test("tryLockFile() lets one have a file, until it gives it back or its process ends", () =>
  withTempDir(async (directory) => {
    const path = join(directory, "lock");
    const first = runtime.tryLockFile(path);
    assert.ok(first !== undefined);
    assert.equal(runtime.tryLockFile(path), undefined, "not twice");
    first.unlock();
    const module = new URL("./mod.ts", import.meta.url).href;
    const script = join(directory, "program.ts");
    writeFileSync(
      script,
      `import { runtime } from ${JSON.stringify(module)};
runtime.writeStdout(String(runtime.tryLockFile(${JSON.stringify(path)}) !== undefined));
setTimeout(() => {}, 60_000);
`,
    );
    const [command, ...args] = runtime.selfCommand(script);
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    const [said] = await once(child.stdout, "data");
    assert.equal(String(said), "true");
    assert.equal(runtime.tryLockFile(path), undefined, "the other process has it");
    child.kill("SIGKILL");
    await ended;
    const last = runtime.tryLockFile(path);
    assert.ok(last !== undefined, "it went with the process");
    last.unlock();
    assert.throws(() => runtime.tryLockFile(join(directory, "no", "lock")));
  }));

test("replaceFile() writes a file in a folder it makes, and readFile() reads it up to its limit", () =>
  withTempDir(async (parent) => {
    const directory = join(parent, "made", "when needed");
    const path = join(directory, "file");
    await assert.rejects(runtime.readFile(path, 10), (error) => errorCode(error) === "ENOENT");
    for (const bytes of [new Uint8Array(10).fill(1), Uint8Array.of(2), new Uint8Array(0)]) {
      await runtime.replaceFile(directory, "file", bytes);
      assert.deepEqual([...await runtime.readFile(path, 10)], [...bytes]);
    }
    await runtime.replaceFile(directory, "file", new Uint8Array(11));
    await assert.rejects(runtime.readFile(path, 10), RangeError);
    assert.deepEqual(readdirSync(directory), ["file"]);
  }));
