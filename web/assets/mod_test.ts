import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { PAGE_NAMES } from "../pages/shell/places.ts";
import { findApiScript, findAsset } from "./mod.ts";

const html = new TextDecoder().decode(findAsset("/")?.body);

test("every page is the one HTML file, which holds nothing inline", () => {
  for (const page of PAGE_NAMES) {
    const asset = findAsset(page === "overview" ? "/" : `/${page}`);
    assert.equal(asset?.status, 200, page);
    assert.equal(asset.headers["Cache-Control"], "no-cache");
  }
  assert.equal(findAsset("/modules/1/2")?.status, 200);
  assert.equal(findAsset("/nothing/here")?.status, 404);
  assert.doesNotMatch(html, /<style|style=|<script(?![^>]*src=)|\son\w+=/);
});

test("what the page names is there, packed or plain, and may be kept for ever", () => {
  const names = [...html.matchAll(/"(\/assets\/[^"]+)"/g)].map((match) => match[1]);
  assert.equal(names.length, 2);
  for (const name of names) {
    const plain = findAsset(name);
    const packed = findAsset(name, { acceptEncoding: "gzip, br" });
    assert.ok(plain && packed, name);
    assert.match(plain.headers["Cache-Control"], /immutable/);
    assert.equal(plain.headers["Content-Encoding"], undefined);
    assert.equal(packed.headers["Content-Encoding"], "gzip");
    assert.deepEqual(new Uint8Array(gunzipSync(packed.body)), plain.body);
    const again = findAsset(name, { ifNoneMatch: plain.headers["ETag"] });
    assert.equal(again?.status, 304);
    assert.equal(again.body.length, 0);
  }
});

test("other files are none of the console's", () => {
  for (const path of ["/robots.txt", "/assets/x.js", "/../deno.json", "/constructor.js"]) {
    assert.equal(findAsset(path), undefined, path);
  }
});

test("the client library is there under one name, and under one that says what is in it", async () => {
  const { API_PATH, API_SCRIPT } = await import("./api_bundle.ts");
  const [latest, fixed] = [await findApiScript("/api.js"), await findApiScript(API_PATH)];
  assert.ok(latest && fixed);
  assert.equal(new TextDecoder().decode(latest.body), API_SCRIPT);
  assert.deepEqual(fixed.body, latest.body);
  assert.equal(latest.headers["Cache-Control"], "no-cache");
  assert.match(fixed.headers["Cache-Control"], /immutable/);
  assert.match(latest.headers["Content-Type"], /^text\/javascript/);
  assert.equal((await findApiScript("/api.js", { ifNoneMatch: latest.headers.ETag }))?.status, 304);
  const { API_TYPES_PATH, API_TYPES } = await import("./api_types.ts");
  assert.equal(findAsset("/api.js"), undefined, "it has an answer of its own, however often asked");
  for (const { headers } of [latest, fixed]) {
    assert.equal(headers["X-TypeScript-Types"], API_TYPES_PATH);
  }
  const types = await findApiScript(API_TYPES_PATH);
  assert.equal(new TextDecoder().decode(types?.body), API_TYPES);
  assert.match(types?.headers["Content-Type"] ?? "", /^application\/typescript/);
  for (const path of ["/assets/lars-api-000000000000.js", "/api.ts", "/apixjs", "/"]) {
    assert.equal(await findApiScript(path), undefined, path);
  }
});
