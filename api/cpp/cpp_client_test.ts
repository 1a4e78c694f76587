// The C++ client: its header is that of the C sources, its own tests, every exchange with checked memory.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { joinCppHeader } from "../../scripts/cpp_header.ts";
import { checkClient, readDrivers, readExchanges } from "../../scripts/run_conformance.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Compiling takes seconds; on a busy machine many times that. */
const TIMEOUT_MS = 600_000;

const SANITIZED = "CXXFLAGS=-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all";

function make(out: string, ...words: string[]): string {
  const argv = ["--silent", "-C", FOLDER, `OUT=${out}`, "STRICT=-Werror", ...words];
  const { status, stdout, stderr, error } = spawnSync("make", argv, {
    encoding: "utf8",
    timeout: TIMEOUT_MS,
  });
  assert.equal(error, undefined, "make must run: apt-get install make g++");
  assert.equal(status, 0, `${stdout}${stderr}`);
  return stdout;
}

test("lars.hpp is the C client and its front as they are now", () => {
  const joined = joinCppHeader((path) => readFileSync(`${ROOT}/${path}`, "utf8"));
  const committed = readFileSync(`${FOLDER}/lars.hpp`, "utf8");
  assert.equal(joined, committed, "run deno task cpp");
  assert.doesNotMatch(joined, /^static /m);
  assert.doesNotMatch(joined, /#include "/);
});

test("the C++ client passes its own tests, without a warning", { timeout: TIMEOUT_MS }, () => {
  const out = makeTempDir("lars-cpp-");
  try {
    assert.match(
      make(out.path, "check", "example", "bench", "library"),
      /^client_test: \d+ checks$/m,
    );
    make(out.path, "sanitize");
  } finally {
    out.remove();
  }
});

test(
  "the C++ client plays every exchange with checked memory",
  { timeout: TIMEOUT_MS },
  async () => {
    const out = makeTempDir("lars-cpp-");
    try {
      const command = readDrivers().get("cpp");
      assert.ok(command?.build !== undefined);
      const build = [...command.build, SANITIZED, "STRICT=-Werror"];
      const { passed, leftOut, failed } = await checkClient({ ...command, build }, out.path);
      assert.deepEqual(failed, []);
      assert.deepEqual(leftOut, []);
      assert.equal(passed, readExchanges().length);
    } finally {
      out.remove();
    }
  },
);
