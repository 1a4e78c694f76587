// Foreign programs of the seed's discovery protocol, in C, written from its structs alone.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, test } from "node:test";
import { startSeedListener } from "../discovery/testing/seed_bench.ts";
import { PROJECT_ROOT } from "./support/processes.ts";
import { makeTempDir } from "./support/temp_dir.ts";

const directory = makeTempDir("lars-seed-");
after(() => directory.remove());

const COMPILER = ["cc", "gcc"].find((name) => spawnSync(name, ["--version"]).status === 0);

/** Compiles a program of `tests/seed`. */
function compile(name: string): string {
  const path = join(directory.path, name);
  const source = join(PROJECT_ROOT, "tests/seed", `${name}.c`);
  const made = spawnSync(COMPILER ?? "cc", ["-O1", "-Wall", "-Werror", "-o", path, source]);
  assert.equal(made.status, 0, String(made.stderr));
  return path;
}

/** Runs a program to its end; its lines. */
function run(path: string, args: readonly string[]): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args);
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk) => (out += chunk));
    child.stderr.on("data", (chunk) => (err += chunk));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(out.split("\n").filter((line) => line !== ""));
      else reject(new Error(`${path} ${args.join(" ")} ended with ${code}: ${err}`));
    });
  });
}

test(
  "seed programs in C register, connect, come back both ways, beat and unregister",
  { skip: COMPILER === undefined ? "no C compiler" : false },
  async () => {
    const [server, client] = [compile("server"), compile("client")];
    const { listener, port, hearts } = await startSeedListener();
    const at = ["127.0.0.1", String(port)];
    try {
      assert.deepEqual(await run(client, [...at, "connect"]), ["-1 - 0"]);
      const nodes = Array.from({ length: 120 }, (_, index) => `register=10.0.0.1:${3000 + index}`);
      const ids = await run(server, [...at, ...nodes]);
      assert.deepEqual(ids, nodes.map((_, index) => String(index)));
      assert.deepEqual(
        await run(client, [...at, "connect", "ok=0", "connect", "bad=1", "left=0", "connect"]),
        ["0 10.0.0.1 3000", "1 10.0.0.1 3001", "2 10.0.0.1 3002", "0 10.0.0.1 3000"],
      );
      assert.deepEqual(await run(server, [...at, "register=:9000", "heart"]), ["120"]);
      assert.deepEqual(hearts.map((node) => node.port), [9000]);
      await run(server, [...at, ...ids.map((id) => `unregister=${id}`)]);
      assert.deepEqual(await run(client, [...at, "connect"]), ["120 127.0.0.1 9000"]);
    } finally {
      await listener.close();
    }
  },
);
