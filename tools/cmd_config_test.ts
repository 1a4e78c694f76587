import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agentDaemon } from "../agent/service.ts";
import { type DaemonDefinition, fullTable } from "../daemon/daemon.ts";
import { readSettings, type SettingsTable } from "../daemon/settings/settings.ts";
import { dnsDaemon } from "../dns/service.ts";
import { ConfigFile } from "../reactor/config_file.ts";
import { reporterDaemon } from "../reporter/service.ts";
import { runAdmin, withPrivateMariaDb } from "../tests/support/mariadb.ts";
import { PROJECT_ROOT, withProcesses } from "../tests/support/processes.ts";
import { webDaemon } from "../web/service.ts";
import { filesFor } from "./cmd_config.ts";
import { EXAMPLE_FOLDERS, EXAMPLE_HOSTS, EXAMPLE_PASSWORD } from "./config_example.ts";

function tablesOf(file: string): SettingsTable[] {
  const tableOf = <T extends SettingsTable>(definition: DaemonDefinition<T>): SettingsTable =>
    fullTable(definition);
  if (file === "agent.conf") return [tableOf(agentDaemon)];
  return [tableOf(dnsDaemon), tableOf(reporterDaemon), tableOf(webDaemon)];
}

/** The values that a file gives, by name. */
function valuesOf(table: SettingsTable, text: string, name: string): Record<string, unknown> {
  return readSettings(table, { file: ConfigFile.parse(text, name) });
}

for (const hosts of EXAMPLE_HOSTS) {
  test(`lars config example --hosts ${hosts}: every key, with its default, as deploy/ has it`, async () => {
    for (const { name, text } of await filesFor(hosts)) {
      const path = `${EXAMPLE_FOLDERS[hosts]}/${name}`;
      const kept = readFileSync(join(PROJECT_ROOT, path), "utf8");
      assert.equal(kept, text, `${path} is stale: run deno task files`);
      if (!name.endsWith(".conf")) continue;
      for (const table of tablesOf(name)) {
        const values = valuesOf(table, text, name);
        // What is behind ; changes nothing when it is taken in, and is read by its service.
        const whole = text.replace(/^;(\w+ = .+)$/gm, "$1");
        assert.deepEqual(valuesOf(table, whole, name), values);
        for (const { section, key } of Object.values(table)) {
          const inSection = text.split(`[${section}]\n`)[1]?.split("\n[")[0] ?? "";
          assert.match(inSection, new RegExp(`^;?${key} =`, "m"), `[${section}] ${key}`);
        }
      }
    }
  });
}

test("lars config example writes files, and none over another", async () => {
  await withProcesses(async (processes) => {
    const example = (...words: string[]) =>
      processes.run("tools/lars.ts", ["config", "example", ...words]);
    const written = await example("--out", "etc", "--hosts", "3");
    assert.equal(written.code, 0, written.stderr);
    assert.deepEqual(written.stdout.trim().split("\n"), [
      "etc/lars.conf",
      "etc/agent.conf",
      "etc/database.sql",
    ]);
    const again = await example("--out", "etc");
    assert.equal(again.code, 1);
    assert.match(again.stderr, /lars\.conf.*there already; nothing was written/);
    assert.equal((await example("--out", "etc", "--force")).code, 0);
    const isFile = await example("--out", "etc/lars.conf");
    assert.equal(isFile.code, 1);
    assert.match(
      isFile.stderr,
      /Folder etc\/lars\.conf cannot be made: a file of that name is there/,
    );
    const isBelowFile = await example("--out", "etc/lars.conf/inner");
    assert.equal(isBelowFile.code, 1);
    assert.match(isBelowFile.stderr, /Folder etc\/lars\.conf\/inner cannot be made: ENOTDIR/);
    assert.match((await example()).stdout, /^# ==== lars\.conf ====$/m);
  });
});

for (const hosts of EXAMPLE_HOSTS) {
  test(`the example for ${hosts} starts all services on the database it makes`, async (t) => {
    await withPrivateMariaDb(t, async (server) => {
      await withProcesses(async (processes) => {
        const etc = join(processes.directory, "etc");
        mkdirSync(etc);
        // Only what stands for other machines and other folders is put in its place.
        const place = (text: string): string =>
          text.replaceAll(/10\.0\.0\.[0-9%]+/g, "127.0.0.1").replaceAll(":3306", `:${server.port}`)
            // The test's server has an account `lars` of its own.
            .replaceAll("'lars'@", "'example'@").replaceAll("//lars:", "//example:")
            .replaceAll("/etc/lars", etc).replaceAll(
              "/var/lib/lars",
              join(processes.directory, "lib"),
            );
        for (const { name, text } of await filesFor(hosts)) {
          writeFileSync(join(etc, name), place(text));
        }
        writeFileSync(join(etc, "secret"), "a-secret-of-this-test-alone\n");
        const statements = place(readFileSync(join(etc, "database.sql"), "utf8"))
          .replace(/^--.*$/gm, "").split(";").map((line) => line.trim()).filter((line) =>
            line !== ""
          );
        await runAdmin(server.url, ...statements);
        const url = `mysql://example:${EXAMPLE_PASSWORD}@127.0.0.1:${server.port}/lars_dns`;
        writeFileSync(join(etc, "url"), `${url}\n`);
        const store = `@${join(etc, "url")}`;
        const migrated = await processes.run("tools/lars.ts", ["sql", "migrate", "--store", store]);
        assert.equal(migrated.code, 0, migrated.stderr);

        const conf = ["-c", join(etc, "lars.conf"), "--metrics-port=0"];
        const dns = await processes.start("dns", [...conf, "--reactor-port=0"]);
        const reporter = await processes.start("reporter", [...conf, "--reactor-port=0"]);
        const web = processes.spawn("web", "web/main.ts", [...conf, "--web-port=0", "--json"]);
        await web.untilReady();
        const agent = await processes.start("agent", [
          ...["-c", join(etc, "agent.conf"), "--metrics-port=0", "--agent-port=0"],
          `--dnsserver-ip=127.0.0.1:${dns.port()}`,
          `--reporter-ip=127.0.0.1:${reporter.port()}`,
        ]);
        for (const one of [agent, web, reporter, dns]) assert.equal((await one.stop()).code, 0);
      });
    });
  });
}
