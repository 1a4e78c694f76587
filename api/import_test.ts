// The api as other people's programs get it: from a URL without an import map, in Node as one
// file, and in a program that never closes its client.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { decodeGetHostRequest, frameGetHostResponse } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { packRoute } from "../agent/routes/packed_route.ts";
import { TableFeed } from "../agent/feed/table_feed.ts";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { FakeAgent } from "./testing/fake_agent.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const EXECUTABLE = process.execPath;
const onDeno = basename(EXECUTABLE).startsWith("deno");
const onBun = basename(EXECUTABLE).startsWith("bun");
const nodeVersion = spawnSync("node", ["--version"], { encoding: "utf8" });

/** Asks for a node, reports, and ends without closing anything. */
function program(mod: string, ports: readonly number[]): string {
  return `
import { LarsClient } from ${JSON.stringify(mod)};
const client = new LarsClient({ port: [${ports.join(", ")}], deadlineMs: 5000 });
const host = await client.getHost(1, 1);
client.report(1, 1, host.ip, host.port, 0, 7);
console.log(JSON.stringify(host));
`;
}

/** Picks in its own process, reports, and closes so that the result leaves. */
function inProcessProgram(mod: string, port: number): string {
  return `
import { InProcessClient } from ${JSON.stringify(mod)};
const client = new InProcessClient({ agents: ["127.0.0.1:${port}"], deadlineMs: 5000 });
await client.getHost(1, 1);
const host = client.pick(1, 1);
client.report(1, 1, host.ip, host.port, 0, 7);
await client.close();
console.log(JSON.stringify(host));
`;
}

/** Picks and never closes: neither the stream nor the timers may keep it. */
function openEndedProgram(mod: string, port: number): string {
  return `
import { InProcessClient } from ${JSON.stringify(mod)};
const client = new InProcessClient({ agents: ["127.0.0.1:${port}"], deadlineMs: 5000 });
console.log(JSON.stringify(await client.getHost(1, 1)));
`;
}

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Only reports; the socket is not open yet when the last line has run. */
function reportingProgram(mod: string, ports: readonly number[]): string {
  return `
import { LarsClient } from ${JSON.stringify(mod)};
new LarsClient({ port: [${ports.join(", ")}] }).report(1, 1, "10.0.0.1", 80, 0);
`;
}

/** Asks an agent that is not there; sockets that never received anything must not keep it. */
function vainProgram(mod: string): string {
  return `
import { LarsClient } from ${JSON.stringify(mod)};
const { retcode } = await new LarsClient({ port: 1 }).tryGetHost(1, 1);
console.log(retcode);
`;
}

/** Runs a program to its end; 30 s at most. */
function run(command: string, args: string[], folder: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: folder,
      timeout: 30_000,
      env: { ...process.env, DENO_DIR: join(folder, "deno"), DENO_NO_UPDATE_CHECK: "1" },
    });
    const outcome: Outcome = { code: null, stdout: "", stderr: "" };
    child.stdout.on("data", (chunk) => outcome.stdout += chunk);
    child.stderr.on("data", (chunk) => outcome.stderr += chunk);
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...outcome, code }));
  });
}

/** Runs the program against an agent, and checks that it got its node and its report arrived. */
async function checkProgram(
  start: (agent: FakeAgent, folder: string) => Promise<Outcome>,
): Promise<void> {
  const agent = await FakeAgent.start();
  agent.onReceive = ({ msgId, body, reply }) => {
    if (msgId !== MessageId.GetHostRequest) return;
    const host = { ip: 0x0a000001, port: 80 };
    reply(frameGetHostResponse({ ...decodeGetHostRequest(body), retcode: 0, host }));
  };
  try {
    await withTempDir(async (folder) => {
      const outcome = await start(agent, folder);
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.deepEqual(JSON.parse(outcome.stdout), { ip: "10.0.0.1", port: 80 });
    });
    const reported = (): boolean =>
      agent.received.some((received) => received.msgId === MessageId.ReportRequest);
    await until(reported, { what: "the report of a program that ended at once" });
  } finally {
    await agent.stop();
  }
}

/** Runs the program against a feed, and checks that it got its node and its result arrived. */
async function checkFedProgram(
  start: (port: number, folder: string) => Promise<Outcome>,
  resultsMin = 1,
): Promise<void> {
  const { route } = packRoute(1, 1, [{ ip: 0x0a000001, port: 80 }]);
  let results = 0;
  const feed = new TableFeed({
    settings: { rules: "{}", zone: "" },
    hostname: "127.0.0.1",
    clock: systemClock,
    log: silentLogger,
    software: "test",
    secrets: undefined,
    modulesMax: 10,
    routeOf: () => route,
    onUse: () => {},
    onCalls: (modules) => {
      results += modules.length;
      return true;
    },
  });
  const { port } = await feed.listen(0);
  try {
    await withTempDir(async (folder) => {
      const outcome = await start(port, folder);
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.deepEqual(JSON.parse(outcome.stdout), { ip: "10.0.0.1", port: 80 });
    });
    assert.ok(results >= resultsMin);
  } finally {
    await feed.close();
  }
}

