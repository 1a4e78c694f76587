// Goal: nothing a reader meets is torn, while the writer changes all the time, is killed in the middle of
// it, and is started again. Method: the reader in C of the contract, in several threads.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { compileNative } from "../../bench/native_tools.ts";
import { openFileMaps } from "../../reactor/runtime/file_maps.ts";
import { scriptCommand } from "../../tests/support/processes.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";

const MODULES = 200;
const READ_MS = 6000;
const KILLS = 3;

/** Starts of four writers, a reading, and on a busy machine some more of them. */
const TIMEOUT_MS = 180_000;

/** How often it is read again until there was enough to see. */
const MORE_READS_MAX = 20;

interface Counts {
  picks: number;
  torn: number;
  asked: number;
  refused: number;
  probes: number;
  maps: number;
  stale: number;
}

function whyNot(): string | false {
  try {
    openFileMaps();
  } catch (error) {
    return String(error);
  }
  return process.platform === "linux" ? false : "not Linux";
}

class Writer {
  readonly #process;
  #said = "";

  constructor(path: string) {
    const [command, ...args] = [
      ...scriptCommand("agent/testing/table_writer.ts"),
      ...[path, String(MODULES), "20", "busy"],
    ];
    this.#process = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#process.stdout.on("data", (text) => this.#said += text);
  }

  async ready(): Promise<this> {
    await until(() => this.#said.includes("ready"), { what: "the first table of a writer" });
    return this;
  }

  /** kill -9, wherever it is. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }
}

function readBy(program: string, path: string): { counts: Promise<Counts>; alive(): boolean } {
  const reader = spawn(program, [path, String(MODULES), "3", String(READ_MS)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  let isAlive = true;
  reader.stdout.on("data", (text) => said += text);
  const counts = once(reader, "close").then(([code, signal]) => {
    isAlive = false;
    assert.deepEqual([code, signal], [0, null], "a reader must never die of the table");
    return JSON.parse(said) as Counts;
  });
  return { counts, alive: () => isAlive };
}

test("nothing is torn, also when the writer is killed and started again", {
  skip: whyNot(),
  timeout: TIMEOUT_MS,
}, async (t) => {
  await withTempDir(async (directory) => {
    const built = compileNative(
      "table_check",
      directory,
      new URL("../../proto/testing/", import.meta.url),
    );
    if ("reason" in built) return t.skip(built.reason);
    const path = join(directory, "agent.table");
    let writer = await new Writer(path).ready();
    try {
      const { counts, alive } = readBy(built.path, path);
      for (let kill = 0; kill < KILLS && alive(); kill++) {
        await writer.kill();
        writer = await new Writer(path).ready();
      }
      const first = await counts;
      assert.ok(first.maps >= 3, "each thread has mapped the table");
      const sum = { ...first };
      const isEnough = (): boolean => sum.picks - sum.asked > 1000 && sum.probes > 0;
      // A slow machine spends the time above on starts of writers: the last of them goes on changing.
      for (let more = 0; more < MORE_READS_MAX && !isEnough(); more++) {
        const next = await readBy(built.path, path).counts;
        for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += next[name];
      }
      const { picks, torn, asked, probes } = sum;
      assert.equal(torn, 0, `${torn} of ${picks} entries`);
      assert.ok(picks - asked > 1000, `${picks} picks, ${asked} of them asked for`);
      assert.ok(probes > 0, "nodes were out at times");
    } finally {
      await writer.kill();
    }
  });
});
