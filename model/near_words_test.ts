import assert from "node:assert/strict";
import { test } from "node:test";
import { didYouMean, nearWords } from "./near_words.ts";

const WORDS = ["login", "logout", "search", "east-1", "east-2", "maglev", "p2c_ewma"];

const cases: readonly (readonly [word: string, near: readonly string[]])[] = [
  ["logni", ["login"]],
  ["LOGIN", ["login"]],
  ["logn", ["login"]],
  ["sear", ["search"]],
  ["east", ["east-1", "east-2"]],
  ["eats-1", ["east-1"]],
  ["magelv", ["maglev"]],
  ["p2c", ["p2c_ewma"]],
  ["payment", []],
  ["x", []],
  ["", []],
];

for (const [word, near] of cases) {
  test(`nearWords() finds ${near.join(", ") || "nothing"} for "${word}"`, () => {
    assert.deepEqual(nearWords(word, WORDS), near);
  });
}

test("nearWords() names each once, three at most, and none of a word far too long", () => {
  assert.deepEqual(nearWords("ab", ["abc", "abd", "abe", "abf", "abc"]).length, 3);
  assert.deepEqual(nearWords("a".repeat(100_000), ["a".repeat(99_999) + "b"]), []);
});

test("didYouMean() ends a sentence, or says nothing", () => {
  assert.equal(didYouMean("east", WORDS), ": did you mean east-1 or east-2?");
  assert.equal(didYouMean("payment", WORDS), "");
});
