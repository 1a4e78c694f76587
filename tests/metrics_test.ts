// The metrics of real services, held against Prometheus' own checker and against the dashboard.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { LarsClient } from "../api/mod.ts";
import { agentDaemon } from "../agent/service.ts";
import { type DaemonDefinition, type RunningService, startDaemon } from "../daemon/daemon.ts";
import { dnsDaemon } from "../dns/service.ts";
import { BindError, ConfigError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { reporterDaemon } from "../reporter/service.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { startWeb, webDaemon } from "../web/service.ts";
import { freePort } from "./support/free_port.ts";
import { findPromtool, runPromtool } from "./support/promtool.ts";
import { withTempDir } from "./support/temp_dir.ts";
import { relayMetrics } from "../relay/metrics.ts";
import { until } from "./support/until.ts";
import { agentPortOffset, WireCaller } from "./support/wire_client.ts";

const PROMTOOL = {
  skip: findPromtool() === undefined
    ? "promtool is not on this machine (Debian: apt-get install prometheus, or let " +
      "`deno task test` fetch it)"
    : false,
};

function pathOf(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url));
}

interface System {
  /** Base urls of the side doors by service. */
  readonly urls: Readonly<Record<"dns" | "reporter" | "agent" | "web", string>>;
  readonly services: readonly RunningService[];
  readonly store: Store;
}

/** dns, reporter, agent and console in this process, on an embedded database with one module. */
async function withSystem(body: (system: System) => Promise<void>): Promise<void> {
  await withTempDir(async (directory) => {
    const url = `sqlite:${join(directory, "lars.db")}`;
    const store = await openStore(url);
    await store.migrate();
    await store.editRoutes([{ op: "add", modId: 1, cmdId: 1, ip: 0x7f000001, port: 80 }]);
    const services: RunningService[] = [];
    const urls: Record<string, string> = {};
    const start = async (
      definition: DaemonDefinition,
      flags: Record<string, string>,
    ): Promise<RunningService> => {
      const port = await freePort();
      const service = await startDaemon(definition, {
        flags: { ...flags, "metrics.port": String(port) },
      }, { log: silentLogger });
      services.push(service);
      urls[definition.name] = `http://127.0.0.1:${port}`;
      return service;
    };
    try {
      const stored = { "store.url": url, "reactor.port": "0" };
      const dns = await start(dnsDaemon, stored);
      const reporter = await start(reporterDaemon, stored);
      await start(agentDaemon, {
        "agent.port": "0",
        "agent.cache_dir": "",
        "dnsserver.ip": dns.addresses[0],
        "reporter.ip": reporter.addresses[0],
      });
      await start({ ...webDaemon, start: startQuietWeb }, { "store.url": url, "web.port": "0" });
      await body({ urls: urls as System["urls"], services, store });
    } finally {
      for (const service of services.reverse()) await service.stop();
      await store.close();
    }
  });
}

/** The console, whose first password is printed nowhere. */
const startQuietWeb: typeof webDaemon.start = (settings, context) =>
  startWeb(settings, context, { announce: () => {} });

async function get(url: string): Promise<{ status: number; body: string; type: string | null }> {
  const response = await fetch(url);
  const type = response.headers.get("content-type");
  return { status: response.status, body: await response.text(), type };
}

async function metricNames(urls: System["urls"]): Promise<Set<string>> {
  const texts = await Promise.all(Object.values(urls).map((url) => get(`${url}/metrics`)));
  const lines = texts.flatMap(({ body }) => body.split("\n"));
  return new Set(lines.flatMap((line) => /^# TYPE (\S+) /.exec(line)?.[1] ?? []));
}

test("every service shows metrics that Prometheus finds no fault with", PROMTOOL, async () => {
  await withSystem(async ({ urls }) => {
    for (const [name, url] of Object.entries(urls)) {
      const { status, body, type } = await get(`${url}/metrics`);
      assert.equal(status, 200);
      assert.match(String(type), /^text\/plain; version=0\.0\.4/);
      assert.match(body, new RegExp(`^# TYPE lars_${name}_`, "m"));
      const { code, output } = runPromtool(["check", "metrics"], body);
      assert.equal(code, 0, `${name}: ${output}`);
      assert.equal(output.trim(), "", name);
    }
  });
});

test("services are healthy, and ready when they can do their work", async () => {
  await withSystem(async ({ urls, store }) => {
    for (const [name, url] of Object.entries(urls)) {
      assert.deepEqual((await get(`${url}/healthz`)).body, "ok\n");
      for (const path of ["healthz", "readyz"]) {
        const { headers } = await fetch(`${url}/${path}`);
        assert.equal(headers.get("X-Lars-Service"), name);
      }
      await until(async () => (await get(`${url}/readyz`)).status === 200, { what: "ready" });
    }
    const found = await get(`${urls.dns}/sd/modules?modid=1&cmdid=1`);
    assert.equal(found.type, "application/json");
    assert.deepEqual(JSON.parse(found.body)[0].targets, ["127.0.0.1:80"]);
    await store.ping();
  });
});

test("the console counts requests, logins, streams, alerts and webhooks", async () => {
  await withSystem(async ({ urls, services }) => {
    const base = `http://${services[3].addresses[0]}`;
    assert.equal((await get(`${base}/`)).status, 200);
    assert.equal((await get(`${base}/api/v1/overview`)).status, 401);
    const response = await fetch(`${base}/api/v1/session`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: "admin", password: "wrong" }),
    });
    await response.text();
    assert.equal(response.status, 401);
    const { body } = await get(`${urls.web}/metrics`);
    for (
      const line of [
        'lars_web_requests_total{route="pages",code="200"} 1',
        'lars_web_requests_total{route="overview",code="401"} 1',
        'lars_web_requests_total{route="session",code="401"} 1',
        'lars_web_logins_total{outcome="done"} 0',
        'lars_web_logins_total{outcome="refused"} 1',
        "lars_web_store_up 1",
        "lars_web_modules 1",
        "lars_web_live_streams 0",
        'lars_web_alerts_firing{severity="critical"} 0',
        'lars_web_webhook_attempts_total{outcome="failed"} 0',
      ]
    ) assert.ok(body.includes(`\n${line}\n`), `${line} in:\n${body}`);
    assert.deepEqual(body.match(/.* untyped$/gm), null, "every counter is named");
    assert.equal((await get(`${base}/healthz`)).body, "ok\n");
  });
});

