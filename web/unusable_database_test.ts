// Goal: a console whose database lets nobody in, or is away, says so at the login: to the stranger that it
// is the database, to its own log why. Method: MariaDB, and urls that are wrong in one part.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, startTestConsole } from "../tests/support/console_bench.ts";
import { LogList } from "../tests/support/log_list.ts";
import { noPrivateServerReason, runAdmin, withPrivateMariaDb } from "../tests/support/mariadb.ts";

const BODY = { name: "admin", password: "correct horse battery staple" };
const CASES: readonly (readonly [
  what: string,
  wrong: (url: string) => string,
  type: string,
  reason: RegExp,
])[] = [
  [
    "wrong password",
    (url) => url.replace(/:[^:@/]*@/, ":not%20it@"),
    "store-unusable",
    /Access denied/,
  ],
  ["no such database", (url) => `${url}_else`, "store-unusable", /Unknown database/],
  ["nobody listens", (url) => url.replace(/:\d+\//, ":1/"), "store-away", /127\.0\.0\.1:1/],
];

test("a login while the database lets nobody in, or is away, is answered 503 and says so", {
  skip: noPrivateServerReason() ?? false,
  timeout: 120_000,
}, (t) =>
  withPrivateMariaDb(t, async (server) => {
    await runAdmin(server.url, "CREATE DATABASE lars_dns");
    for (const [what, wrong, type, reason] of CASES) {
      const log = new LogList();
      const service = await startTestConsole(wrong(`${server.url}/lars_dns`), { log });
      try {
        const nobody = new Client(`http://${service.addresses[0]}`);
        for (const route of ["POST /session", "GET /overview"]) {
          const cookie = { headers: { Cookie: "lars_session=a" } };
          const given = route.startsWith("POST") ? { body: BODY } : cookie;
          const { status, problem } = await nobody.ask(route, given);
          assert.deepEqual([status, problem.type], [503, `urn:lars:${type}`], `${what}, ${route}`);
          assert.match(problem.detail, /database/, what);
          assert.doesNotMatch(problem.detail, /Access|Unknown|127\.0\.0\.1|should not/, what);
        }
        const told = log.lines.filter((line) => reason.test(line));
        assert.ok(told.length > 0, `${what}: ${log.lines.join("\n")}`);
        assert.doesNotMatch(log.lines.join("\n"), /not it|not%20it/, "no password is told");
      } finally {
        await service.stop();
      }
    }
  }));
