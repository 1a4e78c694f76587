// The rules of this project's own sources.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkAmbient,
  checkAny,
  checkApiClosure,
  checkApiImports,
  checkCorePurity,
  checkDefinitions,
  checkFileLength,
  checkFunctionLength,
  checkHeader,
  checkRoomOrder,
  checkRouteWrites,
  checkRuntimeNames,
  checkSleeps,
  checkWords,
  isTest,
  ROOM_ORDER,
} from "../scripts/check_house_rules.ts";
import { importCircles, importsOf, type SourceFile } from "../scripts/import_graph.ts";
import { hasFileTable } from "../scripts/file_tables.ts";
import { readDocuments, readSources } from "../scripts/sources.ts";

const sources = readSources().filter(({ path }) => /\.tsx?$/.test(path));
const documents = readDocuments();
const headers = new Map(sources.map((file) => [file.path, file.text.split("\n", 1)[0]]));

function expectNone(complaints: string[]): void {
  assert.equal(complaints.join("\n"), "");
}

test("house rules: every source says in its first line whether it is core or shell", () => {
  assert.ok(sources.length > 50, "the sources were found");
  expectNone(sources.flatMap(checkHeader));
});

test("house rules: core files are pure", () => {
  expectNone(sources.flatMap((file) => checkCorePurity(file, (path) => headers.get(path))));
});

test("house rules: time and chance are arguments", () => {
  expectNone(
    sources.filter(({ path }) => !path.startsWith("tests/support/")).flatMap(checkAmbient),
  );
});

test("house rules: only reactor/runtime/ knows the runtimes", () => {
  expectNone(sources.flatMap(checkRuntimeNames));
});

test("house rules: rooms import in one direction, and files in no circle", () => {
  expectNone(sources.flatMap(checkRoomOrder));
  expectNone(importCircles(sources.filter(({ path }) => !isTest(path))));
});

test("house rules: api/ imports nothing that needs an import map", () => {
  expectNone(sources.flatMap(checkApiImports));
  expectNone(checkApiClosure(sources));
});

test("house rules: no function is longer than a screen", () => {
  expectNone(sources.flatMap(checkFunctionLength));
});

test("house rules: no file is longer than one job needs", () => {
  expectNone(sources.flatMap(checkFileLength));
});

test("house rules: what files export is defined once", () => {
  expectNone(checkDefinitions(sources));
});

test("house rules: routes are changed by the change service alone", () => {
  expectNone(sources.flatMap(checkRouteWrites));
});

test("house rules: no leftovers in sources and documents", () => {
  expectNone([...sources, ...documents].flatMap(checkWords));
  expectNone(sources.flatMap(checkAny));
});

test("house rules: every test file asserts something", () => {
  const silent = sources.filter(({ path, text }) =>
    path.endsWith("_test.ts") && !/assert|expectNone|Conformance\(/.test(text)
  );
  expectNone(silent.map(({ path }) => path));
});

test("house rules: every room has a README with a table of its files", () => {
  const tables = new Map(documents.map(({ path, text }) => [path, hasFileTable(text)]));
  expectNone(
    ROOM_ORDER.flat().map((room) => `${room}/README.md`).filter((path) => !tables.get(path)),
  );
});

test("house rules: the rules themselves catch what they are for", () => {
  const file = (path: string, text: string): SourceFile => ({ path, text });
  const cases: [string[], RegExp][] = [
    [checkHeader(file("dns/x.ts", "import a")), /first line/],
    [checkAmbient(file("dns/x.ts", "const t = Date.now();")), /Clock/],
    [checkAmbient(file("dns/x.ts", "setTimeout(f, 1);")), /setTimer/],
    [checkSleeps(file("dns/x_test.ts", "await sleep(clock, 5);")), /until/],
    [checkAny(file("dns/x.ts", "let x: any;")), /type is/],
    [checkRuntimeNames(file("dns/x.ts", "Deno.exit(1);")), /reactor\/runtime/],
    [checkRoomOrder(file("proto/x.ts", 'import { a } from "../dns/y.ts";')), /order of rooms/],
    [checkApiImports(file("api/x.ts", 'import a from "mysql2";')), /bare name/],
    [
      checkApiClosure([
        file("api/mod.ts", 'export { b } from "./b.ts";'),
        file("api/b.ts", 'import type { c } from "../balancer/c.ts";'),
        file("balancer/c.ts", 'import hash from "murmurhash3js";'),
      ]),
      /^api\/mod.ts -> api\/b.ts -> balancer\/c.ts must not import the bare name murmurhash3js$/,
    ],
    [
      checkCorePurity(file("dns/x.ts", '// Core. X.\nimport fs from "node:fs";'), () => undefined),
      /node: module/,
    ],
    [
      checkCorePurity(
        file("dns/x.ts", '// Core. X.\nimport { y } from "./y.ts";'),
        () => "// Shell. Y.",
      ),
      /shell file dns\/y.ts/,
    ],
    [
      checkFunctionLength(
        file("dns/x.ts", `function f(): void {\n${"  g();\n".repeat(80)}}\n`),
      ),
      /function of 82 lines/,
    ],
    [checkFileLength(file("dns/x.ts", "f();\n// g\n\n".repeat(501))), /501 lines of code/],
    [
      checkDefinitions([
        file("dns/x.ts", "export interface A {}\nexport type B = A;"),
        file("dns/y.ts", "export async function A() {}\nexport { B } from './x.ts';"),
      ]),
      /^A is defined in dns\/x.ts and in dns\/y.ts$/,
    ],
    [
      checkDefinitions([file("dns/x.ts", "export function checkDefinitions() {}")]),
      /addTo is defined once/,
    ],
    [checkRouteWrites(file("dns/x.ts", "await store.editRoutes(edits);")), /control\/changes/],
    [checkWords(file("dns/x.ts", "// FIX" + "ME later")), /finish it/],
  ];
  for (const [complaints, expected] of cases) assert.match(complaints.join("\n"), expected);
  assert.deepEqual(
    importCircles([
      file("a.ts", 'import { b } from "./b.ts";'),
      file("b.ts", 'import { a } from "./a.ts";'),
    ]),
    ["a.ts -> b.ts -> a.ts"],
  );
  assert.deepEqual(
    importCircles([
      file("a.ts", 'import type { B } from "./b.ts";\nimport "./d.ts";'),
      file("b.ts", 'export { c } from "./c.ts";'),
      file("c.ts", 'export async function c() {\n  return (await import("./a.ts")).a;\n}'),
      file("d.ts", 'export type E = import("./e.ts").E;'),
      file("e.ts", 'export type { E } from "./d.ts";'),
    ]),
    ["a.ts -> b.ts -> c.ts -> a.ts", "d.ts -> e.ts -> d.ts"],
  );
  assert.deepEqual(
    importsOf(
      'import a from "b";\n/** import("c") */\ntype D = import("d").D;\nf(() => import("e"));',
    ),
    [
      { specifier: "b", typeOnly: false },
      { specifier: "d", typeOnly: true },
      { specifier: "e", typeOnly: false },
    ],
  );
  assert.deepEqual(
    checkAmbient(file("dns/x.ts", '// Date.now() in a comment\nf("Date.now()");')),
    [],
  );
});
