// The numbers that readers in other languages are tested with are those of this code.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { moduleHash } from "../model/module.ts";
import { parseIpv4 } from "../reactor/address.ts";
import { EntryTag, entryUpper, TABLE_MAGIC } from "./table_layout.ts";

interface Vectors {
  moduleHashes: { modId: number; cmdId: number; hash: number }[];
  entries: {
    ip: string;
    port: number;
    probe: boolean;
    out: boolean;
    refused: boolean;
    word: string;
  }[];
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL("./shared_table_vectors.json", import.meta.url), "utf8"),
);

test("the hash of a module is that of the contract", () => {
  for (const { modId, cmdId, hash } of vectors.moduleHashes) {
    assert.equal(moduleHash(modId, cmdId), hash, `${modId},${cmdId}`);
    assert.equal(moduleHash(modId | 0, cmdId | 0), hash, `${modId},${cmdId} signed`);
  }
});

test("an entry is address, port and marks", () => {
  for (const { ip, port, probe, out, refused, word } of vectors.entries) {
    const tag = (probe ? EntryTag.Probe : 0) | (out ? EntryTag.Out : 0) |
      (refused ? EntryTag.Refused : 0);
    const upper = entryUpper(port, tag).toString(16).padStart(8, "0");
    const lower = (parseIpv4(ip) >>> 0).toString(16).padStart(8, "0");
    assert.equal(upper + lower, word);
  }
});

test("the magic is LARSTBL1", () => {
  const bytes = new Uint8Array(BigUint64Array.of(TABLE_MAGIC).buffer);
  assert.equal(new TextDecoder().decode(bytes), "LARSTBL1");
});
