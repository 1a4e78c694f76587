import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { ServerProcess } from "./server_process.ts";

test("ServerProcess.start() of one that is not wanted before it is ready leaves nothing", () =>
  withTempDir(async (directory) => {
    const file = join(directory, "pid");
    const unwanted = new AbortController();
    const argv = ["sh", "-c", `echo $$ > ${file}; exec sleep 60`];
    const started = ServerProcess.start("sleeper", argv, unwanted.signal);
    const refused = assert.rejects(started, /^Error: sleeper is not wanted any more/);
    const pid = (): string => existsSync(file) ? readFileSync(file, "utf8").trim() : "";
    await until(() => pid() !== "", { what: "the program to run" });
    unwanted.abort();
    await refused;
    await until(() => !existsSync(`/proc/${pid()}`), { what: "the program to be gone" });
  }));

test("ServerProcess.start() tells where a program listens, and stop() ends it", () =>
  withTempDir(async (directory) => {
    const ready = JSON.stringify({ event: "ready", addresses: ["127.0.0.1:7"] });
    const argv = ["sh", "-c", `echo '${ready}'; exec sleep 60`];
    const unwanted = new AbortController();
    const server = await ServerProcess.start(directory, argv, unwanted.signal);
    unwanted.abort();
    assert.deepEqual(server.addresses, [{ hostname: "127.0.0.1", port: 7 }]);
    assert.ok(existsSync(`/proc/${server.pid}`), "it was ready before");
    await server.stop();
    assert.ok(!existsSync(`/proc/${server.pid}`));
  }));
