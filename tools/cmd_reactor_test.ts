import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { freePort } from "../tests/support/free_port.ts";
import { withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";

test("lars reactor: qps counts the echoes of server, which listens where a file or a flag says", async () => {
  await withProcesses(async (processes) => {
    const conf = join(processes.directory, "serv.conf");
    writeFileSync(conf, `[reactor]\nmaxConn = 1024\nip = 127.0.0.1\nport = ${await freePort()}\n`);
    const start = (...args: string[]) =>
      processes.spawn("server", "tools/lars.ts", ["reactor", "server", ...args]);
    for (const args of [["-c", conf], ["--port", "0"]]) {
      const server = start(...args);
      const listening = /^listening on (127\.0\.0\.1:\d+)$/m;
      await until(() => listening.test(server.stdout), { what: `the server: ${server.stderr}` });
      const address = listening.exec(server.stdout)?.[1] ?? "";
      const words = ["reactor", "qps", "3", "--to", address, "--seconds", "2"];
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", words);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^(---> qps = \d+ <----\n)+$/);
      assert.match(stdout, /= [1-9]/);
      const ended = await server.stop();
      assert.equal(ended.code, 0, ended.stderr);
      assert.match(ended.stdout, /^[1-9]\d* messages, [1-9]\d* bytes$/m);
    }
  });
});

test("lars reactor qps ends with 1 when no server is there", async () => {
  await withProcesses(async (processes) => {
    const server = `127.0.0.1:${await freePort()}`;
    const words = ["reactor", "qps", "1", "--to", server, "--seconds", "1"];
    const { code, stderr } = await processes.run("tools/lars.ts", words);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^lars: No echo came back from 127\.0\.0\.1:\d+: is `lars reactor server`/m,
    );
  });
});
