// Goal: alerts reach a receiver through restarts of the console, and the command tests it. Method: a
// console as a process and a small receiver.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { openStore } from "../sql/mod.ts";
import { addConsoleToken } from "../tests/support/console_token.ts";
import { withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";

test("what fires is told after a restart of the console, and lars webhook tests its receiver", async () => {
  await withProcesses(async (processes) => {
    let status = 503;
    const got: string[] = [];
    const receiver = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      request.on("end", () => {
        const { state, kind, modId, cmdId } = JSON.parse(body);
        if (status === 200) got.push(`${state} ${kind} ${modId}/${cmdId}`);
        response.writeHead(status).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
    const store = `sqlite:${processes.directory}/lars.db`;
    const lars = (...args: string[]): ReturnType<typeof processes.run> =>
      processes.run("tools/lars.ts", args);
    await lars("sql", "migrate", "--store", store);
    const flags = ["--web-port=0", `--store=${store}`];
    const first = await processes.start("web", flags);
    const file = `${processes.directory}/token`;
    const opened = await openStore(store);
    const tokenText = await addConsoleToken(opened, "admin", "admin");
    await opened.close();
    writeFileSync(file, tokenText);
    const post = (port: number, path: string, body: unknown): Promise<Response> =>
      fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
        method: "POST",
        headers: { Authorization: `Bearer ${tokenText}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
    const added = await post(first.port(), "/webhooks", { title: "pager", url });
    assert.equal(added.status, 201, await added.text());
    await lars("route", "add", "60", "1", "10.60.0.1:80", "--state", "drain", "--store", store);
    const at = (port: number): string[] => [
      ...["--server", `http://127.0.0.1:${port}`, "--token-file", file],
    ];
    const list = async (port: number): Promise<string> =>
      (await lars("webhook", "ls", ...at(port), "--json")).stdout;
    await until(async () => /answered 503/.test(await list(first.port())), {
      what: "the first attempt",
    });
    await first.stop();
    status = 200;
    const second = await processes.start("web", flags);
    await until(() => got.includes("firing module_overload 60/1"), { what: "the beginning" });
    const tested = await lars("webhook", "test", "1", ...at(second.port()));
    assert.equal(tested.stdout, "webhook 1: answered 200\n", tested.stderr);
    status = 404;
    const failed = await lars("webhook", "test", "1", ...at(second.port()));
    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /did not take the test: answered 404/);
    receiver.closeAllConnections();
    receiver.close();
  });
});
