// Goal: whoever runs the doctor learns which right an account lacks, on the database and through a
// console. Method: MariaDB, an account with the rights of `web` but one.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { grantStatements, SERVICE_GRANTS } from "../../sql/grants/grants.ts";
import { withStore } from "../../sql/testing/store_conformance.ts";
import { addConsoleToken } from "../../tests/support/console_token.ts";
import { freePort } from "../../tests/support/free_port.ts";
import {
  noPrivateServerReason,
  runAdmin,
  withPrivateMariaDb,
} from "../../tests/support/mariadb.ts";
import { type Processes, withProcesses } from "../../tests/support/processes.ts";
import type { Symptom } from "./findings.ts";

const DATABASE = "lars_dns";
const ACCOUNT = "'lars_web'@'%'";

/** The finding about the database, of a doctor with these words. */
async function databaseFinding(
  processes: Processes,
  ...words: string[]
): Promise<Symptom> {
  const agent = `127.0.0.1:${await freePort()}`;
  const run = ["doctor", "--json", "--agent", agent, ...words];
  const { stdout, stderr } = await processes.run("tools/lars.ts", run);
  const found = (JSON.parse(stdout || "[]") as Symptom[]).find(({ subject }) =>
    subject === "database"
  );
  assert.ok(found !== undefined, stderr);
  return found;
}

test("lars doctor names the right that an account lacks, also through a console", {
  skip: noPrivateServerReason() ?? false,
  timeout: 120_000,
}, (t) =>
  withPrivateMariaDb(t, (server) =>
    withProcesses(async (processes) => {
      await runAdmin(server.url, `CREATE DATABASE ${DATABASE}`);
      let token = "";
      await withStore(`${server.url}/${DATABASE}`, async (store) => {
        await store.migrate();
        await store.console.addUser({
          ...{ name: "ed", role: "admin", passwordHash: "", mustChange: false, disabled: false },
          ...{ createdAtMs: 1, loginAtMs: 0 },
        }, {
          ...{ atMs: 1, who: "test", action: "user.add", target: "ed", outcome: "done" },
          ...{ detail: "", address: "" },
        });
        token = await addConsoleToken(store, "ed", "viewer");
      });
      await runAdmin(server.url, `CREATE USER ${ACCOUNT} IDENTIFIED BY 'a secret'`);
      const grants = grantStatements("web", { user: "lars_web", database: DATABASE });
      await runAdmin(server.url, ...grants.map((line) => line.slice(0, -1)));
      const url = `mysql://lars_web:a%20secret@127.0.0.1:${server.port}/${DATABASE}`;
      const [store, tokenFile] = ["store", "token"].map((name) => join(processes.directory, name));
      writeFileSync(store, url);
      writeFileSync(tokenFile, token);
      const web = await processes.start("web", ["--web-port=0", `--store=@${store}`]);
      const direct = ["--store", `@${store}`];
      const through = ["--server", `http://127.0.0.1:${web.port()}`, "--token-file", tokenFile];
      for (const words of [direct, through]) {
        assert.equal((await databaseFinding(processes, ...words)).level, "ok");
      }
      const cases: readonly (readonly [lost: string, table: string, seen: RegExp])[] = [
        ["SELECT", "RouteData", /SELECT command denied to user 'lars_web'@.*RouteData/],
        ["SELECT", "Event", /Missing: SELECT on Event; reporter, web, .*must have it/],
        ["SELECT", "ServerCallStatus", /Missing: SELECT on ServerCallStatus; /],
      ];
      for (const [right, table, seen] of cases) {
        await runAdmin(server.url, `REVOKE ${right} ON ${DATABASE}.${table} FROM ${ACCOUNT}`);
        for (const words of [direct, through]) {
          const finding = await databaseFinding(processes, ...words);
          assert.deepEqual([finding.level, finding.key], ["bad", "rights_missing"], finding.seen);
          assert.match(finding.seen, seen);
          assert.doesNotMatch(finding.seen, /secret/, "no password is shown");
        }
        await runAdmin(server.url, `GRANT ${right} ON ${DATABASE}.${table} TO ${ACCOUNT}`);
      }
      // A server hides a table from who has no right on it: of one that is read it cannot be told apart
      // from a missing one, and of the others only the list of tables tells.
      for (const table of ["Event", "AlertRule", "Lease"] as const) {
        const rights = SERVICE_GRANTS.web[table];
        await runAdmin(server.url, `REVOKE ${rights} ON ${DATABASE}.${table} FROM ${ACCOUNT}`);
        for (const words of [direct, through]) {
          const finding = await databaseFinding(processes, ...words);
          assert.equal(finding.level, "bad", `${table}: ${finding.seen}`);
          assert.match(finding.seen, new RegExp(table));
          assert.match(finding.seen, /web(\.sql| must|,)/);
        }
        await runAdmin(server.url, `GRANT ${rights} ON ${DATABASE}.${table} TO ${ACCOUNT}`);
      }
    })));
