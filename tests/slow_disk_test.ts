// Goal: a disk that is busy holds up nobody but who waits for it. Method: `lars up` on a disk that takes
// a second for each fsync; it writes of itself all the while, and dns is asked.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { freePort, freePorts } from "./support/free_port.ts";
import { findProgram } from "./support/mariadb.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireConnection } from "./support/wire_client.ts";

const COMPILER = findProgram("gcc") ?? findProgram("cc");

/** What the disk takes, and what dns may on a machine that does other things too. */
const DISK_MS = 1000;
const ANSWER_MS_MAX = DISK_MS / 2;

/** Longest answers of those that are not the machine's fault: it stalls now and then, the disk always. */
const STALLS_MAX = 4;

test("a disk that takes a second holds up no answer of dns", {
  skip: COMPILER === undefined ? "there is no C compiler" : false,
  timeout: 120_000,
}, async () => {
  await withProcesses(async (processes) => {
    const library = `${processes.directory}/slow_disk.so`;
    const source = fileURLToPath(new URL("./support/slow_disk.c", import.meta.url));
    const made = spawnSync(COMPILER ?? "", ["-shared", "-fPIC", "-o", library, source]);
    assert.equal(made.status, 0, String(made.stderr));
    const flag = `${processes.directory}/slow`;
    const ports = [await freePort(), await freePort(), await freePort()];
    const [dns, reporter, web] = ports.map((port) => `127.0.0.1:${port}`);
    const up = processes.spawn("up", "tools/lars.ts", [
      ...["up", "--json", "--no-samples", "--data", processes.directory],
      ...["--dns", dns, "--reporter", reporter, "--console", web],
      ...["--agent", `127.0.0.1:${await freePorts(3)}`],
    ], {
      wrapper: ["env", `LD_PRELOAD=${library}`],
      env: { LARS_METRICS_PORT: "0", LARS_TEST_SLOW_DISK: flag },
    });
    await until(() => up.stdout.includes('"event":"up"'), { what: "the start", timeoutMs: 60_000 });
    const asker = await WireConnection.open(ports[0]);
    writeFileSync(flag, "");
    const times: number[] = [];
    const endMs = systemClock.nowMs() + 12_000;
    while (systemClock.nowMs() < endMs) {
      const startMs = systemClock.nowMs();
      asker.askRoute(70, 7);
      await until(() => asker.frames.length > 0, { what: "an answer", intervalMs: 2 });
      asker.frames.length = 0;
      times.push(systemClock.nowMs() - startMs);
      await sleep(systemClock, 20);
    }
    asker.close();
    const slow = times.filter((ms) => ms > ANSWER_MS_MAX).map(Math.round);
    console.log(`${times.length} answers, the longest ${Math.round(Math.max(...times))} ms`);
    assert.ok(slow.length <= STALLS_MAX, `${slow} ms`);
  });
});
