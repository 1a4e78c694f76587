// The C++ client: its header is that of the C sources, its own tests, every exchange with checked memory.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { joinCppHeader } from "../../scripts/cpp_header.ts";
import {
  CLIENT_TESTS_TIMEOUT_MS,
  makeClient,
  playWithCheckedMemory,
} from "../../tests/support/client_tests.ts";
import { PROJECT_ROOT } from "../../tests/support/processes.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";

const TIMEOUT = { timeout: CLIENT_TESTS_TIMEOUT_MS };

test("lars.hpp is the C client and its front as they are now", () => {
  const joined = joinCppHeader((path) => readFileSync(`${PROJECT_ROOT}/${path}`, "utf8"));
  const committed = readFileSync(`${PROJECT_ROOT}/api/cpp/lars.hpp`, "utf8");
  assert.equal(joined, committed, "run deno task cpp");
  assert.doesNotMatch(joined, /^static /m);
  assert.doesNotMatch(joined, /#include "/);
});

test("the C++ client passes its own tests, without a warning", TIMEOUT, () => {
  const out = makeTempDir("lars-cpp-");
  try {
    assert.match(
      makeClient("cpp", out.path, "check", "example", "bench", "library"),
      /^client_test: \d+ checks$/m,
    );
    makeClient("cpp", out.path, "sanitize");
  } finally {
    out.remove();
  }
});

test("the C++ client plays every exchange with checked memory", TIMEOUT, async () => {
  await playWithCheckedMemory("cpp", "CXXFLAGS");
});
