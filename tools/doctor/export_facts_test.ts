// Goal: `lars doctor` finds what the configuration of an export names and this host does not have.
// Method: configurations in a folder of their own; ports that are taken, a scripted HAProxy and a real
// one, a dns that is only a listener.

import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type ServerResponse } from "node:http";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { startDaemon } from "../../daemon/daemon.ts";
import { exportDaemon } from "../../export/service.ts";
import { silentLogger } from "../../reactor/log.ts";
import { freePort } from "../../tests/support/free_port.ts";
import { findProgram } from "../../tests/support/mariadb.ts";
import { withProcesses } from "../../tests/support/processes.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import type { ExportFault } from "./findings.ts";
import { configFacts } from "./host_facts.ts";

/** For those who answer: on a busy machine they may be slow. */
const PATIENT_MS = 60_000;

/** What is said of a configuration, without the path of the folder. */
async function findingsOf(
  folder: string,
  config: string,
  timeoutMs = PATIENT_MS,
): Promise<readonly ExportFault[]> {
  const path = join(folder, "export.conf");
  writeFileSync(path, config);
  const { problems, exports = [] } = await configFacts(path, timeoutMs);
  assert.deepEqual(problems, []);
  return exports.map((one) => ({ ...one, seen: one.seen.replaceAll(`${folder}/`, "") }));
}

/** The same, as keys and texts. */
async function faultsOf(
  folder: string,
  config: string,
): Promise<(readonly [key: string, seen: string])[] | undefined> {
  return (await findingsOf(folder, config)).map(({ key, seen }) => [key, seen] as const);
}

function listen(at: { port: number; host: string } | { path: string }): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.on("error", () => undefined));
    server.once("error", reject);
    server.listen(at, () => resolve(server));
  });
}

/** Runs `body` with a folder, and words of a configuration for a dns that can be reached. */
async function withDns(body: (folder: string, words: string) => Promise<void>): Promise<void> {
  const port = await freePort();
  const dns = await listen({ port, host: "127.0.0.1" });
  try {
    await withTempDir((folder) =>
      body(folder, `[dnsserver]\nip = 127.0.0.1:${port}\n[metrics]\nport = 0\n`)
    );
  } finally {
    dns.close();
  }
}

test("files of an export: a folder that is missing, a template that is none, programs that are not there", async () => {
  await withDns(async (folder, dns) => {
    writeFileSync(join(folder, "good"), "{{#modules}}{{name}}{{/modules}}");
    writeFileSync(join(folder, "wrong"), "{{#modules}}never closed");
    mkdirSync(join(folder, "inner"));
    const file = (template: string, out: string, more = ""): string =>
      `${dns}[file]\ntemplate = ${folder}/${template}\nout = ${folder}/${out}\n${more}`;
    assert.deepEqual(await faultsOf(folder, file("good", "out", "check = sh -c true\n")), []);
    const cases = [
      [file("wrong", "out"), "config_wrong", /^\[file\] template wrong: .*Unclosed/],
      [file("none", "out"), "config_wrong", /^\[file\] template none: /],
      [file("good", "missing/out"), "export_target", /^\[file\] out = missing\/out: /],
      [file("good", "inner"), "export_target", /inner is a folder$/],
      [
        file("good", "out", "check = /nonexistent/lint %f\n"),
        ...[
          "export_command",
          /^\[file\] check = .*: there is no program \/nonexistent\/lint$/,
        ] as const,
      ],
      [
        `${dns}[nginx]\nout = ${folder}/n\nupstreams = a=b\nprogram = no-such-nginx\n`,
        ...["export_command", /^\[nginx\] program = no-such-nginx/] as const,
      ],
      [`${dns}[nginx]\nout = ${folder}/n\nprogram = sh\n`, "config_wrong", /\[nginx\] upstreams/],
    ] as const;
    for (const [config, key, seen] of cases) {
      const found = await faultsOf(folder, config) ?? [];
      assert.deepEqual(found.map(([one]) => one), [key], JSON.stringify(found));
      assert.match(found[0][1], seen);
    }
    // What is no program cannot be run.
    writeFileSync(join(folder, "text"), "");
    chmodSync(join(folder, "text"), 0o644);
    const found = await faultsOf(folder, file("good", "out", `reload = ${folder}/text\n`));
    assert.deepEqual(found?.map(([key]) => key), ["export_command"]);
  });
});

