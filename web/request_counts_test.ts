import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestCounts, routeKind } from "./request_counts.ts";

test("routeKind() knows the groups of the interface, pages and probes, and nothing else", () => {
  const kinds: [string, boolean, string][] = [
    ["/api/v1/modules", true, "modules"],
    ["/api/v1/modules/1/2/nodes/10.0.0.1:80", true, "modules"],
    ["/api/v1/alert-rules/7", false, "alert-rules"],
    ["/api/v1/openapi.json", true, "openapi.json"],
    ["/api/v1/live", true, "live"],
    ["/api/v1/<script>", false, "unknown"],
    ["/api/v1", false, "unknown"],
    ["/api/v2/modules", false, "unknown"],
    ["/api", false, "unknown"],
    ["/api/v1x/modules", false, "unknown"],
    ["/", true, "pages"],
    ["/modules/1/2", true, "pages"],
    ["/wp-login.php", false, "unknown"],
    ["/healthz", true, "health"],
    ["/readyz", true, "health"],
  ];
  for (const [path, isFound, kind] of kinds) assert.equal(routeKind(path, isFound), kind, path);
});

test("RequestCounts counts by kind and status, and strangers make no new kinds", () => {
  const counts = new RequestCounts();
  counts.note("/api/v1/modules/1/1", 200, 250);
  counts.note("/api/v1/modules/1/2", 200, 500);
  counts.note("/api/v1/modules/1/2", 412, 1);
  for (let i = 0; i < 1000; i++) counts.note(`/secret/${i}`, 404, 1);
  assert.equal(counts.total(), 1003);
  assert.equal(counts.total((code) => code >= 400), 1001);
  const [requests, seconds] = counts.metrics();
  assert.deepEqual(requests.samples, [
    { labels: { route: "modules", code: "200" }, value: 2 },
    { labels: { route: "modules", code: "412" }, value: 1 },
    { labels: { route: "unknown", code: "404" }, value: 1000 },
  ]);
  assert.equal(seconds.samples[0].value, 0.75);
});