const MOD = new URL("./mod.ts", import.meta.url).href;

/** Runs the text as a program in the runtime of this test. */
function runHere(text: string, folder: string): Promise<Outcome> {
  const path = join(folder, "main.ts");
  writeFileSync(path, text);
  const args = onDeno ? ["run", "--no-config", "--allow-net=127.0.0.1", path] : [path];
  return run(EXECUTABLE, args, folder);
}

test("a program that never closes its client ends, and its report leaves first", async () => {
  await checkProgram((agent, folder) => runHere(program(MOD, agent.ports), folder));
});

test("a program that picks by itself ends, closed or not", async () => {
  await checkFedProgram((port, folder) => runHere(inProcessProgram(MOD, port), folder));
  await checkFedProgram((port, folder) => runHere(openEndedProgram(MOD, port), folder), 0);
});

test("a program that only reports ends after the report has left", async () => {
  const agent = await FakeAgent.start();
  try {
    const { code, stderr } = await withTempDir((folder) =>
      runHere(reportingProgram(MOD, agent.ports), folder)
    );
    assert.equal(code, 0, stderr);
    await until(() => agent.received.length === 1, { what: "the report" });
  } finally {
    await agent.stop();
  }
});

test("a program that asked in vain ends", async () => {
  const { code, stdout, stderr } = await withTempDir((folder) => runHere(vainProgram(MOD), folder));
  assert.deepEqual([code, stdout.trim()], [0, "2"], stderr);
});

test("the api is imported from a URL, without an import map", {
  skip: onDeno ? false : "only Deno imports from URLs, and this is not Deno",
}, async () => {
  const served: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    served.push(path);
    if (!/^\/(api|balancer|feed|model|proto|reactor|session)(\/[a-z0-9_]+)+\.ts$/.test(path)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "application/typescript" });
    response.end(readFileSync(join(ROOT, path)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    await checkProgram(async (agent, folder) => {
      const path = join(folder, "main.ts");
      writeFileSync(path, program(`http://127.0.0.1:${port}/api/mod.ts`, agent.ports));
      const allowed = [`--allow-import=127.0.0.1:${port}`, "--allow-net=127.0.0.1"];
      return await run(EXECUTABLE, ["run", "--check", "--no-lock", ...allowed, path], folder);
    });
    await checkFedProgram(async (feedPort, folder) => {
      const path = join(folder, "main.js");
      writeFileSync(path, inProcessProgram(`http://127.0.0.1:${port}/api/mod.ts`, feedPort));
      const allowed = [`--allow-import=127.0.0.1:${port}`, "--allow-net=127.0.0.1"];
      return await run(EXECUTABLE, ["run", "--no-lock", ...allowed, path], folder);
    });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  assert.ok(served.includes("/proto/codec.ts"), served.join(" "));
});

const noNode = nodeVersion.error !== undefined ? "node is not on PATH" : false;
test("the api runs in Node, bundled into one file", {
  skip: noNode || (onDeno || onBun ? false : "neither Deno nor Bun is here to bundle it"),
}, async () => {
  const bundleInto = (folder: string): void => {
    const source = join(ROOT, "api/mod.ts");
    const bundle = onDeno
      ? spawnSync(EXECUTABLE, ["bundle", "--quiet", "-o", join(folder, "lars.mjs"), source], {
        cwd: ROOT,
        encoding: "utf8",
      })
      : spawnSync(
        EXECUTABLE,
        ["build", source, "--target", "node", "--outfile", join(folder, "lars.mjs")],
        { cwd: ROOT, encoding: "utf8" },
      );
    assert.equal(bundle.status, 0, bundle.stderr);
  };
  const runInNode = (text: string, folder: string): Promise<Outcome> => {
    bundleInto(folder);
    const path = join(folder, "main.mjs");
    writeFileSync(path, text);
    return run("node", [path], folder);
  };
  await checkProgram((agent, folder) => runInNode(program("./lars.mjs", agent.ports), folder));
  await checkFedProgram((port, folder) => runInNode(inProcessProgram("./lars.mjs", port), folder));
  await checkFedProgram(
    (port, folder) => runInNode(openEndedProgram("./lars.mjs", port), folder),
    0,
  );
});
