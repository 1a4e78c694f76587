import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeAnswer, HTTP_HEAD_BYTES_MAX, HttpHeadReader, type HttpRequest } from "./http_get.ts";

const encoder = new TextEncoder();

function readWhole(text: string): ReturnType<HttpHeadReader["push"]> {
  return new HttpHeadReader().push(encoder.encode(text));
}

function faultOf(text: string): number | undefined {
  const head = readWhole(text);
  return head !== undefined && "fault" in head ? head.fault.status : undefined;
}

test("HttpHeadReader reads a request whole, byte by byte, and at every split", () => {
  const text = "GET /sd/modules?modid=1&x=%20y HTTP/1.1\r\nHost: a\r\n" +
    "Authorization:  Bearer t \r\nhost: b\r\n\r\nrest";
  const plain = (head: ReturnType<HttpHeadReader["push"]>): unknown => {
    const { method, path, query, headers } = head as HttpRequest;
    return [method, path, [...query], [...headers]];
  };
  const expected = [
    "GET",
    "/sd/modules",
    [["modid", "1"], ["x", " y"]],
    [["host", "a"], ["authorization", "Bearer t"]],
  ];
  assert.deepEqual(plain(readWhole(text)), expected);
  const bytes = encoder.encode(text);
  for (let split = 1; split < bytes.length - 4; split++) {
    const reader = new HttpHeadReader();
    const first = reader.push(bytes.subarray(0, split));
    assert.deepEqual(plain(first ?? reader.push(bytes.subarray(split))), expected);
  }
  const reader = new HttpHeadReader();
  let head: ReturnType<HttpHeadReader["push"]>;
  for (const byte of bytes) head ??= reader.push(Uint8Array.of(byte));
  assert.deepEqual(plain(head), expected);
});

test("HttpHeadReader refuses what is no request", () => {
  for (
    const text of [
      "\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/2\r\n\r\n",
      "get / HTTP/1.1\r\n\r\n",
      "GET http://x/ HTTP/1.1\r\n\r\n",
      "GET /%ff HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nno colon\r\n\r\n",
      "GET / HTTP/1.1\r\nbad name: x\r\n\r\n",
    ]
  ) assert.equal(faultOf(text), 400, JSON.stringify(text));
  assert.equal(faultOf(`GET /${"x".repeat(HTTP_HEAD_BYTES_MAX)} HTTP/1.1\r\n\r\n`), 431);
  const reader = new HttpHeadReader();
  assert.equal(reader.push(encoder.encode("GET / HTTP/1.1\r\n")), undefined);
  const long = reader.push(encoder.encode("x".repeat(1_000_000)));
  assert.ok(long !== undefined && "fault" in long && long.fault.status === 431);
});

test("HttpHeadReader takes any bytes without throwing", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (pieces) => {
      const reader = new HttpHeadReader();
      for (const piece of pieces) {
        const head = reader.push(piece);
        if (head !== undefined) return;
      }
      assert.ok(pieces.reduce((sum, piece) => sum + piece.length, 0) <= HTTP_HEAD_BYTES_MAX);
    }),
  );
});

test("encodeAnswer() says how long the body is, in bytes, and leaves it out for HEAD", () => {
  const answer = { status: 503, body: "grün\n", headers: { "x-a": "1" } };
  const text = new TextDecoder().decode(encodeAnswer(answer));
  assert.match(text, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
  assert.match(text, /content-length: 6\r\n/);
  assert.match(text, /connection: close\r\nx-a: 1\r\n\r\ngrün\n$/);
  assert.match(new TextDecoder().decode(encodeAnswer(answer, false)), /x-a: 1\r\n\r\n$/);
});
