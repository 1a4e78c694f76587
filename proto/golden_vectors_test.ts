// The literal bytes were made with the C++ implementation of Protocol Buffers (protoc 3.21
// --encode) from lars.proto; a change of any of them breaks every program already in the field.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { MessageId } from "./message_ids.ts";
import { codecOf, oracleOf } from "./testing/codecs.ts";
import type { OracleCodec } from "./testing/oracle.ts";

interface GoldenVector {
  name: string;
  message: string;
  msgId: number;
  /** Message in our own names; bytes as hex text. */
  value: Record<string, unknown>;
  hex: string;
}

const vectors: GoldenVector[] = JSON.parse(
  readFileSync(new URL("./golden_vectors.json", import.meta.url), "utf8"),
);

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function messageOf(vector: GoldenVector): Record<string, unknown> {
  const message = { ...vector.value };
  for (const field of ["token", "key", "nonce", "mac", "outcomes", "data"]) {
    const hex = message[field];
    if (typeof hex === "string") message[field] = fromHex(hex);
  }
  return message;
}

function checkCodec({ encode, decode }: OracleCodec, vector: GoldenVector): void {
  const message = messageOf(vector);
  assert.equal(toHex(encode(message)), vector.hex);
  assert.deepEqual(decode(fromHex(vector.hex)), message);
}

for (const vector of vectors) {
  test(`codec.ts keeps the bytes of ${vector.message}: ${vector.name}`, () => {
    checkCodec(codecOf(vector.message), vector);
  });
  test(`protobufjs keeps the bytes of ${vector.message}: ${vector.name}`, () => {
    checkCodec(oracleOf(vector.message), vector);
  });
}

test("golden vectors cover every message id", () => {
  const covered = new Set(vectors.map((vector) => vector.msgId));
  assert.deepEqual(Object.values(MessageId).filter((id) => !covered.has(id)), []);
});

test("golden vectors hold a negative int32 of ten bytes", () => {
  const route = vectors.find((vector) => vector.name === "original fields only");
  // 192.168.1.177 is -1062731343: field 1, then the sign-extended varint.
  assert.match(route?.hex ?? "", /08b183a085fcffffffff01/);
});
