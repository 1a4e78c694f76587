// Goal: a file of a backup is read in time that grows with its length, whatever its lines are.
// Method: texts in pieces of any size, against lines that are cut at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRng } from "../reactor/time/rng.ts";
import { BackupError } from "../sql/backup/backup_format.ts";
import { backupLines } from "./backup_file.ts";

async function* pieces(bytes: Uint8Array, sizeOf: () => number): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length;) {
    const to = from + sizeOf();
    yield await Promise.resolve(bytes.subarray(from, to));
    from = to;
  }
}

async function read(text: string, sizeOf: () => number, charsMax?: number): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of backupLines(pieces(new TextEncoder().encode(text), sizeOf), charsMax)) {
    lines.push(line);
  }
  return lines;
}

test("lines are the same however the bytes come", async () => {
  const rng = seededRng(1);
  const lines = ["", "a", "", "ä€😀".repeat(50), "b".repeat(3000), "\r", "", "end"];
  const text = lines.map((line) => `${line}\n`).join("");
  for (const most of [1, 2, 3, 7, 100, 10_000]) {
    const got = await read(text, () => 1 + Math.floor(rng.next() * most));
    assert.deepEqual(got, lines, `pieces of at most ${most}`);
  }
});

test("a line of tens of millions of characters is read like many short ones", async () => {
  // Copied with each of its 4,000 pieces it would be 130 GB.
  const long = "x".repeat(63 * 1024 * 1024);
  const got = await read(`a\n${long}\nb\n`, () => 16_384);
  assert.deepEqual(got.map((line) => line.length), [1, long.length, 1]);
});

test("a line that is too long is refused by its number, before all of it is read", async () => {
  const text = `1234\n12345\n${"x".repeat(1000)}\n`;
  for (const size of [1, 4, 2000]) {
    await assert.rejects(
      read(text, () => size, 4),
      (error) => error instanceof BackupError && /^Line 2 has more than 4 char/.test(error.message),
    );
  }
  await assert.rejects(read("1234\n12", () => 3), /It has no end: it was cut off/);
});
