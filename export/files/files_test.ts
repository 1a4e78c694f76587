// Goal: files say what modules are, in words that their readers take; a wrong one never takes the
// place of a good one; readers are told soon of what matters and seldom of the rest.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import { messageOf } from "../../reactor/errors.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { LogList } from "../../tests/support/log_list.ts";
import { findProgram } from "../../tests/support/mariadb.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import type { ExportModule, ExportNode } from "../fleet_view.ts";
import { FileExport } from "./file_export.ts";
import { checkNginxFile, installFile } from "./install_file.ts";
import { checkTemplate, renderNginx, renderTemplate, type Urgency, urgencyOf } from "./render.ts";

const NGINX = findProgram("nginx");

const node = (last: number, more: Partial<ExportNode> = {}): ExportNode => ({
  ...{ ip: 0x0a000000 + last, port: 80, weight: 100, zone: "", state: "up" },
  ...more,
});
const module = (...nodes: ExportNode[]): ExportModule => ({
  ...{ modId: 1, cmdId: 2, name: "login" },
  nodes,
});

test("nginx gets no weight of 0 and no empty upstream, and each host another order", () => {
  const text = renderNginx([
    { name: "login", module: module(node(1), node(2, { state: "out" }), node(3, { weight: 7 })) },
    { name: "pay", module: module() },
    { name: "old", module: module(node(4, { state: "drain", weight: 0 })) },
  ], "host-a");
  const of = (name: string): string[] =>
    (text.split(`upstream ${name} {\n`)[1] ?? "").split("}")[0].trim().split("\n")
      .map((line) => line.trim()).sort();
  assert.deepEqual(of("login"), [
    "server 10.0.0.1:80 weight=100;",
    "server 10.0.0.2:80 down;",
    "server 10.0.0.3:80 weight=7;",
  ]);
  assert.deepEqual(of("pay"), ["server 127.0.0.1:1 down;"]);
  assert.deepEqual(of("old"), ["server 10.0.0.4:80 down;"]);
  const many = [{ name: "m", module: module(...Array.from({ length: 9 }, (_, i) => node(i))) }];
  const hosts = ["a", "b", "c"].map((host) => renderNginx(many, host));
  assert.equal(new Set(hosts).size, 3);
  assert.equal(renderNginx(many, "a"), hosts[0]);
});

test("nginx itself takes what is written, and checkNginxFile() says what it refuses", {
  skip: NGINX === undefined ? "nginx is not installed (apt-get install nginx)" : false,
}, async () => {
  await withTempDir(async (folder) => {
    const path = join(folder, "lars.conf");
    const nodes = [node(1), node(2, { state: "out" }), node(3, { weight: 10_000 })];
    const upstreams = [{ name: "a", module: module(...nodes) }, { name: "b", module: module() }];
    writeFileSync(path, renderNginx(upstreams, "h"));
    await checkNginxFile(NGINX ?? "", path, systemClock);
    writeFileSync(path, "upstream x {\n}\n");
    const fault = await checkNginxFile(NGINX ?? "", path, systemClock).catch(messageOf) ?? "";
    assert.match(fault, /-c nginx\.conf ended with 1: .*lars\.conf/s);
    assert.doesNotMatch(fault, /lars-nginx-/, "the folder is gone by then, and another each time");
  });
});

/** Endpoints as Envoy's own messages have them; throws where a field or a value is none of theirs. */
function readEnvoyEndpoints(resource: Record<string, unknown>): unknown {
  const root = new protobuf.Root();
  const packages = fileURLToPath(new URL("../../node_modules/", import.meta.url));
  const folders = ["envoy-api", "xds", "googleapis", "protoc-gen-validate"]
    .map((name) => join(packages, "@grpc/grpc-js-xds/deps", name));
  root.resolvePath = (_from, name) =>
    [...folders, join(packages, "protobufjs")]
      .map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? name;
  root.loadSync("envoy/config/endpoint/v3/endpoint.proto", { keepCase: true });
  const type = root.lookupType("envoy.config.endpoint.v3.ClusterLoadAssignment");
  const { "@type": url, ...values } = resource;
  assert.equal(url, `type.googleapis.com/${type.fullName.slice(1)}`);
  // Wrapped numbers are bare ones in the JSON of protobuf.
  const text = JSON.stringify(values).replace(/("load_balancing_weight":)(\d+)/g, '$1{"value":$2}');
  const message = type.fromObject(JSON.parse(text));
  assert.equal(type.verify(message), null);
  return type.toObject(message, { enums: String, defaults: false });
}

