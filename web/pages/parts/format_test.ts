import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compareNodes,
  formatAgo,
  formatBytes,
  formatCount,
  formatNumber,
  formatShare,
  formatSpan,
  formatTick,
  moduleTitle,
  parseNodeText,
  plural,
} from "./format.ts";

test("formatNumber() keeps three digits and says when a value is nearly nothing", () => {
  const cases: [number, string][] = [
    [0, "0"],
    [0.001, "<0.01"],
    [0.25, "0.25"],
    [7.34, "7.3"],
    [12, "12.0"],
    [99.96, "100"],
    [1234, "1\u202f234"],
    [12_340, "12.3k"],
    [100_000, "100k"],
    [4_560_000, "4.56M"],
    [7_000_000_000, "7G"],
  ];
  for (const [value, text] of cases) assert.equal(formatNumber(value), text);
});

test("formatTick() drops what says nothing", () => {
  assert.equal(formatTick(20), "20");
  assert.equal(formatTick(0.5), "0.5");
  const even = [0.025, 0.05, 0.075, 0.1, 1.25, 12.5, 0.1 + 0.2, 0.005];
  assert.deepEqual(even.map(formatTick), [
    ...["0.025", "0.05", "0.075", "0.1", "1.25", "12.5", "0.3", "0.005"],
  ]);
  assert.equal(formatTick(100), "100");
  assert.equal(formatTick(0), "0");
});

test("formatBytes() counts in powers of 1024", () => {
  const rows: [number, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [12_000, "12 KiB"],
    [1024 ** 2 - 1, "1024 KiB"],
    [5.5 * 1024 ** 3, "5.5 GiB"],
  ];
  for (const [bytes, text] of rows) assert.equal(formatBytes(bytes), text);
});

test("formatCount() groups digits", () => {
  assert.equal(formatCount(999), "999");
  assert.equal(formatCount(1_234_567), "1\u202f234\u202f567");
});

test("formatShare() never calls nearly all everything, nor nearly none nothing", () => {
  const cases: [number, string][] = [
    [0, "0 %"],
    [0.0001, "<0.1 %"],
    [0.015, "1.5 %"],
    [0.42, "42 %"],
    [0.955, "95.5 %"],
    [0.99999, ">99.9 %"],
    [1, "100 %"],
  ];
  for (const [value, text] of cases) assert.equal(formatShare(value), text);
});

test("spans show their two largest units, ages one", () => {
  assert.equal(formatSpan(45_900), "45 s");
  assert.equal(formatSpan(180_000), "3 min");
  assert.equal(formatSpan(7_500_000), "2 h 5 min");
  assert.equal(formatSpan(86_400_000), "1 d");
  assert.equal(formatAgo(1000, 1500), "just now");
  assert.equal(formatAgo(6000, 0), "just now", "clocks differ");
  assert.equal(formatAgo(0, 7_500_000), "2 h ago");
  assert.equal(formatAgo(60_000, 0), "in 1 min");
});

test("parseNodeText() takes an address with a port and nothing else", () => {
  assert.deepEqual(parseNodeText(" 10.0.0.1:7000 "), { ip: "10.0.0.1", port: 7000 });
  assert.deepEqual(parseNodeText("10.0.0.1 7000"), { ip: "10.0.0.1", port: 7000 });
  for (const bad of ["", "10.0.0.1", "10.0.0.256:1", "10.0.0.1:0", "10.0.0.1:65536", "a:1"]) {
    assert.equal(parseNodeText(bad), undefined, bad);
  }
});

test("addresses sort by their numbers; titles fall back to numbers", () => {
  const sorted = ["10.0.0.10:1", "10.0.0.2:9", "10.0.0.2:8"]
    .map((text) => parseNodeText(text) ?? { ip: "", port: 0 }).sort(compareNodes);
  assert.deepEqual(sorted.map(({ ip, port }) => `${ip}:${port}`), [
    "10.0.0.2:8",
    "10.0.0.2:9",
    "10.0.0.10:1",
  ]);
  assert.equal(moduleTitle({ modId: 1, cmdId: 2, name: "" }), "1 / 2");
  assert.equal(moduleTitle({ modId: 1, cmdId: 2, name: "pay" }), "pay");
  assert.equal(plural(1, "node"), "1 node");
  assert.equal(plural(2, "policy", "policies"), "2 policies");
});
