#!/usr/bin/env bash
# deno 2.9.6, node:sqlite: a prepared statement that is not used any more stays in memory until garbage
# is collected, and the collector does not know of its size.
#
# Expected: as for other native memory (buffers), statements that nobody refers to are released when they
#   have become many megabytes; or there is a way to end one, as `finalize` of other libraries.
# Seen: 3,000 statements of 150 rows each, one after the other, take some 250 MB before the first are
#   released, while `external` says none. StatementSync has no `finalize`.
# Why it matters: a service that makes its statements anew grows by the megabyte in a second and looks as
#   if it leaked. Keep statements and run them again, row by row where the number of rows differs.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1 || { echo "deno 2.9.6 could not be installed"; exit 2; }
cat > pile.ts <<'TS'
import { DatabaseSync, StatementSync } from "node:sqlite";
const db = new DatabaseSync(":memory:");
db.exec("CREATE TABLE t (a, b, c, d, e, f, PRIMARY KEY (a))");
const row = "(?, ?, ?, ?, ?, ?)";
const sql = `INSERT OR REPLACE INTO t VALUES ${new Array(150).fill(row).join(",")}`;
const params = Array.from({ length: 150 * 6 }, (_, index) => index);
const megabytes = (bytes: number): number => Math.round(bytes / 1e6);
const before = Deno.memoryUsage().rss;
let most = 0;
let external = 0;
for (let index = 0; index < 3000; index++) {
  db.prepare(sql).run(...params);
  const usage = Deno.memoryUsage();
  most = Math.max(most, usage.rss - before);
  external = Math.max(external, usage.external);
}
console.log(`grown=${megabytes(most)} external=${megabytes(external)} finalize=${"finalize" in StatementSync.prototype}`);
TS
deno() { ./node_modules/.bin/deno "$@"; }
seen=$(DENO_NO_UPDATE_CHECK=1 deno run --quiet --allow-all pile.ts) || { echo "$seen"; exit 2; }
printf 'deno %s\n%s\n' "$(deno --version | head -1)" "$seen"
grown=$(sed 's/grown=\([0-9]*\).*/\1/' <<<"$seen")
[[ $seen == *"finalize=false"* ]] || { echo "changed: statements can be ended"; exit 1; }
[[ $grown -gt 100 ]] || { echo "changed: they are released in time"; exit 1; }
echo "as described"
