// Goal: `lars up` with [tls] has all of its services speak TLS with each other, and with nobody else
// otherwise. Method: it is started as users start it, with one certificate of every role.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LarsClient } from "../api/mod.ts";
import { FleetCertificates } from "../session/testing/fleet_certificates.ts";
import { withStore } from "../sql/testing/store_conformance.ts";
import { freePort } from "./support/free_port.ts";
import { withProcesses } from "./support/processes.ts";
import { TlsFiles } from "./support/tls_files.ts";
import { until } from "./support/until.ts";
import { WireConnection } from "./support/wire_client.ts";

const ROLES = ["dns", "reporter", "agent", "editor", "discovery", "relay"];

test("lars up speaks TLS with itself alone: picks, results, edits, and no stranger", {
  timeout: 120_000,
}, async () => {
  await withProcesses(async (processes) => {
    const files = new TlsFiles(processes.directory);
    const fleet = await FleetCertificates.make();
    files.write("ca.pem", fleet.authority.cert);
    await files.pair(fleet, "up", ...ROLES);
    await files.pair(fleet, "ops", "editor");
    await files.pair(fleet, "part", "agent");
    const [dns, reporter, web, agent] = await Promise.all([1, 2, 3, 4].map(() => freePort()));
    const at = (port: number): string => `127.0.0.1:${port}`;
    const words = [
      ...["up", "--json", "--no-samples", "--data", processes.directory, "--agent", at(agent)],
      ...["--dns", at(dns), "--reporter", at(reporter), "--console", at(web)],
    ];
    const partly = await processes.spawn("up", "tools/lars.ts", words, { env: files.env("part") })
      .untilEnded(30_000);
    assert.notEqual(partly.code, 0);
    assert.match(partly.stderr + partly.stdout, /role/, "what the certificate lacks is said");

    const env = { ...files.env("up"), LARS_METRICS_PORT: "0" };
    const up = processes.spawn("up", "tools/lars.ts", words, { env });
    await until(() => up.stdout.includes('"event":"up"'), {
      what: () => `the start: ${up.stderr}`,
      timeoutMs: 60_000,
    });
    const store = `sqlite:${processes.directory}/lars.db`;
    // A busy dns may be told too late; it is told of the next edit then.
    let [said, node] = ["", 0];
    await until(async () => {
      const add = ["route", "add", "70", "7", `10.0.0.${++node}:80`, "--store", store];
      const { code, stdout, stderr } = await processes.run("tools/lars.ts", add, {
        env: files.env("ops"),
      });
      assert.equal(code, 0, stderr);
      said = stdout + stderr;
      return /told/i.test(said);
    }, { timeoutMs: 60_000, what: () => `dns to be told by the command: ${said}` });
    const client = new LarsClient({ port: agent, deadlineMs: 1000 });
    await until(async () => (await client.tryGetHost(70, 7)).retcode === 0, { what: "the route" });
    const { host } = await client.tryGetHost(70, 7);
    assert.ok(host !== undefined);
    client.report(70, 7, host.ip, host.port, 0, 5);
    await withStore(store, async (opened) => {
      await until(async () => (await opened.readCallStatus({ modId: 70, cmdId: 7 })).length === 1, {
        timeoutMs: 30_000,
        what: "the result in SQL",
      });
    });
    for (const port of [dns, reporter]) {
      const stranger = await WireConnection.open(port);
      stranger.askRoute(70, 7);
      await stranger.untilEnded();
      assert.deepEqual(stranger.frames, [], "nobody is served without TLS");
    }
    assert.ok(up.alive, up.stderr);
    await client.close();
  });
});
