import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agentDaemon } from "../agent/service.ts";
import { FakeDns, FakeReporter } from "../agent/testing/fake_upstream.ts";
import { LarsClient } from "../api/mod.ts";
import { startDaemon } from "../daemon/daemon.ts";
import { silentLogger } from "../reactor/log.ts";
import { withConsole } from "../tests/support/console_bench.ts";
import { addConsoleToken } from "../tests/support/console_token.ts";
import { type Ended, type Processes, withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";
import { ageText, nodeLines, percentText, zoneLine } from "./explain_text.ts";

test("lars explain shows each node with its state, the reason and its share", async () => {
  const dns = await FakeDns.start();
  const reporter = await FakeReporter.start();
  dns.routes.set("1,1", [
    { ip: 0x0a000001, port: 80, zone: "east" },
    { ip: 0x0a000002, port: 80, zone: "west" },
    { ip: 0x0a000003, port: 80, weight: 5, state: "drain" },
  ]);
  dns.policies.set("1,1", '{"zoneAware":true}');
  const agent = await startDaemon(agentDaemon, {
    flags: {
      "agent.port": "0",
      "agent.threads": "0",
      "agent.zone": "east",
      "dnsserver.ip": `127.0.0.1:${dns.port}`,
      "reporter.ip": `127.0.0.1:${reporter.port}`,
    },
  }, { log: silentLogger });
  const [address] = agent.addresses;
  const client = new LarsClient({ port: Number(address.split(":")[1]), deadlineMs: 5000 });
  try {
    await withProcesses(async (processes) => {
      const explain = (...args: string[]): Promise<Ended> =>
        processes.run("tools/lars.ts", ["explain", ...args, "--agent", address], {
          cwd: processes.directory,
        });
      const unknown = await explain("7", "7");
      assert.equal(unknown.code, 1);
      assert.match(unknown.stdout, /Nobody has asked .* for \(7,7\)/);
      assert.equal((await explain("7", "7", "--json")).stdout, "null\n");
      await until(async () => await client.regInit(1, 1) === 0, { what: "the route" });
      await client.explain(1, 1);
      for (let i = 0; i < 15; i++) client.report(1, 1, "10.0.0.2", 80, 1);
      await until(async () => {
        const nodes = (await client.explain(1, 1))?.module?.nodes ?? [];
        return nodes.some(({ condition }) => condition === "overload");
      }, { what: "the failing node" });
      for (let i = 0; i < 4; i++) await client.getHost(1, 1);
      const { code, stdout } = await explain("1", "1");
      assert.equal(code, 0, stdout);
      assert.match(stdout, /^\(1,1\) route ready, .* old\npolicy lars zoneAware=true\n/);
      assert.match(stdout, /zone east \(own\): .* of the calls/);
      assert.match(stdout, /10\.0\.0\.2:80 +west +100 +overload .* 15 +/);
      assert.match(stdout, /10\.0\.0\.3:80 +5 +drain/);
      // Of 11 picks one is a probe while a node is out.
      assert.match(stdout, /10\.0\.0\.1:80 .* 90\.9 % /);
      assert.match(stdout, /ago: 10\.0\.0\.2:80 overload: 15/);
      const json = JSON.parse((await explain("1", "1", "--json")).stdout);
      assert.equal(json.module.nodes.length, 3);
      await throughConsole(processes, address, json);
    });
  } finally {
    await client.close();
    await agent.stop();
    await dns.close();
    await reporter.close();
  }
});

/** The same, asked by a console whose host has this agent. */
async function throughConsole(
  processes: Processes,
  agent: string,
  direct: { module: Record<string, unknown> },
): Promise<void> {
  await withConsole(async ({ base, store }) => {
    const tokenFile = join(processes.directory, "token");
    writeFileSync(tokenFile, await addConsoleToken(store, "viewer", "viewer"));
    const explain = (...args: string[]): Promise<Ended> =>
      processes.run("tools/lars.ts", [
        "explain",
        ...args,
        "--server",
        base,
        "--token-file",
        tokenFile,
      ]);
    const unknown = await explain("7", "7");
    assert.equal(unknown.code, 1, unknown.stderr);
    assert.equal(unknown.stdout, `Nobody has asked the agent at ${agent} for (7,7)\n`);
    assert.equal((await explain("7", "7", "--json")).stdout, "null\n");
    const text = await explain("1", "1");
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^\(1,1\) route ready, .* old\npolicy lars zoneAware=true\n/);
    assert.match(text.stdout, /zone east \(own\): .* of the calls/);
    assert.match(text.stdout, /10\.0\.0\.2:80 +west +100 +overload .* 15 +/);
    const json = JSON.parse((await explain("1", "1", "--json")).stdout);
    assert.deepEqual(withoutAges(json), withoutAges(direct));
    const other = await explain("1", "1", "--agent", "10.1.1.1");
    assert.equal(other.code, 1);
    assert.match(other.stderr, /No dns has heard of an agent 10\.1\.1\.1: it has heard of none/);
  }, { settings: { agent } });
}

/** An explanation without what changes while nothing happens. */
function withoutAges(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, inner) => /^(age|since|ago)\w*Ms$|^agoMs$/.test(key) ? 0 : inner),
  );
}

test("texts of an explanation", () => {
  const ages: [number, string][] = [
    [0, "0 ms"],
    [999, "999 ms"],
    [1000, "1 s"],
    [119_000, "119 s"],
    [120_000, "2 min"],
    [7_200_000, "2 h"],
    [172_800_000, "2 d"],
  ];
  for (const [ms, text] of ages) assert.equal(ageText(ms), text);
  assert.deepEqual([percentText(null), percentText(0.1234)], ["", "12.3 %"]);
  assert.match(
    zoneLine({
      zone: "",
      own: false,
      evacuated: true,
      usableNodes: 2,
      healthShare: 0.5,
      share: 0,
    }),
    /^zone \(none\) \(evacuated\): 0 % of the calls, 2 usable nodes, 50 % of the usable weight$/,
  );
  const view = {
    node: "1.2.3.4:5",
    zone: "",
    weight: 100,
    pickWeight: 20.4,
    sinceMs: 5000,
    reason: "",
    vsucc: 0,
    verr: 0,
    rsucc: 0,
    rerr: 0,
    continSucc: 0,
    continErr: 0,
    succTotal: 7,
    errTotal: 1,
    ejections: 0,
    callsUnderWay: 0,
    meanMs: 0,
    expectedShare: 0.2,
    pickShare: 0.25,
  };
  const lines = nodeLines([
    { ...view, condition: "idle", pickWeight: 100 },
    { ...view, condition: "ramping", reason: "came back" },
  ]);
  assert.deepEqual(
    lines.map(({ condition, weight, expected, share, reason }) => [
      condition,
      weight,
      expected,
      share,
      reason,
    ]),
    [
      ["ramping", "20 of 100", "20 %", "25 %", "came back"],
      ["idle", "100", "20 %", "25 %", ""],
    ],
  );
});
