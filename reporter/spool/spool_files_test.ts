// Files on a real disk, and on one that is full.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import type { FileLock } from "../../reactor/runtime/types.ts";
import { type Logger, silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { LogList } from "../../tests/support/log_list.ts";
import { encodeSpoolRecord } from "./spool_format.ts";
import { SpoolAside } from "./spool_aside.ts";
import { BAD_SPOOL_BYTES_MAX, BAD_SPOOL_FILES_MAX, SpoolFolder } from "./spool_files.ts";
import { SpoolLog } from "./spool_log.ts";
import { lockSpool } from "./spool_lock.ts";
import { type FoundSpools, scanSpools, SPOOLED_SESSIONS_MAX } from "./spool_scan.ts";

function recordOf(session: number, seq: number, port = 80): Uint8Array {
  const result = { ip: 1, port, succ: 1, err: 0, overload: false };
  const report = { modId: 1, cmdId: 1, caller: 1, results: [result], ts: 1 };
  const numbered = session === 0 ? report : { ...report, seq };
  return encodeSpoolRecord({ atMs: 1_700_000_000_000, session, report: numbered });
}

function scan(disk: SpoolFolder, log: Logger = silentLogger): Promise<FoundSpools> {
  return scanSpools({
    ...{ disk, log, clock: new ManualClock(), keysMax: 100, oldestMs: 0 },
    aside: new SpoolAside(disk, log),
    pause: () => Promise.resolve(),
  });
}

function logOn(disk: SpoolFolder, id: number): SpoolLog {
  return new SpoolLog({
    ...{ disk, clock: systemClock, id, bytesMax: 1e8, usedBytes: 0 },
    onDurable: () => {},
    onState: () => {},
  });
}

test("what one run wrote the next one finds", async () => {
  await withTempDir(async (folder) => {
    const path = join(folder, "spool");
    assert.deepEqual((await scan(new SpoolFolder(path))).spools, [], "there is no folder yet");
    const disk = new SpoolFolder(path);
    const log = logOn(disk, 11);
    for (let seq = 1; seq <= 9; seq++) log.append(recordOf(seq % 3, seq, 70 + seq), seq % 3, seq);
    assert.equal(await log.flush(), true);
    log.append(recordOf(1, 10), 1, 10);
    assert.equal(await log.end(), true);
    await disk.close();
    const [name] = readdirSync(path);
    assert.equal(statSync(join(path, name)).mode & 0o007, 0, "others cannot read it");
    const found = await scan(new SpoolFolder(path));
    assert.deepEqual(found.spools.map(({ id, files }) => [id, files.map(({ last }) => last)]), [
      [11, [10]],
    ]);
    assert.deepEqual([...found.sessions], [[2, 8], [1, 10]], "who was heard of last is last");
    assert.deepEqual(found.rows.map(({ port }) => port), [73, 76, 79], "those of nobody");
  });
});

test("a torn end is passed over, a damaged file is said and set aside", async () => {
  await withTempDir(async (path) => {
    const disk = new SpoolFolder(path);
    const log = logOn(disk, 12);
    for (let seq = 1; seq <= 3; seq++) log.append(recordOf(7, seq), 7, seq);
    await log.end();
    await disk.close();
    const [name] = readdirSync(path);
    const { size } = statSync(join(path, name));
    truncateSync(join(path, name), size - 5);
    const lines = new LogList();
    const torn = await scan(new SpoolFolder(path), lines);
    assert.deepEqual([...torn.sessions], [[7, 2]]);
    assert.ok(torn.spools[0].files[0].fault?.isTorn);
    writeFileSync(join(path, "0-bad.spool"), "this is no spool at all, and never was one");
    const found = await scan(new SpoolFolder(path), lines);
    assert.equal(found.records, 2);
    assert.deepEqual(readdirSync(path).sort(), ["0-bad.spool.bad", name]);
    assert.match(lines.lines.join("\n"), /damaged.*it is no spool/s);
  });
});

test("of files that cannot be read many are kept, and the oldest go, said and counted", async () => {
  await withTempDir(async (path) => {
    const lines = new LogList();
    const aside = new SpoolAside(new SpoolFolder(path), lines);
    const left = (): string[] => readdirSync(path).sort();
    const nameOf = (at: number): string => `${String(at).padStart(3, "0")}.spool`;
    const set = async (at: number, bytes = 10): Promise<string> => {
      const file = join(path, nameOf(at));
      writeFileSync(file, "");
      truncateSync(file, bytes);
      utimesSync(file, 1_000 + at, 1_000 + at);
      return await aside.keep(nameOf(at));
    };
    const files = Array.from({ length: BAD_SPOOL_FILES_MAX + 2 }, (_, at) => at);
    for (const at of files) assert.equal(await set(at), join(path, `${nameOf(at)}.bad`));
    assert.deepEqual(left(), files.slice(2).map((at) => `${nameOf(at)}.bad`));
    assert.deepEqual(aside.stats, { spool_set_aside: files.length, spool_aside_dropped: 2 });
    assert.match(lines.lines.join("\n"), /oldest damaged files.*000\.spool\.bad/s);
    // Holes take no room on the disk of this test.
    await set(900, BAD_SPOOL_BYTES_MAX - 25);
    assert.deepEqual(left(), [64, 65, 900].map((at) => `${nameOf(at)}.bad`));
    await set(901, BAD_SPOOL_BYTES_MAX + 1);
    assert.deepEqual(left(), [`${nameOf(901)}.bad`], "one that is larger than all may be");
    await assert.rejects(aside.keep("none.spool"), /ENOENT|not found|No such file/i);
    assert.deepEqual(left(), [`${nameOf(901)}.bad`], "nothing goes for one that is not there");
  });
});

test("a full disk costs nothing but what does not fit, and goes on when there is room", async (t) => {
  await withTempDir(async (path) => {
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", path]);
    if (mount.status !== 0) return t.skip("no file system may be mounted here");
    try {
      const disk = new SpoolFolder(path);
      const states: (string | undefined)[] = [];
      let durable = 0;
      const log = new SpoolLog({
        ...{ disk, clock: systemClock, id: 13, bytesMax: 1e8, usedBytes: 0 },
        onDurable: (reached) => durable = reached.get(7) ?? durable,
        onState: (fault) => states.push(fault),
      });
      writeFileSync(join(path, "other"), new Uint8Array(200_000));
      let seq = 0;
      const fill = (): void => {
        for (let i = 0; i < 1_000; i++) log.append(recordOf(7, ++seq), 7, seq);
      };
      await until(async () => {
        fill();
        await log.flush();
        return states.length > 0;
      }, { what: "the disk to be full" });
      assert.match(states[0] ?? "", /ENOSPC|no space/i);
      assert.ok(durable < seq);
      truncateSync(join(path, "other"), 0);
      await until(async () => await log.flush(), { what: "all on disk" });
      assert.equal(durable, seq);
      await disk.close();
      const found = await scan(new SpoolFolder(path));
      assert.deepEqual([...found.sessions], [[7, seq]]);
      assert.equal(found.records, seq, "what was written half-way is written over");
      assert.deepEqual(found.spools[0].files.map(({ fault }) => fault), [undefined]);
    } finally {
      spawnSync("umount", ["-l", path]);
    }
  });
});

test("of more senders than are followed the latest are known at the start", async () => {
  await withTempDir(async (path) => {
    const disk = new SpoolFolder(path);
    const log = logOn(disk, 14);
    for (let session = 1; session <= SPOOLED_SESSIONS_MAX + 3; session++) {
      log.append(recordOf(session, 1), session, 1);
      if (session % 10_000 === 0) await log.flush();
    }
    log.append(recordOf(4, 2), 4, 2);
    await log.end();
    await disk.close();
    const { sessions } = await scan(new SpoolFolder(path));
    assert.equal(sessions.size, SPOOLED_SESSIONS_MAX);
    assert.deepEqual([1, 2, 3, 4, 5].map((one) => sessions.get(one)), [
      ...[undefined, undefined, undefined, 2, 1],
    ]);
  });
});

test("a folder is one reporter's, until that has ended", async () => {
  await withTempDir(async (path) => {
    const clock = new ManualClock();
    const folder = join(path, "reporter-1");
    const lines = new LogList();
    const lock = (): Promise<FileLock | undefined> => lockSpool(folder, { clock, log: lines });
    const first = await lock();
    assert.ok(first !== undefined);
    let fault: unknown;
    const second = lock().catch((error: unknown) => fault = error);
    await until(() => {
      clock.advance(1_000);
      return fault !== undefined;
    }, { what: "the second to give up" });
    await second;
    assert.match(`${fault}`, /another reporter uses .*reporter-1/);
    const third = lock();
    let held: FileLock | undefined;
    void third.then((one) => held = one);
    first.unlock();
    await until(() => {
      clock.advance(100);
      return held !== undefined;
    }, { what: "the third to have what the first gave back" });
    held?.unlock();
    assert.deepEqual(await new SpoolFolder(folder).list(), []);
    writeFileSync(join(path, "file"), "");
    const none = await lockSpool(join(path, "file"), { clock, log: lines });
    assert.equal(none, undefined);
    assert.match(lines.lines.join("\n"), /cannot be locked/);
  });
});
