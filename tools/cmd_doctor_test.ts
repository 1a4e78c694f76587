import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { freePort } from "../tests/support/free_port.ts";
import { sqliteTestStore, startFleet } from "../tests/support/fleet.ts";
import { withProcesses } from "../tests/support/processes.ts";
import { tutorialEdits } from "../tests/support/tutorial_routes.ts";
import { until } from "../tests/support/until.ts";
import type { AdviceKey } from "./doctor/advice.ts";

interface Symptom {
  readonly subject: string;
  readonly level: string;
  readonly seen: string;
  readonly key?: AdviceKey;
}

test("lars doctor: a fleet that is well, then with a wrong file and without its agent", async () => {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await store.editRoutes(tutorialEdits());
    const { agent, dns, reporter } = await startFleet(processes, url);
    await until(async () => (await store.instances()).length >= 2, { what: "services to sign in" });
    await store.close();
    const ask = async (...more: string[]): Promise<{ code: number; findings: Symptom[] }> => {
      const words = ["doctor", "--store", url, "--json", ...more];
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", words);
      assert.equal(stderr, "");
      return { code, findings: JSON.parse(stdout) };
    };
    const own = ["--agent", `127.0.0.1:${agent.port()}`];
    await until(async () => {
      const { findings } = await ask(...own);
      const bad = findings.filter(({ level }) => level === "bad");
      return bad.length === 0 && findings.some(({ subject }) => subject === "clock");
    }, { timeoutMs: 60_000, what: "nothing to be bad" });

    const secret = `${processes.directory}/secret`;
    await writeFile(secret, "a secret of sixteen bytes\n");
    await chmod(secret, 0o644);
    // A closed folder would keep others away from it.
    await chmod(processes.directory, 0o755);
    const conf = `${processes.directory}/agent.conf`;
    await writeFile(
      conf,
      `[agent]\nzoen = a\n[auth]\ntoken_file = ${secret}\n`,
    );
    const wrong = await ask(...own, "-c", conf);
    assert.equal(wrong.code, 1);
    const config = wrong.findings.filter(({ subject }) => subject === "config");
    assert.deepEqual(config.map(({ key }) => key).sort(), ["config_wrong", "secret_readable"]);
    assert.ok(config.some(({ seen }) => seen.startsWith(`${conf}:2: [agent] has no key zoen`)));

    await dns.kill9();
    await reporter.kill9();
    const away = await ask("--agent", `127.0.0.1:${await freePort()}`);
    assert.equal(away.code, 1);
    const bad = away.findings.filter(({ level }) => level === "bad").map(({ key }) => key);
    assert.deepEqual(bad, ["service_unreachable", "service_unreachable", "agent_away"]);
    const text = await processes.run("tools/lars.ts", ["doctor", "--store", url]);
    assert.match(text.stdout, /^bad {3}service {2}/m);
    assert.deepEqual(text.stdout.split("\n").filter((line) => line.length > 80), []);
    assert.match(text.stdout, /things bad, /);
  });
});

test("lars doctor without a database says so, and still looks at the rest", async () => {
  await withProcesses(async (processes) => {
    const words = ["doctor", "--data", `${processes.directory}/none`, "--json"];
    const more = ["--agent", `127.0.0.1:${await freePort()}`];
    const { code, stdout } = await processes.run("tools/lars.ts", [...words, ...more]);
    assert.equal(code, 1);
    const keys = (JSON.parse(stdout) as Symptom[]).map(({ key }) => key);
    assert.ok(keys.includes("database_away") && keys.includes("agent_away"), stdout);
    const wrong = await processes.run("tools/lars.ts", ["doctor", "--sotre", "x"]);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--store/);
  });
});
