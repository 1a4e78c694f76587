import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { ClientEdit, port, ScaleRuleShape, title, userName, zone } from "./schemas.ts";
import { shapeWords } from "./shape_words.ts";

const CASES: readonly (readonly [shape: z.ZodType, value: unknown, words: string])[] = [
  [z.number(), undefined, "must be given"],
  [z.number(), "1", "must be a number"],
  [z.number(), Infinity, "must be a number"],
  [z.int(), 1.5, "must be a whole number"],
  [z.string(), 1, "must be text"],
  [z.boolean(), "yes", "must be true or false"],
  [z.array(z.int()), {}, "must be a list"],
  [z.strictObject({}), [], "must be an object"],
  [z.strictObject({}), { a: 1 }, 'must not have "a": nobody here knows it'],
  [z.strictObject({}), { a: 1, b: 2 }, 'must not have "a", "b": nobody here knows them'],
  [
    z.strictObject({}),
    Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`k${index}`, 1])),
    'must not have "k0", "k1", "k2", "k3" and 996 more: nobody here knows them',
  ],
  [
    z.strictObject({}),
    { ["x".repeat(1000)]: 1 },
    `must not have "${"x".repeat(40)}…": nobody here knows it`,
  ],
  [z.record(z.string(), z.int()), 1, "must be an object"],
  [z.number().positive(), 0, "must be more than 0"],
  [z.number().lt(3), 3, "must be less than 3"],
  [port, 0, "must be at least 1"],
  [port, 70_000, "must be at most 65535"],
  [title, "", "must not be empty"],
  [z.string().min(2), "", "must have at least 2 characters"],
  [z.string().length(1), "", "must have exactly 1 character"],
  [z.array(z.int()).max(1), [1, 2], "must have at most 1 entry"],
  [userName, "x".repeat(65), "must have at most 64 characters"],
  [zone, "a b", "must be letters, digits, dots, dashes or underscores"],
  [z.enum(["a", "b"]), "c", "must be one of a, b"],
  [z.literal(1), 2, "must be 1"],
  [z.ipv4(), "x", "must be an IPv4 address, as in 10.0.0.1"],
  [z.url(), "x", "must be a URL"],
  [z.iso.datetime(), "x", "must be an instant, as in 2030-01-31T12:00:00Z"],
  [z.number().multipleOf(5), 3, "must be a multiple of 5"],
  [z.union([z.string(), z.int()]), null, "must be another value"],
  [ClientEdit, { op: "burn" }, "must be one of add, set, remove, module"],
  [z.uuid(), "x", "must be of format uuid"],
];

test("shapeWords(): what would be right, in plain words", () => {
  for (const [shape, value, words] of CASES) {
    const { error } = shape.safeParse(value, { error: shapeWords });
    assert.equal(error?.issues[0].message, words);
  }
});

test("shapeWords(): each fault of a rule of scaling", () => {
  const { error } = ScaleRuleShape.safeParse({ metric: "x", target: -1 }, { error: shapeWords });
  assert.deepEqual(
    error?.issues.map(({ path, message }) => `${path.join(".")} ${message}`),
    [
      "metric must be one of calls, inflight, latency",
      "target must be more than 0",
      "max must be given",
    ],
  );
});