test("an agent without dns and a reporter without tables say why they are not ready", async () => {
  await withTempDir(async (directory) => {
    const port = await freePort();
    const metricsPort = await freePort();
    const agent = await startDaemon(agentDaemon, {
      flags: {
        "agent.port": "0",
        "agent.cache_dir": join(directory, "cache"),
        "dnsserver.ip": `127.0.0.1:${port}`,
        "metrics.port": String(metricsPort),
      },
    }, { log: silentLogger });
    const { status, body } = await get(`http://127.0.0.1:${metricsPort}/readyz`);
    await agent.stop();
    assert.equal(status, 503);
    assert.match(body, /not ready: there is no connection to dns/);
    await assert.rejects(fetch(`http://127.0.0.1:${metricsPort}/healthz`), "closed with it");
  });
});

test("metrics beyond loopback need a token; a taken port costs the start unless it is the default", async () => {
  await withTempDir(async (directory) => {
    const url = `sqlite:${join(directory, "lars.db")}`;
    const flags = { "store.url": url, "reactor.port": "0" };
    const start = (more: Record<string, string>): Promise<RunningService> =>
      startDaemon(reporterDaemon, { flags: { ...flags, ...more } }, { log: silentLogger });
    await assert.rejects(start({ "metrics.ip": "0.0.0.0" }), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /\[metrics\] token_file = FILE, or \[auth\] allow_insecure = 1/);
      return true;
    });
    const port = String(await freePort());
    const first = await start({ "metrics.port": port });
    await assert.rejects(start({ "metrics.port": port }), BindError);
    await first.stop();
    const openPort = String(await freePort());
    const open = await start({
      "metrics.port": openPort,
      "metrics.ip": "0.0.0.0",
      "auth.allow_insecure": "1",
    });
    assert.equal((await get(`http://127.0.0.1:${openPort}/healthz`)).status, 200);
    // Two services on the default port: whoever comes second goes without.
    const services = [await start({}), await start({})];
    await Promise.all([open, ...services].map((service) => service.stop()));
  });
});

test("every metric of the dashboard is one that a service shows", async () => {
  const dashboard = JSON.parse(readFileSync(pathOf("../deploy/grafana/lars.json"), "utf8"));
  const expressions = (dashboard.panels as { targets?: { expr: string }[] }[])
    .flatMap((panel) => panel.targets ?? []).map((target) => target.expr);
  assert.ok(expressions.length > 20);
  const rules = readFileSync(pathOf("../deploy/prometheus/lars_rules.yml"), "utf8");
  const used = new Set(
    `${JSON.stringify(dashboard)}${rules}`.replaceAll(/lars_rules\S*/g, "")
      .match(/\b(?:lars|process)_[a-z_]+\b/g)?.map((name) =>
        name.replace(/(duration_seconds)_(bucket|sum|count)$/, "$1")
      ) ?? [],
  );
  await withSystem(async ({ urls }) => {
    let shown = await metricNames(urls);
    // The loops of an agent tell their counters a moment after their start.
    await until(async () => (shown = await metricNames(urls)).has("lars_agent_picks_total"), {
      what: "the counters of the loops",
    });
    // A system may do without a relay; its table names all that it shows.
    for (const metric of Object.values(relayMetrics)) if (metric !== null) shown.add(metric.name);
    // Shown from the first call of a module on.
    shown.add("lars_reporter_calls_total");
    // The same, and from the first refused call, and the first call whose time somebody tells.
    for (const name of ["calls_refused_total", "call_duration_seconds"]) {
      shown.add(`lars_reporter_${name}`);
    }
    for (const name of ["refused_total", "call_duration_seconds"]) {
      shown.add(`lars_agent_module_${name}`);
    }
    // Shown from the first request on.
    shown.add("lars_web_requests_total");
    // Shown once dns was heard of.
    shown.add("lars_agent_dns_route_age_seconds");
    assert.deepEqual([...used].filter((name) => !shown.has(name)), []);
  });
  const ids = (dashboard.panels as { id: number }[]).map((panel) => panel.id);
  assert.equal(new Set(ids).size, ids.length);
});

