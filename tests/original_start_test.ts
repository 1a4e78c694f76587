// Started as the original is started: its files where it looks for them, its numbers, no files.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agentSettings } from "../agent/config.ts";
import { readSettings, type Setting, type SettingsTable } from "../daemon/settings/settings.ts";
import { dnsSettings } from "../dns/config.ts";
import { ConfigFile } from "../reactor/config_file.ts";
import { ConfigError } from "../reactor/errors.ts";
import { reporterSettings } from "../reporter/config.ts";
import { sqliteTestStore, startFleet } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { PROJECT_ROOT, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

const TABLES: readonly SettingsTable[] = [agentSettings, dnsSettings, reporterSettings];

/** A row of the table of the page, as text. */
interface NearestRow {
  readonly section: string;
  readonly key: string;
  readonly min: number;
  readonly max: number;
  /** What is used instead; undefined: it is an error. */
  readonly below: number | undefined;
  readonly above: number | undefined;
}

function nearestRows(): NearestRow[] {
  const page = readFileSync(join(PROJECT_ROOT, "docs/moving-from-the-original.md"), "utf8");
  const table = /<!-- nearest -->([\s\S]*)<!-- \/nearest -->/.exec(page)?.[1] ?? "";
  const pattern = /^\| `\[(\w+)\] (\w+)` +\| (\S+) to (\S+) +\| ([^|]+) \| ([^|]+) \|/gm;
  const instead = (text: string): number | undefined =>
    text.trim() === "an error" ? undefined : Number(text);
  return [...table.matchAll(pattern)].map(([, section, key, min, max, below, above]) => ({
    section,
    key,
    min: Number(min),
    max: Number(max),
    below: instead(below),
    above: instead(above),
  }));
}

function settingsOf(section: string, key: string): [SettingsTable, string, Setting<unknown>][] {
  return TABLES.flatMap((table) =>
    Object.entries(table).filter(([, one]) => one.section === section && one.key === key)
      .map(([name, one]): [SettingsTable, string, Setting<unknown>] => [table, name, one])
  );
}

test("a number of the original's files that is out of range is taken as the page says", () => {
  const rows = nearestRows();
  assert.ok(rows.length >= 14, `${rows.length} rows`);
  for (const { section, key, min, max, below, above } of rows) {
    const found = settingsOf(section, key);
    assert.notEqual(found.length, 0, key);
    for (const [table, name, { range }] of found) {
      const read = (text: string): [unknown, string[]] => {
        const file = ConfigFile.parse(`[${section}]\n\n${key} = ${text}\n`, "x.conf");
        const warnings: string[] = [];
        const values = readSettings(table, { file }, (one) => void warnings.push(one));
        return [values[name as keyof typeof values], warnings];
      };
      assert.ok(range.endsWith(`${min} to ${max}`), `${key}: ${range}`);
      const [[least], [most]] = [read(String(min)), read(String(max))];
      assert.deepEqual([read(String(min))[1], read(String(max))[1]], [[], []]);
      for (const [text, taken] of [[`${min - 1}`, below], [`${max + 1}`, above]] as const) {
        if (taken === undefined) {
          assert.throws(() => read(text), ConfigError, `${key} = ${text}`);
          continue;
        }
        const [value, warnings] = read(text);
        assert.equal(value, read(String(taken))[0]);
        assert.ok(value as number >= (least as number) && value as number <= (most as number));
        assert.deepEqual(warnings, [
          `x.conf:3: [${section}] ${key} = ${text} is out of range (${range}): ${taken} is used`,
        ]);
      }
      assert.throws(() => read("many"), ConfigError, `${key} = many`);
    }
  }
});

test("the page names every number that is taken as the nearest", () => {
  const named = new Map(nearestRows().map((row) => [`[${row.section}] ${row.key}`, row]));
  for (const one of TABLES.flatMap((table) => Object.values(table))) {
    const row = named.get(`[${one.section}] ${one.key}`);
    for (const [text, side] of [["-1", "below"], ["99999999999", "above"]] as const) {
      const taken = one.nearest?.(text);
      assert.equal(taken, row?.[side]?.toString(), `[${one.section}] ${one.key} = ${text}`);
    }
  }
});

test("without -c each service takes the original's file where it is, and says so", async () => {
  await withProcesses(async (processes) => {
    const [dnsPort, reporterPort] = [await freePort(), await freePort()];
    const conf = join(processes.directory, "conf");
    mkdirSync(conf);
    const store = `[store]\nurl = sqlite:${join(processes.directory, "lars.db")}\n`;
    const files = {
      "lars_dns.conf": `[reactor]\nip = 127.0.0.1\nport = ${dnsPort}\nthreadNum = 0\n${store}`,
      "lars_reporter.conf": `[reactor]\nip = 127.0.0.1\nport = ${reporterPort}\n${store}` +
        "[repoter]\ndb_thread_cnt = 3\n",
      "lars_lb_agent.conf": `[dnsserver]\nip = 127.0.0.1\nport = ${dnsPort}\n` +
        "[loadbalance]\nprobe_num = 0\nsucc_rate = 0.5\n",
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(conf, name), text);
    const start = (name: string, ...args: string[]) =>
      processes.spawn(name, "tools/lars.ts", [name, ...args], {
        cwd: processes.directory,
        env: { LARS_METRICS_PORT: "0" },
      }).untilReady();
    const dns = await start("dns");
    const reporter = await start("reporter");
    const agent = await start("agent", "--agent-port", "0");
    assert.deepEqual([dns.port(), reporter.port()], [dnsPort, reporterPort]);
    const said = (name: string): string =>
      `No -c was given: the configuration is that of ./conf/${name}`;
    const words: readonly [typeof dns, readonly string[]][] = [
      [dns, [
        said("lars_dns.conf"),
        "lars_dns.conf:4: [reactor] threadNum = 0 is out of range (1 to 64): 1 is used",
      ]],
      [reporter, [said("lars_reporter.conf")]],
      [agent, [
        said("lars_lb_agent.conf"),
        "lars_lb_agent.conf:5: [loadbalance] probe_num = 0 is out of range",
      ]],
    ];
    for (const [service, texts] of words) {
      for (const text of texts) {
        await until(() => service.stderr.includes(text), { what: `"${text}": ${service.stderr}` });
      }
    }
    // What was named is read instead, and the same file again when it is changed.
    writeFileSync(join(conf, "lars_dns.conf"), `[reactor]\nport = ${dnsPort}\n[zebra]\nx = 1\n`);
    dns.signal("SIGHUP");
    await until(() => dns.stderr.includes("no section [zebra]"), { what: "the file to be read" });
    const refused = await processes.run("tools/lars.ts", ["dns"], { cwd: processes.directory });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /^lars dns: \.\/conf\/lars_dns\.conf:4: .*\[zebra\]/m);
  });
});

