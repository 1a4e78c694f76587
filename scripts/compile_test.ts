// Runs on Deno only: it builds with Bun either way, and once is enough.
import assert from "node:assert/strict";
import { cp, rename, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { frameHello } from "../proto/codec.ts";
import { UdpClient } from "../reactor/udp/udp_client.ts";
import { PROJECT_ROOT, scriptCommand, withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";
import { WireCaller } from "../tests/support/wire_client.ts";
import { findWorkers } from "./compile.ts";

/** Bun may have to come from npm first. */
const BUILD_TIMEOUT_MS = 300_000;

test("findWorkers() finds every file that is started as a worker", () => {
  const workers = findWorkers(PROJECT_ROOT);
  assert.ok(workers.includes("agent/worker/post_worker.ts"), `${workers}`);
  const names = workers.map((path) => path.split("/").at(-1));
  assert.equal(new Set(names).size, names.length, "they share one folder inside a program");
});

/** What no copy of the sources needs; libraries are linked. */
const NOT_COPIED = new Set([".git", "node_modules", "dist", "data"]);

async function copySources(to: string): Promise<void> {
  await cp(PROJECT_ROOT, to, {
    recursive: true,
    filter: (path) => path === PROJECT_ROOT || !NOT_COPIED.has(basename(path)),
  });
  await symlink(join(PROJECT_ROOT, "node_modules"), join(to, "node_modules"));
}

test("compiled programs serve where their sources are not", async () => {
  await withProcesses(async (processes) => {
    const out = join(processes.directory, "dist");
    // Programs that remember where they were built would find their workers there.
    const sources = join(processes.directory, "sources");
    await copySources(sources);
    const compile = scriptCommand("scripts/compile.ts")
      .map((arg) => arg.replace(`${PROJECT_ROOT}/`, `${sources}/`));
    const built = await processes.spawnCommand("compile", [
      ...compile,
      "--with=bun",
      "--only=lars",
      "--only=lars-agent",
      "--only=lars-web",
      `--out=${out}`,
    ], { cwd: sources }).untilEnded(BUILD_TIMEOUT_MS);
    assert.equal(built.code, 0, built.stderr);
    await rename(sources, `${sources}-gone`);
    assert.match(built.stdout, /lars-agent +\d+ MB +version \d+\.\d+\.\d+ +\(bun\)/);

    const lars = (...args: string[]): string[] => [join(out, "lars"), ...args];
    const cwd = { cwd: "/" };
    const data = join(processes.directory, "data");
    // A library that wants another one before it: their order must outlive the making of one file.
    const authority = ["cert", "ca", "--out", join(processes.directory, "ca")];
    const made = await processes.spawnCommand("cert", lars(...authority), cwd).untilEnded();
    assert.equal(made.code, 0, made.stderr);
    const up = processes.spawnCommand(
      "lars up",
      lars("up", "--json", `--data=${data}`, ...freePorts),
      cwd,
    );
    await up.untilReady();
    const events = await untilUp(up);
    const portOf = (service: string): number =>
      Number(events.find((event) => event.service === service)?.addresses?.[0].split(":")[1]);

    // The agent of `lars up` runs its UDP loop in a Web Worker inside the program.
    const first = await WireCaller.open(portOf("agent"));
    assert.equal((await first.untilHost(1, 1)).ip, 0x7f000001);
    first.close();
    if (process.platform === "linux") {
      // And it is the worker of the fast path.
      const client = await UdpClient.open({ hostname: "127.0.0.1", port: portOf("agent") });
      await until(async () => {
        client.send(frameHello({ protocol: 1, software: "test", role: "tool" }));
        const text = new TextDecoder().decode(await client.receive(2000));
        return text.includes('"udpPath":"fast"');
      }, { what: "the fast path in the status" });
      client.close();
    }

    const agent = processes.spawnCommand("lars-agent", [
      join(out, "lars-agent"),
      "--json",
      "--agent-port=0",
      `--dnsserver-ip=127.0.0.1:${portOf("dns")}`,
      `--reporter-ip=127.0.0.1:${portOf("reporter")}`,
      `--agent-cache-dir=${join(processes.directory, "cache")}`,
    ], cwd);
    await agent.untilReady();
    const caller = await WireCaller.open(agent.port());
    assert.equal((await caller.untilHost(1, 1)).ip, 0x7f000001);

    const added = await processes.spawnCommand(
      "lars route add",
      lars("route", "add", "9", "9", "10.0.0.9:9999", "--data", data),
      cwd,
    ).untilEnded();
    assert.equal(added.code, 0, added.stderr);
    assert.deepEqual(await caller.untilHost(9, 9), { ip: 0x0a000009, port: 9999 });
    caller.close();

    // The pages are inside the program.
    const web = processes.spawnCommand("lars-web", [
      join(out, "lars-web"),
      "--json",
      "--web-port=0",
      `--data=${data}`,
    ], cwd);
    await web.untilReady();
    const page = await fetch(`http://127.0.0.1:${web.port()}/modules`);
    const script = /src="([^"]+\.js)"/.exec(await page.text())?.[1];
    const code = await fetch(`http://127.0.0.1:${web.port()}${script}`);
    assert.equal(code.status, 200);
    assert.ok((await code.text()).length > 10_000, `the bundle behind ${script}`);
    assert.equal((await web.stop()).code, 0);
    assert.equal((await agent.stop()).code, 0);
    assert.equal((await up.stop()).code, 0);
  });
});

const freePorts = ["--dns=127.0.0.1:0", "--reporter=127.0.0.1:0", "--agent=127.0.0.1:0"];

interface UpEvent {
  readonly event: string;
  readonly service?: string;
  readonly addresses?: readonly string[];
}

async function untilUp(process: { readonly stdout: string }): Promise<UpEvent[]> {
  const events = (): UpEvent[] =>
    process.stdout.split("\n").filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as UpEvent);
  await until(() => events().some(({ event }) => event === "up"), { what: "lars up to be up" });
  return events();
}
