import assert from "node:assert/strict";
import { test } from "node:test";
import type { Report } from "../../control/schemas.ts";
import { SERVICE_GRANTS } from "../../sql/grants/grants.ts";
import { SCHEMA_VERSION } from "../../sql/schema/migrations.ts";
import { ADVICE, type AdviceKey, troubleshootingPage, wrapped } from "./advice.ts";
import { type DoctorFacts, findingsOf, remedyOf } from "./findings.ts";

const SOFTWARE = "lars/0.1.0 deno/2.9.6";

type ServiceLine = Report["services"][number];

function service(kind: string, address: string, rest: Partial<ServiceLine> = {}): ServiceLine {
  return {
    ...{
      kind,
      address,
      software: SOFTWARE,
      startedAtMs: 0,
      seenAtMs: 0,
      isAlive: true,
      detail: {},
    },
    ...rest,
  };
}

const REPORT: Report = {
  atMs: 1_700_000_000_000,
  store: { label: "db", schemaVersion: SCHEMA_VERSION, moduleCount: 3, nodeCount: 7, version: 5 },
  services: [
    ...[service("dns", "10.0.0.1:7778"), service("dns", "10.0.0.2:7778")],
    ...[service("reporter", "10.0.0.1:7779"), service("reporter", "10.0.0.2:7779")],
  ],
  agents: { total: 2, silent: 0, holding: 0, behind: 0, agents: [] },
  calls: { moduleCount: 0, lastTs: 0, modules: [], overloadedCount: 0, overloaded: [] },
  recent: { seconds: 300, calls: 0, errors: 0, meanMs: null, refused: 0 },
  events: [],
};

const AGENT = {
  dnsConnected: 1,
  reporterConnected: 1,
  dnsAddress: "10.0.0.1:7778",
  reporterAddress: "10.0.0.1:7779",
  modules: 2,
  tableBytes: 4096,
};

const WELL: DoctorFacts = {
  report: REPORT,
  clockAheadMs: 300,
  unreachable: [],
  agent: { address: "127.0.0.1:8888", software: SOFTWARE, status: AGENT },
  host: { openFilesMax: 65_536, disk: { path: "data", freeBytes: 2 ** 33, bytes: 2 ** 34 } },
  configs: [{ path: "agent.conf", problems: [], readable: [], isOpen: false, exports: undefined }],
  software: SOFTWARE,
};

/** Facts with another report, or another status of the agent. */
const reported = (rest: Partial<Report>): DoctorFacts => ({
  ...WELL,
  report: { ...REPORT, ...rest },
});
const stored = (schemaVersion: number, ...hidden: string[]): DoctorFacts =>
  reported({ store: { ...REPORT.store, schemaVersion, hidden } });
const agents = (rest: Partial<Report["agents"]>): DoctorFacts =>
  reported({ agents: { ...REPORT.agents, ...rest } });
const said = (status: Record<string, unknown>): DoctorFacts => ({
  ...WELL,
  agent: { address: "127.0.0.1:8888", software: SOFTWARE, status: { ...AGENT, ...status } },
});
const host = (rest: Partial<DoctorFacts["host"]>): DoctorFacts => ({
  ...WELL,
  host: { ...WELL.host, ...rest },
});
const config = (rest: Partial<DoctorFacts["configs"][number]>): DoctorFacts => ({
  ...WELL,
  configs: [{ ...WELL.configs[0], ...rest }],
});

test("findingsOf() says of a system that is well that each part is", () => {
  const findings = findingsOf(WELL);
  assert.deepEqual(findings.filter(({ level }) => level !== "ok"), []);
  const subjects = new Set(findings.map(({ subject }) => subject));
  for (
    const subject of ["database", "clock", "dns", "reporter", "agents", "agent", "disk", "config"]
  ) {
    assert.ok(subjects.has(subject), subject);
  }
});

