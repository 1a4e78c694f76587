// Goal: a seal is worth something once, to those with the secret, for a while. Method: a table of
// what may happen to a datagram.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decodeGetHostRequest, frameGetHostRequest, frameGetHostResponse } from "../proto/codec.ts";
import { RetCode } from "../proto/message_ids.ts";
import { readDatagram } from "../proto/wire.ts";
import { SEAL_AGE_MS_MAX, SEAL_GROWTH_BYTES, Sealer, SealJudge } from "./datagram_seal.ts";
import { newNonce, proofOf } from "./proof.ts";
import { Secrets } from "./secrets.ts";

const VECTORS = new URL("../proto/seal_vectors.json", import.meta.url);

/** What a sealer makes of its `number`th message, and an answer to it; bytes as hex. */
interface SealVector {
  readonly what: string;
  readonly secret: string;
  readonly sender: string;
  readonly wallMs: number;
  readonly number: number;
  readonly message: string;
  readonly sealed: string;
  readonly answer: string;
}

const secret = (text: string): Uint8Array => new TextEncoder().encode(text.padEnd(20, "."));
const [first, second] = [secret("first"), secret("second")];
const question = frameGetHostRequest({ seq: 7, modId: 1, cmdId: 2 });

function both(secrets = new Secrets([first])): {
  at: { ms: number };
  sealer: Sealer;
  judge: SealJudge;
  refusal(datagram: Uint8Array): string;
} {
  const at = { ms: 1_700_000_000_000 };
  const judge = new SealJudge(secrets, proofOf, () => at.ms);
  return {
    at,
    sealer: new Sealer(newNonce(), proofOf, () => at.ms),
    judge,
    refusal(datagram): string {
      const verdict = judge.judge(datagram);
      return "refused" in verdict ? verdict.refused : "";
    },
  };
}

test("a sealed datagram shows no secret, says the same, and is taken once", () => {
  const { sealer, refusal } = both();
  const sealed = sealer.seal(question, first);
  assert.equal(sealed.length, question.length + SEAL_GROWTH_BYTES);
  assert.ok(!new TextDecoder("latin1").decode(sealed).includes("first"));
  const { seq, modId, cmdId } = decodeGetHostRequest(readDatagram(sealed).body);
  assert.deepEqual([seq, modId, cmdId], [7, 1, 2]);
  assert.equal(refusal(sealed), "");
  assert.equal(refusal(sealed), "it has come before");
});

test("every other change of a datagram is refused", () => {
  const { sealer, refusal } = both();
  const sealed = sealer.seal(question, first);
  // The head's length is not among them: readDatagram has refused a wrong one before.
  for (let at = 0; at < sealed.length; at++) {
    const changed = sealed.slice();
    changed[at] ^= 1;
    assert.notEqual(refusal(changed), "", `byte ${at}`);
  }
  for (let length = 0; length < sealed.length; length++) {
    assert.notEqual(refusal(sealed.subarray(0, length)), "", `${length} bytes`);
  }
  assert.match(refusal(question), /no seal/);
  assert.match(refusal(sealer.seal(question, second)), /another/);
  assert.equal(refusal(sealed), "", "attempts cost the right one nothing");
});

test("order is free within a window, numbers and times are not", () => {
  const { at, sealer, refusal } = both();
  const many = Array.from({ length: 40 }, () => sealer.seal(question, first));
  const order = [...many.keys()].slice(8).reverse();
  for (const index of order) assert.equal(refusal(many[index]), "", `number ${index}`);
  for (const index of order) assert.equal(refusal(many[index]), "it has come before");
  assert.equal(refusal(many[0]), "it has come before", "too far back to know");
  const late = sealer.seal(question, first);
  at.ms += SEAL_AGE_MS_MAX + 1000;
  assert.match(refusal(late), /its time is 61 s behind: compare the clocks/);
  at.ms -= 3 * SEAL_AGE_MS_MAX;
  assert.match(refusal(late), /ahead/);
});

test("two secrets are valid at once, and each answer is sealed with that of its question", () => {
  const { sealer, judge } = both(new Secrets([second, first]));
  const answer = frameGetHostResponse({ seq: 7, modId: 1, cmdId: 2, retcode: RetCode.NoExist });
  for (const [one, other] of [[first, second], [second, first]]) {
    const verdict = judge.judge(sealer.seal(question, one));
    assert.ok("answer" in verdict);
    const sealed = verdict.answer(answer);
    assert.equal(sealer.isAnswer(sealed, one), true);
    assert.equal(sealer.isAnswer(sealed, other), false);
    assert.equal(sealer.isAnswer(answer, one), false, "an answer without a seal");
    assert.equal(sealer.isAnswer(sealer.seal(answer, one), one), false, "a question is no answer");
    const stranger = new Sealer(newNonce(), proofOf, () => 0);
    assert.equal(stranger.isAnswer(sealed, one), false, "it is for another sender");
    sealed[9] ^= 1;
    assert.equal(sealer.isAnswer(sealed, one), false);
  }
});

test("seals are those of the vectors, with which clients in other languages are tested", () => {
  const bytesOf = (hex: string): Uint8Array =>
    Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const vectors = JSON.parse(readFileSync(VECTORS, "utf8")) as SealVector[];
  assert.ok(vectors.length >= 4);
  for (const { what, secret, sender, message, sealed, answer, wallMs, number } of vectors) {
    const sealer = new Sealer(bytesOf(sender), proofOf, () => wallMs);
    const known = bytesOf(secret);
    let last: Uint8Array = new Uint8Array();
    for (let count = 0; count < number; count++) last = sealer.seal(bytesOf(message), known);
    assert.deepEqual(last, bytesOf(sealed), what);
    assert.equal(sealer.isAnswer(bytesOf(answer), known), true, what);
    assert.equal(sealer.isAnswer(last, known), false, what);
  }
});