test("ports of an export: free, taken by others, or its own", async () => {
  await withDns(async (folder, dns) => {
    const [namePort, xdsPort, metricsPort] = [await freePort(), await freePort(), await freePort()];
    const config = dns.replace("port = 0", `port = ${metricsPort}`) +
      `[nameserver]\nport = ${namePort}\n[xds]\nport = ${xdsPort}\n`;
    assert.deepEqual(await faultsOf(folder, config), []);
    const other = await listen({ port: xdsPort, host: "127.0.0.1" });
    const taken = await faultsOf(folder, config) ?? [];
    assert.deepEqual(taken.map(([key]) => key), ["export_port"]);
    assert.equal(taken[0][1], `[xds] port = ${xdsPort}, TCP: taken`);
    await new Promise((resolve) => other.close(resolve));
    const service = await startDaemon(exportDaemon, {
      flags: {
        ...{ "dnsserver.ip": "127.0.0.1", "dnsserver.port": String(await freePort()) },
        ...{ "nameserver.port": String(namePort), "xds.port": String(xdsPort) },
        "metrics.port": String(metricsPort),
      },
    }, { log: silentLogger });
    try {
      const own = await faultsOf(folder, config) ?? [];
      assert.deepEqual(own.map(([key]) => key), ["export_unready"], JSON.stringify(own));
      assert.match(own[0][1], /^not ready: the modules are not known yet/);
      const unseen = await findingsOf(
        folder,
        config.replace(`[metrics]\nport = ${metricsPort}`, "[metrics]\nport = 0"),
      );
      const unsure = { key: "export_port", isUnsure: true } as const;
      const perhaps = "taken, perhaps by the export itself";
      assert.deepEqual(unseen, [
        { ...unsure, seen: `[nameserver] port = ${namePort}, UDP: ${perhaps}` },
        { ...unsure, seen: `[nameserver] port = ${namePort}, TCP: ${perhaps}` },
        { ...unsure, seen: `[xds] port = ${xdsPort}, TCP: ${perhaps}` },
      ]);
    } finally {
      await service.stop();
    }
  });
});

