import assert from "node:assert/strict";
import { test } from "node:test";
import { exportSettings } from "../export/config.ts";
import { exportArguments } from "./export_words.ts";

const CASES: [argv: string[], expected: string[]][] = [
  [["haproxy", "--socket", "/run/h.sock", "--backends=be=login"], [
    "--haproxy-socket",
    "/run/h.sock",
    "--haproxy-backends=be=login",
  ]],
  [["haproxy", "--haproxy-socket", "x"], ["--haproxy-socket", "x"]],
  [["names", "--port", "5300", "--zone", "svc"], [
    "--nameserver-port",
    "5300",
    "--nameserver-zone",
    "svc",
  ]],
  [["nginx", "--out", "--reload=nginx -s reload"], [
    "--nginx-out",
    "--nginx-reload=nginx -s reload",
  ]],
  [["file", "-c", "x.conf", "--json", "--help", "--nonsense", "1"], [
    "-c",
    "x.conf",
    "--json",
    "--help",
    "--nonsense",
    "1",
  ]],
  [["run", "--out", "x"], ["--out", "x"]],
];

for (const [argv, expected] of CASES) {
  test(`lars export ${argv.join(" ")}`, () => {
    assert.deepEqual(exportArguments(exportSettings, argv), expected);
  });
}