const CASES: readonly (readonly [string, DoctorFacts, AdviceKey, "bad" | "note", RegExp])[] = [
  ["database away", { ...WELL, report: { fault: "refused" } }, "database_away", "bad", /refused/],
  ["original tables", stored(0), "schema_original", "note", /version 0/],
  [
    "empty database",
    { ...WELL, report: { fault: "Table 'x.RouteData' doesn't exist", refusal: "schema" } },
    ...["schema_missing", "bad", /RouteData/] as const,
  ],
  [
    "missing rights",
    {
      ...WELL,
      report: {
        fault: "SELECT command denied to user 'lars_web'@'%' for table `lars_dns`.`Event`",
        refusal: "rights",
      },
    },
    ...["rights_missing", "bad", /Missing: SELECT on Event; reporter, web, /] as const,
  ],
  [
    "no right on one table",
    stored(SCHEMA_VERSION, "Event"),
    ...["rights_missing", "bad", /any right.*: Event \(SELECT, INSERT\); .*\/web\.sql/] as const,
  ],
  [
    "no right on many tables",
    stored(SCHEMA_VERSION, ...Object.keys(SERVICE_GRANTS.web)),
    ...["rights_missing", "bad", /RouteVersion \(.*, and \d+ more; .*\/web\.sql/] as const,
  ],
  [
    "no right on the list of migrations",
    stored(0, "SchemaMigration"),
    ...["rights_missing", "bad", /SchemaMigration \(SELECT\)/] as const,
  ],
  [
    "no rights at all",
    { ...WELL, report: { fault: "Access denied to database 'lars'", refusal: "rights" } },
    ...["rights_missing", "bad", /'lars'$/] as const,
  ],
  ["old schema", stored(SCHEMA_VERSION - 1), "schema_old", "bad", /of \d+/],
  ["new schema", stored(SCHEMA_VERSION + 1), "schema_newer", "bad", /knows/],
  ["fast clock", { ...WELL, clockAheadMs: 45_000 }, "clock_differs", "bad", /45\.0 s ahead of/],
  ["slow clock", { ...WELL, clockAheadMs: -3_000 }, "clock_differs", "bad", /3\.0 s behind/],
  ["no dns", reported({ services: REPORT.services.slice(2) }), "service_missing", "bad", /none/],
  [
    "one dns",
    reported({ services: REPORT.services.slice(1) }),
    "service_single",
    "note",
    /one, 10/,
  ],
  [
    "silent dns",
    reported({
      services: [...REPORT.services, service("dns", "10.0.0.9:7778", { isAlive: false })],
    }),
    ...["service_silent", "note", /10\.0\.0\.9:7778/] as const,
  ],
  [
    "refused secret",
    reported({
      services: [...REPORT.services, service("dns", "d", { detail: { hostsRefused: 2 } })],
    }),
    ...["secret_refused", "bad", /d and 2 hosts/] as const,
  ],
  [
    "old version",
    reported({ services: [...REPORT.services, service("dns", "d", { software: "lars/0.0.9 x" })] }),
    ...["versions_differ", "note", /here lars\/0\.1\.0; d has lars\/0\.0\.9/] as const,
  ],
  [
    "unreachable dns",
    { ...WELL, unreachable: [{ address: "10.0.0.1:7778", reason: "timed out" }] },
    ...["service_unreachable", "bad", /10\.0\.0\.1:7778: timed out/] as const,
  ],
  ["agents behind", agents({ behind: 1 }), "agent_behind", "note", /0 silent, 1 behind, of 2/],
  ["agents holding", agents({ holding: 1 }), "routes_held", "bad", /1 agent/],
  ["no agent", { ...WELL, agent: { fault: "No agent answers" } }, "agent_away", "bad", /answers/],
  ["agent without dns", said({ dnsConnected: 0 }), "agent_unlinked", "bad", /10\.0\.0\.1:7778/],
  ["agent without reporter", said({ reporterConnected: 0 }), "agent_unreported", "bad", /7779/],
  ["agent refused", said({ dnsSecretFault: "wrong" }), "secret_refused", "bad", /dns: wrong/],
  ["agent holds", said({ routesHeldBack: "(1,2)" }), "routes_held", "bad", /\(1,2\)/],
  ["policy refused", said({ policiesRefused: 1 }), "policies_refused", "note", /1 policy/],
  ["results dropped", said({ resultsDropped: 3 }), "results_dropped", "note", /3 results/],
  ["no table", said({ tableBytes: 0 }), "table_off", "note", /no table/],
  ["full table", said({ tableModulesLeftOut: 2 }), "table_full", "note", /2 modules/],
  ["few files", host({ openFilesMax: 1024 }), "files_few", "note", /1024/],
  [
    "full disk",
    host({ disk: { path: "data", freeBytes: 2 ** 20, bytes: 2 ** 34 } }),
    ...["disk_full", "bad", /1 MiB free for data/] as const,
  ],
  ["wrong key", config({ problems: ["a.conf:3: no"] }), "config_wrong", "bad", /a\.conf:3/],
  ["open secret", config({ readable: ["token"] }), "secret_readable", "bad", /token, of agent/],
  ["open port", config({ isOpen: true }), "open_everywhere", "note", /agent\.conf/],
  [
    "export without its target",
    config({ exports: [{ key: "export_target", seen: "[file] out = /a/b: ENOENT" }] }),
    ...["export_target", "bad", /\/a\/b: ENOENT, of agent\.conf/] as const,
  ],
  [
    "export whose port it may have itself",
    config({ exports: [{ key: "export_port", seen: "[xds] port = 1: taken", isUnsure: true }] }),
    ...["export_port", "note", /port = 1: taken, of agent\.conf/] as const,
  ],
];

for (const [name, facts, key, level, seen] of CASES) {
  test(`findingsOf(): ${name}`, () => {
    const finding = findingsOf(facts).find((one) => one.key === key);
    assert.equal(finding?.level, level, JSON.stringify(findingsOf(facts)));
    assert.match(finding?.seen ?? "", seen);
    assert.equal(finding === undefined ? "" : remedyOf(finding), ADVICE[key].remedy);
    const wrong = findingsOf(facts).filter((one) => one.level !== "ok");
    assert.equal(wrong.length, 1, `one fault, one finding: ${JSON.stringify(wrong)}`);
  });
}

test("findingsOf() says of an export that all it names is there", () => {
  const found = findingsOf(config({ exports: [] })).filter(({ subject }) => subject === "export");
  assert.deepEqual(found.map(({ level, seen }) => [level, seen]), [
    ["ok", "all that agent.conf names is there"],
  ]);
});

test("findingsOf() does not call a configuration well with which an export would not start", () => {
  const exports = [{ key: "config_wrong", seen: "Nothing is exported" }] as const;
  const found = findingsOf(config({ exports })).filter(({ seen }) => seen.includes("agent.conf"));
  assert.deepEqual(found.map(({ level, seen }) => [level, seen]), [
    ["bad", "Nothing is exported, of agent.conf"],
  ]);
});

test("a small disk is nearly full at its share, a large one at its bytes", () => {
  const level = (freeBytes: number, bytes: number): string | undefined =>
    findingsOf(host({ disk: { path: "d", freeBytes, bytes } }))
      .find(({ subject }) => subject === "disk")?.level;
  assert.equal(level(10 * 2 ** 20, 100 * 2 ** 20), "ok");
  assert.equal(level(2 ** 20, 100 * 2 ** 20), "bad");
  assert.equal(level(300 * 2 ** 20, 2 ** 40), "ok");
});

test("wrapped() breaks between words and not inside of code", () => {
  assert.deepEqual(wrapped("one two three", 8), ["one two", "three"]);
  assert.deepEqual(wrapped("run `a b c` now", 6), ["run", "`a b c`", "now"]);
  assert.deepEqual(wrapped("say (`a b`), then", 8), ["say", "(`a b`),", "then"]);
  for (const { cause, remedy } of Object.values(ADVICE)) {
    assert.equal(wrapped(`${cause} ${remedy}`, 40).join(" "), `${cause} ${remedy}`);
  }
});

test("the page of docs has a heading for each advice", () => {
  const headings = troubleshootingPage().match(/^## .*$/gm) ?? [];
  assert.deepEqual(headings, Object.values(ADVICE).map(({ symptom }) => `## ${symptom}`));
});
