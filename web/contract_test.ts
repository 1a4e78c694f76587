import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { API_ROUTES, type ApiRoute, PROBLEMS, problemsOf } from "./contract.ts";
import { openApiDocument } from "./openapi.ts";
import {
  ClientEdit,
  ModuleParams,
  NodeInput,
  NodePatch,
  ProblemDetails,
} from "../control/schemas.ts";

const routes = Object.entries(API_ROUTES) as [string, ApiRoute][];

test("API_ROUTES: each method and path once, with params for each part of the path", () => {
  const seen = new Set<string>();
  for (const [name, route] of routes) {
    const key = `${route.method} ${route.path.replace(/\{\w+\}/g, "{}")}`;
    assert.ok(!seen.has(key), `${name}: ${key} twice`);
    seen.add(key);
    const parts = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    const shape = route.params as { shape?: Record<string, unknown> } | undefined;
    assert.deepEqual(Object.keys(shape?.shape ?? {}), parts, name);
  }
});

test("API_ROUTES: a GET has no body and needs no more than it says", () => {
  for (const [name, route] of routes) {
    if (route.method === "GET") assert.equal(route.body, undefined, name);
    if (route.ifMatch === "required") {
      assert.ok(route.problems?.includes("revision-needed"), name);
    }
    for (const problem of problemsOf(route)) assert.ok(problem in PROBLEMS, problem);
  }
});

test("README: lists every route with method, path and role", () => {
  const text = readFileSync(new URL("./README.md", import.meta.url), "utf8");
  for (const [name, { method, path, role }] of routes) {
    const row = new RegExp(
      `\\| \`${method} ${path.replace(/[{}.]/g, "\\$&")}\` +\\| ${role} `,
    );
    assert.match(text, row, `${name}: README.md must have | \`${method} ${path}\` | ${role} |`);
  }
});

test("openApiDocument(): every route, every reference resolved, plain JSON", () => {
  const document = openApiDocument();
  const text = JSON.stringify(document);
  assert.deepEqual(JSON.parse(text), document);
  const paths = document.paths as Record<string, Record<string, { operationId: string }>>;
  const ids = Object.values(paths).flatMap((path) =>
    Object.values(path).map((operation) => operation.operationId)
  );
  assert.deepEqual(ids.sort(), routes.map(([name]) => name).sort());
  for (const [, reference] of text.matchAll(/"\$ref":"([^"]*)"/g)) {
    assert.equal(reference, "#/components/schemas/Problem");
  }
  assert.match(text, /"name":"If-Match","in":"header","required":true/);
});

test("schemas: what is refused, and what is taken", () => {
  const node = { ip: "10.0.0.1", port: 7777 };
  assert.deepEqual(NodeInput.parse(node), node);
  for (
    const bad of [
      {},
      { ...node, ip: "10.0.0" },
      { ...node, ip: "0.0.0.0" },
      { ...node, ip: 5 },
      { ...node, port: 0 },
      { ...node, port: 65_536 },
      { ...node, port: "7777" },
      { ...node, port: 1.5 },
      { ...node, weight: -1 },
      { ...node, weight: 10_001 },
      { ...node, zone: "a b" },
      { ...node, zone: "<script>" },
      { ...node, zone: "x".repeat(65) },
      { ...node, state: "ON" },
      { ...node, why: "two\nlines" },
      { ...node, why: "\ud800" },
      { ...node, other: 1 },
    ]
  ) assert.equal(NodeInput.safeParse(bad).success, false, JSON.stringify(bad));
  assert.equal(NodePatch.safeParse({}).success, false);
  assert.equal(NodePatch.safeParse({ why: "x" }).success, false);
  assert.deepEqual(ModuleParams.parse({ modId: "1", cmdId: "4294967295" }), {
    modId: 1,
    cmdId: 4_294_967_295,
  });
  for (const modId of ["", "-1", "1e3", "0x1", "4294967296", "1.0", " 1", "9".repeat(400)]) {
    assert.equal(ModuleParams.safeParse({ modId, cmdId: "1" }).success, false, modId);
  }
  assert.equal(ClientEdit.safeParse({ op: "drop", modId: 1, cmdId: 1 }).success, false);
  assert.ok(
    ProblemDetails.parse({ type: "urn:lars:x", title: "x", status: 400, detail: "" }),
  );
});
