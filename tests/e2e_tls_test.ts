// Goal: dns, reporter, agent and lars talk over TLS alone, and certificates and roots are replaced on
// running services without an interruption; a pair that does not fit is refused. Method: processes.

import assert from "node:assert/strict";
import { join } from "node:path";
import { request } from "node:https";
import { test } from "node:test";
import {
  type ClientTls,
  LarsClient,
  NodeRegistrar,
  register,
  RelayClient,
  RelayWorker,
} from "../api/mod.ts";
import { FleetCertificates } from "../session/testing/fleet_certificates.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { TlsFiles } from "./support/tls_files.ts";
import { until } from "./support/until.ts";

const TAKEN = "Files of [tls] taken";
const count = (text: string, part: string): number => text.split(part).length - 1;

interface Fleet {
  readonly services: readonly TestProcess[];
  readonly dns: TestProcess;
  readonly agent: TestProcess;
  readonly metricsPort: number;
  readonly store: string;
  addNode(index: number): Promise<string>;
}

async function startFleet(processes: Processes, files: TlsFiles, loops: number): Promise<Fleet> {
  const store = `sqlite:${join(processes.directory, "lars.db")}`;
  await processes.run("tools/lars.ts", ["sql", "migrate", "--store", store]);
  const metricsPort = await freePort();
  const serve = (name: "dns" | "reporter", ...more: string[]): Promise<TestProcess> =>
    processes.start(name, [
      ...["--reactor-port=0", `--store=${store}`, `--reactor-thread-num=${loops}`],
      ...[...files.flags(name), ...more],
    ]);
  const [dns, reporter] = await Promise.all([
    serve("dns", `--metrics-port=${metricsPort}`),
    serve("reporter"),
  ]);
  const agent = await processes.start("agent", [
    ...["--agent-port=0", ...files.flags("agent")],
    `--dnsserver-ip=127.0.0.1:${dns.port()}`,
    `--reporter-ip=127.0.0.1:${reporter.port()}`,
  ]);
  const env = files.env("editor");
  const addNode = async (index: number): Promise<string> => {
    const add = ["route", "add", "1", "1", `10.0.0.${index}:80`, "--store", store];
    const { stdout, stderr } = await processes.run("tools/lars.ts", add, { env });
    return stdout + stderr;
  };
  return { services: [dns, reporter, agent], dns, agent, metricsPort, store, addNode };
}

async function reload(service: TestProcess): Promise<void> {
  const before = count(service.stderr, TAKEN);
  service.signal("SIGHUP");
  await until(() => count(service.stderr, TAKEN) > before, { what: `${service.name} to read it` });
}