test("the example configuration is one that Prometheus takes", PROMTOOL, () => {
  const path = pathOf("../deploy/prometheus/prometheus.yml");
  const { code, output } = runPromtool(["check", "config", "--syntax-only", path]);
  assert.equal(code, 0, output);
});

test("the example alert rules fire when they should, and not else", PROMTOOL, () => {
  const rules = runPromtool(["check", "rules", pathOf("../deploy/prometheus/lars_rules.yml")]);
  assert.equal(rules.code, 0, rules.output);
  const fired = runPromtool([
    ...["test", "rules"],
    pathOf("../deploy/prometheus/lars_rules_test.yml"),
  ]);
  assert.equal(fired.code, 0, fired.output);
});

test("metrics of single modules: calls, times and refused calls, with the name of the module", {
  timeout: 60_000,
}, async () => {
  await withSystem(async ({ urls, services, store }) => {
    await store.setModules([{ modId: 1, cmdId: 1, name: 'p"ay' }]);
    await store.editRoutes([
      { op: "add", modId: 3, cmdId: 1, ip: 0x7f000001, port: 80, state: "drain" },
    ]);
    const client = new LarsClient({ port: Number(services[2].addresses[0].split(":")[1]) });
    const lines = async (url: string): Promise<string[]> =>
      (await get(`${url}/metrics`)).body.split("\n");
    await until(async () => (await client.tryGetHost(1, 1)).retcode === 0, { what: "the route" });
    for (const timeMs of [1, 3, 3, 30_000]) client.report(1, 1, "127.0.0.1", 80, 0, timeMs);
    client.report(1, 1, "127.0.0.1", 80, 1);
    const module = 'modid="1",cmdid="1",name="p\\"ay"';
    const of = "lars_agent_module_call_duration_seconds";
    const expected = [
      `lars_agent_module_calls_total{${module},result="success"} 4`,
      `lars_agent_module_calls_total{${module},result="failure"} 1`,
      `${of}_bucket{${module},le="0.001"} 1`,
      `${of}_bucket{${module},le="0.002"} 1`,
      `${of}_bucket{${module},le="0.005"} 3`,
      `${of}_bucket{${module},le="10"} 3`,
      `${of}_bucket{${module},le="+Inf"} 4`,
      `${of}_sum{${module}} 30.007`,
      `${of}_count{${module}} 4`,
    ];
    await until(async () => {
      const shown = await lines(urls.agent);
      return expected.every((line) => shown.includes(line));
    }, { what: expected.join("\n") });
    await until(async () => {
      await client.tryGetHost(3, 1);
      return (await lines(urls.agent)).some((line) =>
        /^lars_agent_module_refused_total\{modid="3",cmdid="1",name="",reason="unusable"\} [1-9]/
          .test(line)
      );
    }, { what: "refused calls of the module that is drained" });
    await until(async () => {
      const shown = await lines(urls.reporter);
      return shown.includes(`lars_reporter_call_duration_seconds_count{${module}} 4`) &&
        shown.some((line) => /^lars_reporter_calls_refused_total\{modid="3".* [1-9]/.test(line));
    }, { timeoutMs: 40_000, what: "the same of the reporter, once the bucket is over" });
    await until(async () =>
      (await lines(urls.web)).includes(
        'lars_web_module_info{modid="1",cmdid="1",name="p\\"ay"} 1',
      ), { what: "the name of the module" });
    await store.setModules([{ modId: 1, cmdId: 1, name: "mail" }]);
    await until(async () =>
      (await lines(urls.agent)).includes(
        'lars_agent_module_calls_total{modid="1",cmdid="1",name="mail",result="success"} 4',
      ), { what: "the new name, without a call" });
    // A caller may ask on any port of the agent: another balancer answers there, and counts apart.
    const port = Number(services[2].addresses[0].split(":")[1]);
    const other = await WireCaller.open(port - agentPortOffset(1, 1));
    const host = await other.untilHost(1, 1);
    for (let call = 0; call < 3; call++) other.report(1, 1, host, 0);
    await until(async () =>
      (await lines(urls.agent)).includes(
        'lars_agent_module_calls_total{modid="1",cmdid="1",name="mail",result="success"} 7',
      ), { what: "the sum of two ports" });
    other.close();
    for (const [name, url] of Object.entries(urls)) {
      if (findPromtool() === undefined) break;
      const { code, output } = runPromtool(
        ["check", "metrics"],
        (await get(`${url}/metrics`)).body,
      );
      assert.equal(`${code}${output.trim()}`, "0", name);
    }
    await client.close();
  });
});