test("a service says that it has made an empty database, where, and how to name another", async () => {
  await withProcesses(async (processes) => {
    const path = join(processes.directory, "data", "lars.db");
    const start = () =>
      processes.spawn("dns", "tools/lars.ts", ["dns", "--reactor-port", "0"], {
        cwd: processes.directory,
        env: { LARS_METRICS_PORT: "0" },
      }).untilReady();
    const first = await start();
    const made =
      /There was no database at (\S+): an empty one has been made\. .*-c, or --store URL/;
    await until(() => made.test(first.stderr), { what: `the warning: ${first.stderr}` });
    assert.equal(made.exec(first.stderr)?.[1], path);
    assert.ok(existsSync(path));
    await first.stop();
    const second = await start();
    await until(() => second.stderr.includes("Database"), { what: `a read: ${second.stderr}` });
    assert.doesNotMatch(second.stderr, made);
  });
});

test("the brake on pulls of new modules is raised by its key", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await store.close();
    const pulled = async (agentArgs: readonly string[], enough: number): Promise<number> => {
      const port = await freePort();
      const { agent } = await startFleet(processes, url, {
        agent: [...agentArgs, `--metrics-port=${port}`],
      });
      const count = async (): Promise<number> => {
        const page = await fetch(`http://127.0.0.1:${port}/metrics`).then((one) => one.text());
        return Number(/^lars_agent_pulls_total (\d+)$/m.exec(page)?.[1] ?? 0);
      };
      await until(() => agent.stderr.includes("Connected to dns"), { what: "the connection" });
      const caller = await WireCaller.open(agent.port());
      for (let modId = 1; modId <= 60; modId++) await caller.getHost(modId, 1);
      await until(async () => await count() >= enough, { what: `${enough} pulls` });
      caller.close();
      const found = await count();
      await agent.stop();
      return found;
    };
    assert.equal(await pulled([], 60), 60);
    // One a second beyond the first three: the rest would take a minute.
    const slow = await pulled(["--agent-pulls-burst=3", "--agent-pulls-per-second=1"], 3);
    assert.ok(slow < 60, `${slow} pulls`);
  });
});