for (const loops of [1, 2]) {
  test(`roots and certificates are replaced on a fleet that works over TLS, ${loops} loops`, {
    timeout: 60_000,
  }, async () => {
    await withProcesses(async (processes) => {
      const files = new TlsFiles(processes.directory);
      const [first, second] = [await FleetCertificates.make(), await FleetCertificates.make("2")];
      const [one, two] = [first.authority.cert, second.authority.cert];
      const names = ["dns", "reporter", "agent", "editor"];
      files.write("ca.pem", one);
      for (const name of names) await files.pair(first, name, name);
      const { services, dns, agent, addNode, metricsPort } = await startFleet(
        processes,
        files,
        loops,
      );
      const connects = (): number => count(agent.stderr, "Connected to dns");
      const client = new LarsClient({ port: agent.port(), deadlineMs: 1000 });
      let asked = 0;
      let failed = 0;
      let isOver = false;
      const nodes = async (): Promise<number> => (await client.getRoute(1, 1)).length;
      const load = async (): Promise<void> => {
        while (!isOver) {
          const { retcode, host } = await client.tryGetHost(1, 1);
          asked++;
          if (retcode !== 0 || host === undefined) failed++;
          else client.report(1, 1, host.ip, host.port, 0, 1000);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      };
      try {
        assert.match(await addNode(1), /told/i);
        await until(async () => (await client.tryGetHost(1, 1)).retcode === 0, { what: "a route" });
        const working = load();
        const step = async (what: string, ca: string, fleet?: FleetCertificates): Promise<void> => {
          files.write("ca.pem", ca);
          if (fleet !== undefined) {
            for (const name of names) await files.pair(fleet, name, name);
          }
          for (const service of services) await reload(service);
          const before = await nodes();
          const said = await addNode(before + 1);
          await until(async () => await nodes() === before + 1, { what: `${what}: ${said}` });
        };
        await step("both roots", one + two);
        await step("new certificates", one + two, second);
        assert.equal(connects(), 1, "nothing was interrupted");
        await step("the new root alone", two);
        await until(() => connects() === 2, { what: "the session on the new certificate" });
        const metrics = async (): Promise<string> =>
          await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
        // Loops tell their counts once a second.
        await until(async () => /lars_dns_connections_tls [1-9]/.test(await metrics()), {
          what: "dns to count the agent's connection",
        });
        assert.match(await metrics(), /lars_dns_certificate_seconds_left 8\d{5}/);
        isOver = true;
        await working;
        assert.ok(asked > 20, `${asked} calls`);
        assert.equal(failed, 0, `${failed} of ${asked} calls found no node`);
        const logs = services.map(({ stderr }) => stderr).join("");
        assert.ok(!logs.includes("PRIVATE KEY"), "no log shows a key");
        await until(() => /Connected to reporter/.test(agent.stderr), { what: "the reporter" });
        assert.ok(!/Connection refused/.test(dns.stderr), dns.stderr);
      } finally {
        isOver = true;
        await client.close();
      }
    });
  });
}

test("a pair that does not fit is refused and the old one stays; files that change are taken", {
  timeout: 60_000,
}, async () => {
  await withProcesses(async (processes) => {
    const files = new TlsFiles(processes.directory);
    const fleet = await FleetCertificates.make();
    files.write("ca.pem", fleet.authority.cert);
    for (const name of ["dns", "reporter", "agent", "editor"]) await files.pair(fleet, name, name);
    const { dns, agent, addNode } = await startFleet(processes, files, 1);
    const [a, b] = [await fleet.pair("a", ["dns"]), await fleet.pair("b", ["dns"])];
    const wrong = await fleet.pair("c", ["reporter"]);
    const bad: [text: string, said: RegExp][] = [
      [a.cert + b.key, /is not the key of \[tls\] cert/],
      [a.cert, /must hold one private key/],
      [(a.cert + a.key).slice(0, -40), /must hold whole blocks of PEM/],
      [wrong.cert + wrong.key, /must hold the role dns.*it holds reporter/],
      ["", /must hold whole blocks of PEM/],
    ];
    for (const [index, [text, said]] of bad.entries()) {
      files.write("dns.pem", text);
      dns.signal("SIGHUP");
      await until(() => said.test(dns.stderr), { what: `${said}: ${dns.stderr}` });
      assert.match(await addNode(index + 1), /told/i);
    }
    assert.equal(count(dns.stderr, TAKEN), 0);
    files.write("dns.pem", a.cert + a.key);
    await until(() => count(dns.stderr, TAKEN) === 1, { what: "the file to be looked at" });
    assert.equal(count(agent.stderr, "Connected to dns"), 1);
    for (
      const [name, text, said] of [
        ["agent", (await fleet.pair("x", ["dns"])).cert, /must hold one private key/],
        ["agent", b.cert + b.key, /must hold the role agent/],
      ] as const
    ) {
      files.write("other.pem", text);
      const ended = await processes.run("agent/main.ts", [
        ...["--agent-port=0", `--tls-cert=${files.path("other.pem")}`],
        `--tls-ca=${files.path("ca.pem")}`,
      ]);
      assert.equal(ended.code, 2, name);
      assert.match(ended.stderr, said);
    }
  });
});

interface Answer {
  readonly status: number;
  readonly cookies: readonly string[];
  readonly text: string;
}

/** Asks a console over HTTPS, and believes one authority alone. */
function ask(port: number, ca: string, path: string, body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({
      ...{ host: "127.0.0.1", port, ca, path, method: body === undefined ? "GET" : "POST" },
      headers: { "Content-Type": "application/json" },
    }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += String(chunk))).on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          cookies: response.headers["set-cookie"] ?? [],
          text,
        }));
    });
    asked.on("error", reject);
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