/** Runs `body` with whoever answers so at a port. */
async function withAnswer(
  answer: (response: ServerResponse) => void,
  body: (port: number) => Promise<void>,
): Promise<void> {
  const server = createHttpServer((_, response) => answer(response));
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  try {
    await body(port);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

test("whoever answers at the metrics of an export is it only when its ports are taken", async () => {
  await withDns(async (folder, dns) => {
    const [namePort, xdsPort] = [await freePort(), await freePort()];
    const other = await listen({ port: xdsPort, host: "127.0.0.1" });
    const perhaps = [{
      ...{ key: "export_port", isUnsure: true },
      seen: `[xds] port = ${xdsPort}, TCP: taken, perhaps by the export itself`,
    }];
    const xds = `[xds]\nport = ${xdsPort}\n`;
    const names = `[nameserver]\nport = ${namePort}\n`;
    const ready = (response: ServerResponse): void => void response.end("ready\n");
    const found = async (
      answer: (response: ServerResponse) => void,
      words: string,
      timeoutMs?: number,
    ): Promise<readonly ExportFault[]> => {
      let all: readonly ExportFault[] = [];
      await withAnswer(answer, async (port) => {
        const config = dns.replace("port = 0", `port = ${port}`) + words;
        all = await findingsOf(folder, config, timeoutMs);
      });
      return all;
    };
    try {
      assert.deepEqual(await found(ready, xds), []);
      assert.deepEqual(await found(ready, xds + names), perhaps, "it has no name server");
      const named = (name: string) => (response: ServerResponse): void =>
        void response.writeHead(200, { "X-Lars-Service": name }).end("ready\n");
      assert.deepEqual(await found(named("export"), xds), []);
      const taken = [{ key: "export_port", seen: `[xds] port = ${xdsPort}, TCP: taken` }];
      assert.deepEqual(await found(named("relay"), xds), taken, "a relay has its metrics there");
      assert.deepEqual(await found(named("nobody"), xds), [], "a name that is none says nothing");
      await withAnswer(ready, async (port) => {
        const moved = (response: ServerResponse): void =>
          void response.writeHead(302, { location: `http://127.0.0.1:${port}/readyz` }).end();
        assert.deepEqual(await found(moved, xds), perhaps, "one that sends elsewhere");
      });
      const endless = (response: ServerResponse): void => {
        response.write("ready".padEnd(100_000, "!"));
      };
      assert.deepEqual(await found(endless, xds), perhaps, "one that does not end");
      const silent = await found(() => undefined, xds, 500);
      assert.deepEqual(silent.filter(({ key }) => key === "export_port"), perhaps);
    } finally {
      other.close();
    }
  });
});

test("names and dns of an export: a zone that is none, an address where nobody is", async () => {
  await withTempDir(async (folder) => {
    const port = await freePort();
    const config = `[dnsserver]\nip = 127.0.0.1:${port}\n[metrics]\nport = 0\n` +
      `[nameserver]\nport = ${await freePort()}\nzone = a_b..c\n`;
    const found = await faultsOf(folder, config) ?? [];
    assert.deepEqual(found.map(([key]) => key), ["config_wrong", "export_dns_away"]);
    assert.match(found[0][1], /\[nameserver\] zone must be a name such as lars.* it is "a_b\.\.c"/);
    assert.match(found[1][1], new RegExp(`^\\[dnsserver\\] 127\\.0\\.0\\.1:${port}: `));
    const nothing = await faultsOf(folder, `[dnsserver]\nip = 127.0.0.1:${port}\n[export]\n`) ?? [];
    assert.match(nothing[0][1], /^Nothing is exported/);
  });
});

/** A HAProxy that answers so, at a path. */
async function withHaproxy(
  path: string,
  answers: Readonly<Record<string, string>>,
  body: () => Promise<void>,
): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      const command = String(bytes).trim();
      socket.end(answers[command] ?? `Unknown command: '${command}'\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await body();
  } finally {
    server.close();
  }
}

test("a HAProxy that is away, older, not ours to tell, or another one", async () => {
  await withDns(async (folder, dns) => {
    const socket = join(folder, "s");
    const config = `${dns}[haproxy]\nsocket = ${socket}\nbackends = be=web\n`;
    const away = await faultsOf(folder, config) ?? [];
    assert.deepEqual(away.map(([key]) => key), ["haproxy_away"]);
    const servers = "1\n# be_id be_name srv_id srv_name\n\n";
    const good = { "show servers state be": servers, "show cli level": "admin\n" };
    const seen = async (answers: Readonly<Record<string, string>>): Promise<string[]> => {
      let found: (readonly [string, string])[] = [];
      await withHaproxy(socket, answers, async () => {
        found = await faultsOf(folder, config) ?? [];
      });
      assert.ok(found.every(([key]) => key === "haproxy_refuses"), JSON.stringify(found));
      return found.map(([, text]) => text);
    };
    assert.deepEqual(
      await seen({ "show info": "Name: HAProxy\nVersion: 2.6.12-1\n", ...good }),
      [],
    );
    assert.deepEqual(await seen({ "show info": "Name: HAProxy\nVersion: 2.2.9\n", ...good }), [
      "HAProxy 2.2.9 at s: 2.6 is the first that fits",
    ]);
    assert.deepEqual(
      await seen({ "show info": "Version: 3.0.1\n", ...good, "show cli level": "operator\n" }),
      ["[haproxy] socket = s: its level is operator"],
    );
    const [backend] = await seen({
      ...{ "show info": "Version: 3.0.1\n", ...good },
      "show servers state be": "Can't find backend.\n",
    });
    assert.match(backend, /^\[haproxy\] backends: .*"be": Can't find backend/);
    assert.deepEqual(await seen({}), ["[haproxy] socket = s: no HAProxy answers there"]);
  });
});

test("a real HAProxy: its version, its level and its backends are read", {
  skip: findProgram("haproxy") === undefined ? "haproxy is not installed" : false,
}, async () => {
  await withDns(async (folder, dns) => {
    await withProcesses(async (processes) => {
      writeFileSync(
        join(folder, "haproxy.cfg"),
        `global\n  stats socket ${folder}/admin level admin\n` +
          `  stats socket ${folder}/user level user\ndefaults\n  mode http\n  timeout connect 1s\n` +
          "  timeout client 1s\n  timeout server 1s\nbackend be\n  balance roundrobin\n",
      );
      const program = findProgram("haproxy") ?? "";
      processes.spawnCommand("haproxy", [program, "-db", "-f", join(folder, "haproxy.cfg")]);
      const ask = (socket: string, backend: string): ReturnType<typeof faultsOf> =>
        faultsOf(
          folder,
          `${dns}[haproxy]\nsocket = ${folder}/${socket}\nbackends = ${backend}=web\n`,
        );
      let seen: Awaited<ReturnType<typeof faultsOf>>;
      await until(async () => {
        seen = await ask("admin", "be");
        return seen?.length === 0;
      }, { what: () => `HAProxy: ${JSON.stringify(seen)}` });
      assert.deepEqual((await ask("admin", "none"))?.map(([key]) => key), ["haproxy_refuses"]);
      const user = await ask("user", "be") ?? [];
      assert.ok(user.length > 0 && user.every(([key]) => key === "haproxy_refuses"));
      assert.match(user[0][1], /level is user/);
    });
  });
});
