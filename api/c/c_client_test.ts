// The C client's own tests, by its Makefile: plain, and with the compiler's checks of memory.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CLIENT_TESTS_TIMEOUT_MS,
  makeClient,
  playWithCheckedMemory,
} from "../../tests/support/client_tests.ts";
import { findProgram } from "../../bench/machine.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";

const TIMEOUT = { timeout: CLIENT_TESTS_TIMEOUT_MS };

test("the C client passes its own tests, without a warning", TIMEOUT, () => {
  const out = makeTempDir("lars-c-");
  try {
    const output = makeClient("c", out.path, "check", "example", "bench", "library");
    assert.match(output, /^wire_test: \d+ checks\nmemory_test: \d+ checks\ntable_test: \d+ checks/);
    makeClient("c", out.path, "sanitize");
  } finally {
    out.remove();
  }
});

for (const [compiler, debianPackage] of [["clang", "clang"], ["musl-gcc", "musl-tools"]]) {
  test(`the C client passes its own tests, compiled by ${compiler}`, TIMEOUT, (t) => {
    if (findProgram(compiler) === undefined) return t.skip(`apt-get install ${debianPackage}`);
    const out = makeTempDir("lars-c-");
    try {
      makeClient("c", out.path, `CC=${compiler}`, "check", "example", "driver", "library");
    } finally {
      out.remove();
    }
  });
}

test("the C client plays every exchange with checked memory", TIMEOUT, async () => {
  await playWithCheckedMemory("c", "CFLAGS");
});