test("the console speaks HTTPS: secure cookies, a certificate of its own or that of [tls]", {
  timeout: 60_000,
}, async () => {
  await withProcesses(async (processes) => {
    const files = new TlsFiles(processes.directory);
    const fleet = await FleetCertificates.make();
    const [ca, store] = [fleet.authority.cert, `sqlite:${files.path("lars.db")}`];
    files.write("ca.pem", ca);
    await files.pair(fleet, "editor", "editor");
    const own = await FleetCertificates.make("public");
    const { cert, key } = await own.pair("console", []);
    files.write("web.pem", cert + key);
    const shared = ["--web-port=0", "--metrics-port=0", "--web-tls=1", `--store=${store}`];
    const first = await processes.start("web", [...shared, ...files.flags("editor")]);
    assert.equal((await ask(first.port(), ca, "/healthz")).status, 200);
    await assert.rejects(ask(first.port(), own.authority.cert, "/healthz"));
    const password = /one-time password (\S+)/.exec(first.stdout)?.[1] ?? "";
    const login = { name: "admin", password };
    const { status, cookies, text } = await ask(first.port(), ca, "/api/v1/session", login);
    assert.equal(status, 200, text);
    assert.match(cookies[0], /^lars_session=.*; HttpOnly; SameSite=Strict; Secure/);
    await first.stop();
    // One of its own, which is taken when it changes.
    const second = await processes.start("web", [
      ...[...shared, ...files.flags("editor")],
      `--web-cert=${files.path("web.pem")}`,
    ]);
    assert.equal((await ask(second.port(), own.authority.cert, "/healthz")).status, 200);
    files.write("web.pem", cert);
    second.signal("SIGHUP");
    await until(() => /\[web\] key must hold one private key/.test(second.stderr));
    const next = await fleet.pair("console", []);
    files.write("web.pem", next.cert + next.key);
    second.signal("SIGHUP");
    await until(() => /Files of \[web\] taken/.test(second.stderr), { what: second.stderr });
    assert.equal((await ask(second.port(), ca, "/healthz")).status, 200);
    const bare = await processes.run("web/main.ts", shared);
    assert.equal(bare.code, 2);
    assert.match(bare.stderr, /\[web\] tls needs a certificate: set \[web\] cert, or \[tls\] cert/);
  });
});

test("nodes register, and relays pass requests, over TLS, each in its role", {
  timeout: 90_000,
}, async () => {
  await withProcesses(async (processes) => {
    const files = new TlsFiles(processes.directory);
    const fleet = await FleetCertificates.make();
    const [ca, store] = [fleet.authority.cert, `sqlite:${files.path("lars.db")}`];
    files.write("ca.pem", ca);
    await files.pair(fleet, "discovery", "discovery", "editor");
    await files.pair(fleet, "relay", "relay");
    await files.pair(fleet, "editor", "editor");
    await processes.run("tools/lars.ts", ["sql", "migrate", "--store", store]);
    const [discovery, relay] = await Promise.all([
      processes.start("discovery", [
        ...["--reactor-port=0", "--metrics-port=0", `--store=${store}`],
        ...files.flags("discovery"),
      ]),
      processes.start("relay", ["--relay-port=0", "--metrics-port=0", ...files.flags("relay")]),
    ]);
    const tlsOf = async (role: string): Promise<ClientTls> => {
      const { cert, key } = await fleet.pair(role, [role]);
      return { ca, cert, key, plain: "off" };
    };
    const values = { modId: 7, cmdId: 1, port: 8080, ip: "10.0.0.7", createModule: true };
    const place = { discovery: `127.0.0.1:${discovery.port()}` };
    const node = await register({ ...place, ...values, tls: await tlsOf("registrar") });
    assert.equal(node.state, "registered");
    const warnings: string[] = [];
    const wrong = new NodeRegistrar({
      ...{ ...place, tls: await tlsOf("client") },
      onWarning: (text) => warnings.push(text),
    });
    await until(() =>
      warnings.some((text) => /does not let us be there in the role node/.test(text))
    );
    await until(() => /Peer is refused.*CN=client.*in the role node/.test(discovery.stderr));
    await wrong.close();
    await node.close({ limitMs: 1000, quietMs: 100 });
    const relays = [`127.0.0.1:${relay.port()}`];
    const modules = [{ modId: 5, cmdId: 1 }];
    const worker = new RelayWorker(
      { relays, modules, tls: await tlsOf("worker") },
      ({ data }) => data,
    );
    const client = new RelayClient({ relays, tls: await tlsOf("client") });
    try {
      await until(() => worker.attachedCount === 1, { what: "the worker" });
      const data = new Uint8Array(60_000).fill(7);
      const answers = await Promise.all(
        Array.from({ length: 4 }, () => client.request(modules[0], data)),
      );
      assert.ok(answers.every((answer) => answer.length === data.length && answer[9] === 7));
      const words = ["relay", "ls", "--relay", relays[0], "--json"];
      const env = files.env("editor");
      const listed = await processes.run("tools/lars.ts", words, { env });
      assert.equal(listed.code, 0, listed.stderr);
      const bare = await processes.run("tools/lars.ts", words);
      assert.equal(bare.code, 1, "without a certificate nobody is told");
      assert.match(relay.stderr, /Connection refused.*it speaks no TLS/);
    } finally {
      await client.close();
      await worker.close();
    }
  });
});
