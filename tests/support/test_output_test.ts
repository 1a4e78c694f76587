import assert from "node:assert/strict";
import { test } from "node:test";
import { OUTSIDE_TESTS, readBunOutput, readDenoOutput } from "./test_output.ts";

const DENO_FAILED = `\x1b[0m\x1b[38;5;245mrunning 3 tests from ./sub/a_test.ts\x1b[0m
good ... \x1b[0m\x1b[32mok\x1b[0m \x1b[0m\x1b[38;5;245m(1ms)\x1b[0m
bad one => yes ... \x1b[0m\x1b[31mFAILED\x1b[0m \x1b[0m\x1b[38;5;245m(2ms)\x1b[0m
Uncaught error from ./sub/c_test.ts \x1b[0m\x1b[31mFAILED\x1b[0m

\x1b[0m\x1b[1m\x1b[37m\x1b[41m ERRORS \x1b[0m

bad one => yes \x1b[0m\x1b[38;5;245m=> ./sub/a_test.ts:2:25\x1b[0m
error: AssertionError: 1 !== 2

\x1b[0m\x1b[1m\x1b[37m\x1b[41m FAILURES \x1b[0m

bad one => yes \x1b[0m\x1b[38;5;245m=> ./sub/a_test.ts:2:25\x1b[0m
./sub/c_test.ts (uncaught error)

\x1b[0m\x1b[31mFAILED\x1b[0m | 3 passed | 2 failed | 1 ignored \x1b[0m\x1b[38;5;245m(272ms)\x1b[0m
`;

const BUN_FAILED = `bun test v1.4.5

sub/a_test.ts:
(pass) good [1.65ms]
AssertionError: 1 !== 2
(fail) bad one => yes [1.16ms]
(skip) not here

sub/c_test.ts:

# Unhandled error between tests
-------------------------------
error: at load

1 tests skipped:
(skip) not here

2 tests failed:
(fail) bad one => yes [1.16ms]

 1 pass
 1 skip
 2 fail
 1 error
Ran 4 tests across 2 files. [40.00ms]
`;

test("readDenoOutput() counts, and names failures with their files", () => {
  assert.deepEqual(readDenoOutput(DENO_FAILED), {
    passed: 3,
    failed: 2,
    skipped: 1,
    failures: [
      { name: "bad one => yes", file: "./sub/a_test.ts" },
      { name: OUTSIDE_TESTS, file: "./sub/c_test.ts" },
    ],
  });
  assert.deepEqual(readDenoOutput("a ... ok (1ms)\n\nok | 12 passed | 0 failed (3s)\n"), {
    passed: 12,
    failed: 0,
    skipped: 0,
    failures: [],
  });
});

test("readBunOutput() counts, and names each failure once with its file", () => {
  assert.deepEqual(readBunOutput(BUN_FAILED), {
    passed: 1,
    failed: 2,
    skipped: 1,
    failures: [
      { name: "bad one => yes", file: "sub/a_test.ts" },
      { name: OUTSIDE_TESTS, file: "sub/c_test.ts" },
    ],
  });
});

test("output of a runner that was killed counts nothing", () => {
  const nothing = { passed: 0, failed: 0, skipped: 0, failures: [] };
  assert.deepEqual(readDenoOutput("running 3 tests from ./a_test.ts\n"), nothing);
  assert.deepEqual(readBunOutput("bun test v1.4.5\n"), nothing);
});
