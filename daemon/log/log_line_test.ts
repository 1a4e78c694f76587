import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogFields } from "../../reactor/log.ts";
import { type LogEntry, type LogLevel, logLine } from "./logging.ts";

const time = "2026-01-02T03:04:05.678Z";

function entry(level: LogLevel, message: string, fields: LogFields = {}): LogEntry {
  return { wallMs: Date.parse(time), level, part: "dns", message, fields };
}

const loop: Record<string, unknown> = {};
loop.self = loop;

test("logLine() writes one line of text, whatever is in the entry", () => {
  const lines: [LogLevel, string, LogFields, string | RegExp][] = [
    ["info", "up", { port: 7778, of: [1, 2] }, "INFO  dns: up port=7778 of=[1,2]"],
    ["debug", "{or} not", {}, "DEBUG dns: {or} not"],
    [
      "warning",
      "two\r\nlines",
      { a: "b c", d: 'e"f', g: "" },
      'WARN  dns: two lines a="b c" d="e\\"f" g=',
    ],
    [
      "error",
      "odd",
      { none: undefined, text: "x\ny" },
      'ERROR dns: odd none=undefined text="x\\ny"',
    ],
    ["error", "bad", { big: 1n }, /^ERROR dns: bad big="\\"not shown: .*BigInt.*\\""$/],
    ["error", "bad", { loop }, /^ERROR dns: bad loop="\\"not shown: [^\n]*\\""$/],
  ];
  for (const [level, message, fields, expected] of lines) {
    const line = logLine(entry(level, message, fields), "text");
    assert.ok(line.startsWith(`${time} `) && line.endsWith("\n"), line);
    const rest = line.slice(time.length + 1, -1);
    if (typeof expected === "string") assert.equal(rest, expected);
    else assert.match(rest, expected);
  }
});

test("logLine() writes one JSON object a line", () => {
  const line = logLine(entry("warning", "two\nlines", { count: 3 }), "json");
  assert.equal(line.indexOf("\n"), line.length - 1);
  const { message, ...rest } = JSON.parse(line);
  assert.equal(message, "two lines");
  assert.deepEqual(rest, { time, level: "warning", part: "dns", count: 3 });
  assert.equal(typeof JSON.parse(logLine(entry("error", "bad", { loop }), "json")), "string");
});
