// Runs on Deno only: Deno is the bundler.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { findProgram } from "../tests/support/mariadb.ts";
import { freePort } from "../tests/support/free_port.ts";
import { codeBlocksOf } from "./markdown_blocks.ts";
import {
  type Ended,
  type Processes,
  PROJECT_ROOT,
  withProcesses,
} from "../tests/support/processes.ts";

const NEEDS_NODE = { skip: findProgram("node") === undefined ? "node is not on PATH" : false };

/** The compiler checks the whole library; with the first use it also fetches the bundler. */
const BUNDLE_TIMEOUT_MS = 180_000;

/** Bundles once for all tests that use it. */
function bundled(processes: Processes): Promise<Ended> {
  const { directory } = processes;
  const words = ["--out", directory];
  return processes.spawn("api", "scripts/bundle_api.ts", words).untilEnded(BUNDLE_TIMEOUT_MS);
}

test("deno task api makes one file, with its types, that nothing needs beside it", async (t) => {
  await withProcesses(async (processes) => {
    const { directory } = processes;
    const made = await bundled(processes);
    assert.equal(made.code, 0, made.stderr);
    assert.deepEqual(made.stdout.trim().split("\n"), [
      `${directory}/lars_api.js`,
      `${directory}/lars_api.d.ts`,
      `${directory}/lars_relay_web.js`,
      `${directory}/lars_relay_web.d.ts`,
    ]);
    assert.ok(!readFileSync(`${directory}/lars_api.js`, "utf8").includes("../"));
    await t.test("Node runs it", NEEDS_NODE, async () => {
      const port = await freePort();
      writeFileSync(
        `${directory}/caller.mjs`,
        `import { LarsClient } from "./lars_api.js";
      const lars = new LarsClient({ port: ${port} });
      console.log((await lars.tryGetHost(1, 1)).retcode);
      await lars.close();`,
      );
      const caller = processes.spawnCommand("caller", ["node", `${directory}/caller.mjs`]);
      assert.deepEqual((({ code, stdout }) => ({ code, stdout }))(await caller.untilEnded()), {
        code: 0,
        stdout: "2\n",
      });
    });
    await t.test("its types pass tsc --strict, nothing skipped", async () => {
      const types = readFileSync(`${directory}/lars_api.d.ts`, "utf8");
      assert.doesNotMatch(types, /^(import|export) .*from "/m);
      const readme = readFileSync(`${PROJECT_ROOT}/README.md`, "utf8");
      const sample = codeBlocksOf(readme).find(({ language }) => language === "ts")?.text ?? "";
      assert.match(sample, /new LarsClient/);
      writeFileSync(
        `${directory}/caller.ts`,
        TYPED_CALLER +
          sample.replace(/^import .*$/m, "{").replace("./api/mod.ts", "./lars_api.js") + "}",
      );
      assert.deepEqual(await faultsOf(directory, ["es2022", "dom"]), []);
      assert.deepEqual(await faultsOf(directory, ["esnext", "dom"]), []);
    });
    await t.test("the types for pages pass it as well", async () => {
      const types = readFileSync(`${directory}/lars_relay_web.d.ts`, "utf8");
      assert.doesNotMatch(types, /^(import|export) .*from "/m);
      writeFileSync(`${directory}/caller.ts`, TYPED_PAGE);
      assert.deepEqual(await faultsOf(directory, ["es2022", "dom"]), []);
    });
  });
});

test("a console serves the library, and Deno imports it from there by either name", async () => {
  await withProcesses(async (processes) => {
    const { directory } = processes;
    const web = await processes.start("web", [
      "--web-port=0",
      `--store=sqlite:${directory}/lars.db`,
    ]);
    const base = `http://127.0.0.1:${web.port()}`;
    const { API_PATH } = await import("../web/assets/api_bundle.ts");
    for (const path of ["/api.js", API_PATH]) {
      writeFileSync(
        `${directory}/caller.mjs`,
        `import { LarsClient } from "${base}${path}";
        const lars = new LarsClient({ port: ${await freePort()} });
        console.log((await lars.tryGetHost(1, 1)).retcode);
        await lars.close();`,
      );
      const flags = ["--allow-net=127.0.0.1", `--allow-import=127.0.0.1:${web.port()}`];
      const argv = [process.execPath, "run", "--no-lock", ...flags, `${directory}/caller.mjs`];
      const { code, stdout, stderr } = await processes.spawnCommand("caller", argv).untilEnded();
      assert.deepEqual({ code, stdout }, { code: 0, stdout: "2\n" }, `${path}: ${stderr}`);
      // With its types: a wrong use is found before it runs.
      writeFileSync(
        `${directory}/wrong.ts`,
        `import { LarsClient } from "${base}${path}";
        const { ip }: { ip: number } = await new LarsClient().getHost(1, 1);
        console.log(ip);`,
      );
      const check = [process.execPath, "check", "--no-lock", flags[1], `${directory}/wrong.ts`];
      const wrong = await processes.spawnCommand("check", check).untilEnded(BUNDLE_TIMEOUT_MS);
      assert.equal(wrong.code, 1, path);
      assert.match(wrong.stderr, /Type 'string' is not assignable to type 'number'/);
    }
  });
});

/** What the compiler says of a program that uses the library. */
async function faultsOf(directory: string, lib: readonly string[]): Promise<string[]> {
  const { default: ts } = await import("typescript");
  const types = ["lars_api", "lars_relay_web"].map((name) => `${directory}/${name}.d.ts`);
  const program = ts.createProgram([`${directory}/caller.ts`, ...types], {
    strict: true,
    skipLibCheck: false,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: lib.map((name) => `lib.${name}.d.ts`),
    types: [],
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, messageText }) =>
    `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`
  );
}

/** Uses every export, so that a type that is missing or wrong shows. */
const TYPED_CALLER = `
import * as lars from "./lars_api.js";
import { checkStatus, type CallFunction, type Host, type LarsApi, LarsClient } from "./lars_api.js";

const client: LarsApi = new LarsClient({ deadlineMs: 100 });
const asks: CallFunction<string> = async (host: Host) => {
  const response = checkStatus(await fetch(\`http://\${host.ip}:\${host.port}/\`));
  return await response.text();
};
export const text: string = await client.call(1, 2, asks);
// @ts-expect-error The types are those of the library, and not any.
export const wrong: number = await client.call(1, 2, asks);
export const direct: LarsApi = new lars.InProcessClient({ mode: "direct" });
export const failed: number = new lars.StatusError(500).status;
export const code: lars.RetCode = lars.RetCode.Overload;
`;

/** A page that uses the client of a relay. */
const TYPED_PAGE = `
import { RelayClient, RelayError } from "./lars_relay_web.js";

const client = new RelayClient({ relays: ["127.0.0.1:2001"], name: "ann", onMessage: ({ from }) => console.log(from) });
export const answer: Uint8Array = await client.request({ modId: 1, cmdId: 1 }, new Uint8Array(3));
export const isUnseen = (error: unknown): boolean => error instanceof RelayError && error.unseen;
// @ts-expect-error The types are those of the client, and not any.
export const wrong: number = await client.who();
`;

test("deno task api refuses what it does not know with exit code 2", async () => {
  await withProcesses(async (processes) => {
    const { code, stderr } = await processes.run("scripts/bundle_api.ts", ["--nope"]);
    assert.equal(code, 2);
    assert.match(stderr, /unknown option '--nope'/);
  });
});
