import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import {
  BAD_CACHE_ENDING,
  CACHE_DELAY_MS,
  CACHE_RETRY_MS,
  CacheFile,
} from "../../daemon/cache_file.ts";
import { agentCacheFormat as format, CACHE_FILE_NAME } from "./route_cache.ts";
import { type PackedRoute, packRoute } from "./packed_route.ts";

const route = (modId: number): PackedRoute => packRoute(modId, 1, [{ ip: modId, port: 1 }]).route;

test("CacheFile writes changes together, whole, and reads them back", () =>
  withTempDir(async (parent) => {
    const directory = join(parent, "made", "when needed");
    const clock = new ManualClock();
    let routes = [route(1)];
    const options = { format, directory, routes: () => routes, clock, log: silentLogger };
    const file = new CacheFile(options);
    assert.deepEqual(await file.load(), []);
    file.changed();
    clock.advance(CACHE_DELAY_MS - 1);
    routes = [route(1), route(2)];
    file.changed();
    clock.advance(1);
    await until(() => file.stats.writes === 1);
    assert.deepEqual(readdirSync(directory), [CACHE_FILE_NAME]);
    assert.deepEqual(await new CacheFile(options).load(), routes);
    clock.advance(10 * CACHE_DELAY_MS);
    await file.close();
    assert.equal(file.stats.writes, 1, "nothing has changed since");
    routes = [route(3)];
    file.changed();
    await file.close();
    assert.deepEqual(await new CacheFile(options).load(), routes);
    assert.equal(clock.pendingCount, 0);
  }));

test("CacheFile tries again when it cannot write, and says so once a minute", () =>
  withTempDir(async (directory) => {
    // A folder in the place of the temporary file makes every write fail, also for root.
    const obstacle = join(directory, `${CACHE_FILE_NAME}.new`);
    mkdirSync(join(obstacle, "full"), { recursive: true });
    const clock = new ManualClock();
    const lines: string[] = [];
    const warn = (message: string): void => void lines.push(message);
    const log = { ...silentLogger, warn };
    const file = new CacheFile({ format, directory, routes: () => [route(1)], clock, log });
    file.changed();
    clock.advance(CACHE_DELAY_MS);
    for (let failures = 1; failures <= 8; failures++) {
      await until(() => file.stats.failures === failures && clock.pendingCount === 1);
      clock.advance(CACHE_RETRY_MS);
    }
    await until(() => file.stats.failures === 9 && clock.pendingCount === 1);
    assert.deepEqual(lines, new Array(2).fill("Route cache cannot be written; serving goes on"));
    rmSync(obstacle, { recursive: true });
    await file.close();
    assert.deepEqual(file.stats, { writes: 1, failures: 9 });
    assert.equal(clock.pendingCount, 0);
  }));

test("CacheFile.load() refuses a broken file with a line and no exception", () =>
  withTempDir(async (directory) => {
    const lines: unknown[] = [];
    const warn = (message: string, fields?: unknown): void => void lines.push([message, fields]);
    const log = { ...silentLogger, warn };
    const clock = new ManualClock();
    const file = new CacheFile({ format, directory, routes: () => [], clock, log });
    const path = join(directory, CACHE_FILE_NAME);
    writeFileSync(path, "short");
    assert.deepEqual(await file.load(), []);
    const kept = join(directory, CACHE_FILE_NAME + BAD_CACHE_ENDING);
    assert.deepEqual(lines, [[
      "Route cache is not used",
      { path, reason: "truncated: 5 bytes are less than a header", kept },
    ]]);
    assert.equal(readFileSync(kept, "utf8"), "short");
    file.changed();
    await file.close();
    assert.equal(readFileSync(kept, "utf8"), "short");
    assert.notEqual(readFileSync(path, "utf8"), "short");
  }));
