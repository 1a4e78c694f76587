// Goal: what the C client does here it does on 64-bit ARM, whose loads may overtake each other. Method: it
// is compiled for that machine and run by an emulator; what the emulator's host keeps in order by itself
// is looked up in the instructions.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { findProgram } from "../../bench/machine.ts";
import { checkClient, readDrivers, readExchanges } from "../../scripts/run_conformance.ts";
import {
  CLIENT_TESTS_TIMEOUT_MS,
  leftOutByClient,
  makeClient,
  runOwnTests,
} from "../../tests/support/client_tests.ts";
import { PROJECT_ROOT, scriptCommand } from "../../tests/support/processes.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";

const COMPILER = "aarch64-linux-gnu-gcc";
const EMULATOR = "qemu-aarch64-static";

/** The C library is in the program: the emulator then needs no files of another machine. */
const FOR_ARM = [`CC=${COMPILER}`, "LDFLAGS=-static"];

const lacking = [COMPILER, EMULATOR].filter((program) => findProgram(program) === undefined);
const options = {
  timeout: CLIENT_TESTS_TIMEOUT_MS,
  skip: lacking.length > 0 &&
    "apt-get install qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
};

test(
  "ARM: the C client passes its own tests, without a warning",
  options,
  () =>
    withTempDir((out) => {
      const printed = makeClient("c", out, ...FOR_ARM, `RUN=${EMULATOR}`, "check");
      for (const name of ["wire", "memory", "table", "cursors", "seal"]) {
        assert.match(printed, new RegExp(`^${name}_test: \\d+ checks$`, "m"));
      }
    }),
);

test("ARM: the C client plays every exchange", options, () =>
  withTempDir(async (out) => {
    const driver = readDrivers().get("c");
    assert.ok(driver?.build !== undefined);
    const { passed, leftOut, failed } = await checkClient({
      ...driver,
      build: [...driver.build, ...FOR_ARM, "STRICT=-Werror"],
      run: [EMULATOR, ...driver.run],
    }, out);
    assert.deepEqual([failed, leftOutByClient(leftOut)], [[], []]);
    assert.equal(passed + leftOut.length, readExchanges().length);
  }));

test("ARM: a schedule is read before its entries", options, () =>
  withTempDir((out) => {
    makeClient("c", out, ...FOR_ARM, `${out}/table.o`);
    const { stdout } = spawnSync("aarch64-linux-gnu-objdump", ["-d", `${out}/table.o`], {
      encoding: "utf8",
    });
    assert.match(stdout, /\bldapr\b|\bldar\b/, "a load that no later one overtakes");
  }));

test(
  "ARM: no entry is torn while an agent of another machine writes",
  options,
  () =>
    withTempDir(async (out) => {
      const reader = join(out, "table_check");
      const source = `${PROJECT_ROOT}/proto/testing/table_check.c`;
      runOwnTests("c", [COMPILER, "-O2", "-static", "-pthread", "-o", reader, source]);
      const path = join(out, "agent.table");
      const [program, ...words] = scriptCommand("agent/testing/table_writer.ts");
      const writer = spawn(program, [...words, path, "200", "20", "busy"], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      try {
        await once(writer.stdout, "data");
        const { stdout, status } = spawnSync(EMULATOR, [reader, path, "200", "3", "3000"], {
          encoding: "utf8",
          timeout: CLIENT_TESTS_TIMEOUT_MS,
        });
        assert.equal(status, 0);
        const { picks, asked, torn } = JSON.parse(stdout) as Record<string, number>;
        assert.equal(torn, 0, `${torn} of ${picks} entries`);
        assert.ok(picks - asked > 1000, `${picks} picks, ${asked} of them asked for`);
      } finally {
        writer.kill("SIGKILL");
      }
    }),
);