test("the template for Envoy writes endpoints as Envoy has them", () => {
  const template = readFileSync(
    new URL("../../deploy/envoy/lars_eds.json.mustache", import.meta.url),
    "utf8",
  );
  checkTemplate(template);
  const nodes = [
    node(1, { weight: 300 }),
    node(2, { state: "out" }),
    node(3, { state: "drain", weight: 0 }),
  ];
  const text = renderTemplate(template, [module(...nodes), { ...module(), name: 'a "b"' }]);
  const [login, odd] = JSON.parse(text).resources.map(readEnvoyEndpoints);
  const endpoint = (address: string): unknown => ({
    address: { socket_address: { address, port_value: 80 } },
  });
  assert.deepEqual(login, {
    cluster_name: "login",
    endpoints: [{
      locality: {},
      lb_endpoints: [
        {
          ...{ endpoint: endpoint("10.0.0.1"), health_status: "HEALTHY" },
          load_balancing_weight: { value: 300 },
        },
        {
          ...{ endpoint: endpoint("10.0.0.3"), health_status: "DRAINING" },
          load_balancing_weight: { value: 1 },
        },
      ],
    }],
  });
  assert.equal(odd.cluster_name, "1.2", "no name that would end the text");
  assert.deepEqual(JSON.parse(renderTemplate(template, [])), { resources: [] });
});

test("a template sees modules and nodes, and writes texts as they are", () => {
  const template = "{{#modules}}{{modid}}/{{cmdid}} {{name}}:{{#up}} {{address}}*{{weight}}" +
    "{{^last}},{{/last}}{{/up}} of{{#nodes}} {{ip}}={{state}}{{/nodes}}\n{{/modules}}";
  checkTemplate(template);
  const nodes = [node(1), node(2), node(3, { state: "drain" })];
  assert.equal(
    renderTemplate(template, [module(...nodes), { ...module(), name: "a&<b>" }]),
    "1/2 login: 10.0.0.1:80*100, 10.0.0.2:80*100 of 10.0.0.1=up 10.0.0.2=up 10.0.0.3=drain\n" +
      "1/2 a&<b>: of\n",
  );
  assert.throws(() => checkTemplate("{{#modules}}"), /Template cannot be read: .*modules/);
  assert.throws(() => checkTemplate("x".repeat(1_000_001)), /at most 1000000 characters/);
});

const CHANGES: [what: string, before: ExportNode[], after: ExportNode[], urgency: Urgency][] = [
  ["nothing", [node(1)], [node(1)], "none"],
  ["a little weight", [node(1)], [node(1, { weight: 105 })], "none"],
  ["much weight", [node(1)], [node(1, { weight: 50 })], "later"],
  ["a new node", [node(1)], [node(1), node(2)], "later"],
  ["a node gone", [node(1), node(2)], [node(1)], "soon"],
  ["a node drained", [node(1)], [node(1, { state: "drain" })], "soon"],
  ["a node sick", [node(1)], [node(1, { state: "out" })], "soon"],
  ["a node back", [node(1, { state: "out" })], [node(1)], "later"],
  ["a drained node gone", [node(1), node(2, { state: "drain" })], [node(1)], "later"],
];

for (const [what, before, after, urgency] of CHANGES) {
  test(`urgencyOf(): ${what}`, () => {
    assert.equal(urgencyOf([module(...before)], [module(...after)]), urgency);
  });
}

