import assert from "node:assert/strict";
import { test } from "node:test";
import { mayTalk, parseOrigins } from "./web_origin.ts";

test("parseOrigins reads a list, and refuses what no browser would say", () => {
  assert.deepEqual(parseOrigins(""), []);
  assert.deepEqual(parseOrigins("https://a.example, HTTP://10.0.0.1:8080"), [
    "https://a.example",
    "http://10.0.0.1:8080",
  ]);
  for (const bad of ["*", "a.example", "https://a.example/", "ws://a.example", "null"]) {
    assert.throws(() => parseOrigins(bad), /must be origins such as https:\/\/chat\.example/, bad);
  }
});

test("mayTalk lets in programs, listed pages, and without a list pages of the same address", () => {
  const list = ["https://chat.example"];
  const cases: [string | undefined, string | undefined, readonly string[], boolean][] = [
    [undefined, "10.0.0.1:2001", [], true],
    [undefined, undefined, list, true],
    ["https://chat.example", "10.0.0.1:2001", list, true],
    ["https://chat.example.evil.example", "chat.example", list, false],
    ["http://10.0.0.1:2001", "10.0.0.1:2001", list, false],
    ["http://10.0.0.1:2001", "10.0.0.1:2001", [], true],
    ["http://localhost:2001", "LOCALHOST:2001", [], true],
    ["http://[::1]:2001", "[::1]:2001", [], true],
    ["http://10.0.0.1:80", "10.0.0.1:2001", [], false],
    ["http://evil.example:2001", "evil.example:2001", [], false],
    ["http://1.2.3.4.example:2001", "1.2.3.4.example:2001", [], false],
    ["null", "null", [], false],
    ["http://10.0.0.1:2001", undefined, [], false],
  ];
  for (const [origin, host, origins, may] of cases) {
    assert.equal(mayTalk(origin, host, origins), may, `${origin} at ${host}, ${origins}`);
  }
});
