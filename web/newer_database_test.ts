// A console whose database a newer program has migrated: it shows everything, and says what it is.

import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { addConsoleToken } from "../tests/support/console_token.ts";
import { Client, withConsole } from "../tests/support/console_bench.ts";
import { until } from "../tests/support/until.ts";
import type { ResponseOf } from "./contract.ts";

/** The database as a program of later leaves it, and everybody seen an hour ago. */
function migrateFurther(path: string): void {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA busy_timeout = 10000");
  database.exec("INSERT INTO SchemaMigration VALUES(99, '0099_of_later', 1)");
  database.exec("UPDATE ConsoleSession SET seen_at = seen_at - 3600000");
  database.close();
}

test("a console whose database is newer: each answer says so, reads go on, writes are refused", {
  timeout: 120_000,
}, async () => {
  await withConsole(async ({ base, clients, nobody, store, url, password }) => {
    const program = new Client(base, {
      Authorization: `Bearer ${await addConsoleToken(store, "operator", "operator")}`,
    });
    const readOnly = async (client: Client): Promise<string | null> =>
      (await client.get<ResponseOf<"getSession">>("GET /session")).readOnly;
    assert.equal(await readOnly(clients.operator), null);
    migrateFurther(url.slice("sqlite:".length));
    const { operator } = clients;
    await until(async () => await readOnly(operator) !== null, {
      timeoutMs: 60_000,
      what: "the console to notice",
    });
    const says = /^sqlite:.+ has schema version 99, and this program knows \d+: it only reads/;
    for (const who of [operator, program]) assert.match(await readOnly(who) ?? "", says);
    const help = await nobody.get<ResponseOf<"getLoginHelp">>("GET /session/help");
    assert.match(help.readOnly ?? "", says);
    const headers = { "X-Forwarded-For": "192.0.2.1" };
    const away = await nobody.get<typeof help>("GET /session/help", { headers });
    assert.match(away.readOnly ?? "", /newer than this console/);
    assert.doesNotMatch(away.readOnly ?? "", /sqlite/, "others are not told where it lies");

    for (const path of ["/overview", "/modules", "/changes", "/events", "/alerts", "/tokens"]) {
      for (const who of [operator, program]) {
        assert.equal((await who.ask(`GET ${path}`)).status, 200);
      }
    }
    const edits = [{ op: "add", modId: 1, cmdId: 1, ip: "10.0.0.1", port: 80 }];
    assert.equal((await operator.ask("POST /changes/preview", { body: { edits } })).status, 200);
    for (
      const refused of [
        await operator.ask("POST /changes", { body: { edits } }),
        await program.ask("POST /changes", { body: { edits } }),
        await operator.ask("POST /tokens", { body: { title: "x", role: "viewer", days: 1 } }),
        await nobody.ask("POST /session", { body: { name: "viewer", password } }),
      ]
    ) {
      assert.equal(refused.status, 503);
      assert.equal(refused.problem.type, "urn:lars:store-newer");
      assert.match(refused.problem.detail, /^Nothing was written: .* has schema version 99/);
      assert.equal(refused.headers.get("Retry-After"), null, "the same again helps nobody");
    }
  });
});
