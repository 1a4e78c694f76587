import assert from "node:assert/strict";
import { test } from "node:test";
import { PAGE_NAMES, parsePlace, withQuery } from "./places.ts";

test("parsePlace() knows every page and calls the rest missing", () => {
  for (const page of PAGE_NAMES) {
    assert.deepEqual(parsePlace(page === "overview" ? "/" : `/${page}`), { page });
  }
  assert.deepEqual(parsePlace("/modules/1/4294967295"), {
    page: "module",
    modId: 1,
    cmdId: 4294967295,
  });
  assert.deepEqual(parsePlace("/changes/12"), { page: "change", id: 12 });
  for (
    const path of [
      "/overview",
      "/x",
      "/modules/1",
      "/modules/a/2",
      "/modules/1/4294967296",
      "/changes/0",
      "/modules/-1/2",
    ]
  ) {
    assert.deepEqual(parsePlace(path), { page: "missing" }, path);
  }
});

test("withQuery() leaves out what is not set and escapes the rest", () => {
  assert.equal(withQuery("/modules", { search: "", health: undefined }), "/modules");
  assert.equal(
    withQuery("/modules", { search: "a b&c", offset: 0 }),
    "/modules?search=a+b%26c&offset=0",
  );
});