test("a file is written soon when a node has to go, seldom otherwise, again when it failed", async () => {
  const clock = new ManualClock();
  const written: string[] = [];
  let known: ExportModule[] | undefined;
  let isBroken = false;
  const log = new LogList();
  const files = new FileExport({
    ...{ name: "nginx", intervalMs: 20_000, clock, log },
    modules: () => known,
    render: ([one]) => one.nodes.map(({ ip, state }) => `${ip & 255}${state[0]}`).join(" "),
    install: (text) => {
      if (isBroken) return Promise.reject(new Error("nginx says no"));
      written.push(text);
      return Promise.resolve();
    },
  });
  const set = async (waitMs: number, ...nodes: ExportNode[]): Promise<string[]> => {
    known = [module(...nodes)];
    files.changed();
    for (let i = 0; i < waitMs; i += 100) {
      clock.advance(100);
      await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return written.splice(0);
  };
  files.changed();
  assert.deepEqual(written, [], "nothing is known yet");
  assert.deepEqual(await set(300, node(1), node(2)), ["1u 2u"]);
  assert.deepEqual(await set(5_000, node(1), node(2), node(3)), []);
  assert.deepEqual(await set(300, node(1), node(3)), ["1u 3u"], "a node is gone");
  assert.deepEqual(await set(15_000, node(1), node(3), node(4)), []);
  assert.deepEqual(await set(6_000, node(1), node(3), node(4)), ["1u 3u 4u"]);
  isBroken = true;
  assert.deepEqual(await set(300, node(1)), []);
  assert.equal(files.fault, "nginx says no");
  isBroken = false;
  assert.deepEqual(await set(6_000, node(1)), ["1u"]);
  assert.deepEqual([files.fault, files.stats], [undefined, {
    nginx_installs: 4,
    nginx_failures: 1,
  }]);
  await files.stop();
});

test("the same fault is said once a minute, whatever time and process a program writes with it", async () => {
  const clock = new ManualClock();
  const log = new LogList();
  let reason = "port";
  const files = new FileExport({
    ...{ name: "nginx", intervalMs: 0, clock, log },
    modules: () => [module(node(1))],
    render: () => "text",
    install: () => {
      const [atMs, pid] = [clock.nowMs(), 100 + clock.nowMs()];
      return Promise.reject(new Error(`12:00:${atMs} [emerg] ${pid}#${pid}: invalid ${reason}`));
    },
  });
  const wait = async (ms: number): Promise<void> => {
    for (let i = 0; i < ms; i += 100) {
      clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  files.changed();
  await wait(50_000);
  assert.ok((files.stats.nginx_failures ?? 0) > 5);
  assert.equal(log.lines.length, 1, log.lines.join("\n"));
  reason = "weight";
  await wait(6_000);
  assert.equal(log.count("invalid weight"), 1, "another fault is said at once");
  reason = "port";
  await wait(20_000);
  assert.equal(log.count("invalid port"), 2);
  await files.stop();
});

test("installFile(): checked beside, renamed, its reader told; the old one stays when it is wrong", async () => {
  await withTempDir(async (folder) => {
    const path = join(folder, "out.txt");
    const told = join(folder, "told");
    const check = ["sh", "-c", "grep -q good %f"];
    const reload = ["sh", "-c", `echo told >> ${told}`];
    const options = { path, check, reload, clock: systemClock };
    await installFile("good 1\n", options);
    await assert.rejects(installFile("bad\n", options), /grep -q good .* ended with 1/);
    assert.equal(readFileSync(path, "utf8"), "good 1\n");
    await until(() => readFileSync(told, "utf8") === "told\n", { what: "one telling" });
    assert.deepEqual(readdirSync(folder).sort(), ["out.txt", "told"]);
    await assert.rejects(
      installFile("good\n", { ...options, path: join(folder, "none", "x") }),
      /none/,
    );
    await assert.rejects(
      installFile("good\n", { ...options, check: ["/nonexistent"] }),
      /cannot be run/,
    );
  });
});
