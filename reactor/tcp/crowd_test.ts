import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { until } from "../../tests/support/until.ts";
import { batchTcpFault } from "../fast/batch_tcp.ts";
import { systemClock } from "../time/system_clock.ts";
import { TestProgram } from "../testing/program.ts";

const CONNECTIONS = 10_000;
/** Both sides are processes of their own, so that one needs no more than this. */
const OPEN_FILES = CONNECTIONS + 300;

const timeout = 90_000;

function script(name: string): string {
  return fileURLToPath(new URL(`../testing/${name}`, import.meta.url));
}

const mayOpen = spawnSync("sh", ["-c", `ulimit -n ${OPEN_FILES}`]).status === 0;

for (const path of batchTcpFault(systemClock) === undefined ? ["portable", "fast"] : ["portable"]) {
  test(`TcpServer on the ${path} path answers each of 10,000 connections, and forgets them`, {
    timeout,
    skip: mayOpen ? false : `the system allows fewer than ${OPEN_FILES} open files`,
  }, () => testCrowd(path));
}

async function testCrowd(path: string): Promise<void> {
  const openFiles = OPEN_FILES;
  const server = new TestProgram(script("crowded_server.ts"), [`${CONNECTIONS}`, path], {
    openFiles,
  });
  let crowd: TestProgram | undefined;
  try {
    await until(() => server.port !== undefined, { timeoutMs: 20_000, what: "the port" });
    crowd = new TestProgram(script("crowd.ts"), [`${server.port}`, `${CONNECTIONS}`], {
      openFiles,
    });
    const ends = (): boolean => crowd?.running === false || /answers=/.test(crowd?.stdout ?? "");
    await until(ends, { timeoutMs: 60_000, what: "every answer" });
    assert.equal(crowd.stdout, `answers=${CONNECTIONS};\n`, crowd.stderr);
    const all = `open=${CONNECTIONS} framesIn=${CONNECTIONS} refused=0;`;
    await until(() => server.stdout.includes(all), { timeoutMs: 5000, what: all });
    await crowd.stop();
    const none = `open=0 framesIn=${CONNECTIONS} refused=0;`;
    await until(() => server.stdout.includes(none), { timeoutMs: 20_000, what: none });
    assert.equal(server.running, true, server.stderr);
  } finally {
    await crowd?.stop();
    await server.stop();
  }
}
