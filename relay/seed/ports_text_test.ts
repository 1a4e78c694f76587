import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readPortsText } from "./ports_text.ts";

const of = (text: string): unknown => readPortsText(new TextEncoder().encode(text));

test("L0 names two ports with X or x between them, and ends with NUL", () => {
  assert.deepEqual(of("1023X1022\0"), { port1: 1023, port2: 1022 });
  assert.deepEqual(of("512x65535\0"), { port1: 512, port2: 65535 });
  assert.deepEqual(of("65535X65535\0 and more"), { port1: 65535, port2: 65535 });
});

test("L0 waits for its end, and for no more than twelve bytes", () => {
  assert.equal(of(""), "more");
  assert.equal(of("1023X1022"), "more");
  assert.deepEqual(of("1023X1022 no end"), { fault: "no NUL within 12 bytes" });
});

test("L0 with other ports or another text is a fault that says why", () => {
  for (
    const text of ["X\0", "1X\0", "X1\0", "1023 1022\0", "-1X600\0", "1e3X600\0", "\0", "GET /\0"]
  ) {
    assert.deepEqual(of(text), { fault: "not two ports with an X between them" }, text);
  }
  for (const text of ["511X600\0", "600X0\0", "600X65536\0", "99999X600\0"]) {
    assert.match(JSON.stringify(of(text)), /ports must be from 512 to 65535/, text);
  }
});

test("L0 of any bytes is read without a fault of ours", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
    const text = readPortsText(bytes);
    if (text === "more") assert.ok(bytes.length < 12);
    else if ("port1" in text) assert.ok(text.port1 >= 512 && text.port2 <= 65535);
  }));
});
