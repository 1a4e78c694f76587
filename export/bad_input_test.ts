// Goal: what is wrong around an export costs a clear count or a clear error, and nobody anything else.
// Method: each part with what its neighbour should not do. Rubbish over DNS and xDS: see
// nameserver/name_server_test.ts and xds/wire_test.ts; files that a check refuses: files/files_test.ts.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
// @ts-types="./nameserver/dns_packet.d.ts"
import dnsPacket from "dns-packet";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { ConfigError } from "../reactor/errors.ts";
import { silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { LogList } from "../tests/support/log_list.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { fleetCacheFormat } from "./fleet_cache.ts";
import type { ExportModule } from "./fleet_view.ts";
import { FleetView } from "./fleet_view.ts";
import { HaproxyExport } from "./haproxy/haproxy_export.ts";
import { NameZone } from "./nameserver/answers.ts";
import { NameServer } from "./nameserver/name_server.ts";
import { dnsCodec } from "./nameserver/packets.ts";
import { FleetCertificates } from "../session/testing/fleet_certificates.ts";
import { freePort } from "../tests/support/free_port.ts";
import { exportDaemon } from "./service.ts";

const KEY = { modId: 1, cmdId: 1 };
const MODULE: ExportModule = {
  ...{ ...KEY, name: "login" },
  nodes: [{ ip: 1, port: 80, weight: 100, zone: "", state: "up" }],
};

function viewOf(): FleetView {
  const view = new FleetView({
    ...{ outShare: 0.25, request: () => {}, forget: () => {} },
    ...{ onChanged: () => {}, onListed: () => {} },
  });
  view.takeModules({
    modules: [{ ...KEY, name: "login", gone: false }],
    ...{ first: true, last: true },
  });
  view.want(KEY);
  view.takeRoute({ ...KEY, hosts: [{ ip: 1, port: 80 }], policy: "" });
  return view;
}

test("10,000 names asked in a loop: told to be none, nothing asked of dns, the good name answered", () => {
  const view = viewOf();
  const zone = new NameZone(view, { codec: dnsCodec, zone: "lars", ttlS: 1, host: "ns.lars" });
  const server = new NameServer(zone, new ManualClock());
  const ask = (name: string): number => {
    const packet = {
      type: "query",
      id: 1,
      flags: 0x0100,
      questions: [{ name, type: "A" }],
    } as const;
    const answer = server.datagram(dnsPacket.encode(packet), "127.0.0.1");
    return answer === undefined ? -1 : answer[3] & 15;
  };
  for (let i = 0; i < 10_000; i++) {
    assert.equal(ask(i % 2 === 0 ? `name-${i}.lars` : `${i}.77.lars`), 3);
  }
  for (const name of ["..lars", "lars.example", "4294967296.1.lars", "a".repeat(63) + ".lars"]) {
    assert.ok(ask(name) > 0, name);
  }
  assert.equal(ask("login.lars"), 0);
  assert.equal(view.wantedCount, 1);
});

/** A round of the export with a HAProxy that answers so. */
async function haproxyRound(
  answer: (command: string) => string | Error,
): Promise<{ stats: Readonly<Record<string, number>>; fault: string | undefined; log: LogList }> {
  const log = new LogList();
  const proxy = new HaproxyExport({
    backends: [{ backend: "be", module: () => MODULE }],
    servers: { check: true, extra: "" },
    ...{ clock: systemClock, log },
    ask: (command) => {
      const text = answer(command);
      return text instanceof Error ? Promise.reject(text) : Promise.resolve(text);
    },
  });
  proxy.start();
  await until(() => {
    const { haproxy_failures, haproxy_commands_refused } = proxy.stats;
    return haproxy_failures + haproxy_commands_refused > 0;
  }, { what: "a round" });
  await proxy.stop();
  return { stats: proxy.stats, fault: proxy.fault, log };
}

const NO_SERVERS = "1\n# be_id be_name srv_id srv_name\n\n";

test("a HAProxy that is away, older, or says rubbish: counted, said, tried again", async () => {
  const away = await haproxyRound(() => new Error("connect ENOENT"));
  assert.match(away.fault ?? "", /ENOENT/);
  assert.equal(away.log.count("HAProxy is not kept in step"), 1);
  const rubbish = await haproxyRound(() => "<html>");
  assert.match(rubbish.fault ?? "", /does not tell the servers of backend "be": <html>/);
  // Before version 2.5 it had no servers that come and go.
  const older = await haproxyRound((command) =>
    command.startsWith("show") ? NO_SERVERS : "Unknown command. Please enter one of: ...\n"
  );
  assert.equal(older.stats.haproxy_commands_refused, 1);
  assert.equal(
    older.stats.haproxy_commands,
    1,
    "nothing more is said of a server it does not take",
  );
  assert.match(older.log.lines.join(), /HAProxy refuses a command.*Unknown command/);
});

/** An export that writes a file, and knows its modules from its cache: there is no dns. */
function startFile(folder: string, template: string, out: string): Promise<RunningService> {
  const cache = join(folder, "cache");
  mkdirSync(cache, { recursive: true });
  const modules = [{ ...KEY, name: "login", hosts: [{ ip: 1, port: 80 }] }];
  writeFileSync(
    join(cache, fleetCacheFormat.fileName),
    fleetCacheFormat.encode(modules, systemClock.wallMs()).bytes,
  );
  const path = join(folder, "template");
  writeFileSync(path, template);
  return startDaemon(exportDaemon, {
    flags: {
      ...{ "metrics.port": "0", "dnsserver.ip": "127.0.0.1", "dnsserver.port": "1" },
      ...{ "export.cache_dir": cache, "file.template": path, "file.out": out },
    },
  }, { log: silentLogger });
}

test("a template that does not parse is said at the start, with its path; the file stays", async () => {
  await withTempDir(async (folder) => {
    const out = join(folder, "out");
    writeFileSync(out, "before");
    await assert.rejects(startFile(folder, "{{#modules}}never closed", out), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, new RegExp(`template ${join(folder, "template")}: .*Unclosed`));
      return true;
    });
    assert.equal(readFileSync(out, "utf8"), "before");
  });
});

test("a target that cannot be written: counted, not ready, written once it can be", async () => {
  await withTempDir(async (folder) => {
    const out = join(folder, "none", "out");
    const service = await startFile(folder, "{{#modules}}{{name}}\n{{/modules}}", out);
    try {
      await until(() => Number(service.stats().file_failures) > 0, { what: "the failure" });
      assert.match(service.readiness?.() ?? "", /none/);
      mkdirSync(join(folder, "none"));
      await until(() => existsSync(out), { what: "the file", timeoutMs: 30_000 });
      assert.equal(readFileSync(out, "utf8"), "login\n");
      await until(() => service.readiness?.() === undefined, { what: "readiness" });
    } finally {
      await service.stop();
    }
  });
});

test("a cache that is broken is set aside, and nothing is known", async () => {
  await withTempDir(async (folder) => {
    const out = join(folder, "out");
    await (await startFile(folder, "x", out)).stop();
    const file = join(folder, "cache", fleetCacheFormat.fileName);
    const bytes = readFileSync(file);
    bytes[30] ^= 1;
    rmSync(out, { force: true });
    const path = join(folder, "template");
    writeFileSync(file, bytes);
    const service = await startDaemon(exportDaemon, {
      flags: {
        ...{ "metrics.port": "0", "dnsserver.ip": "127.0.0.1", "dnsserver.port": "1" },
        ...{ "export.cache_dir": join(folder, "cache"), "file.template": path, "file.out": out },
      },
    }, { log: silentLogger });
    try {
      assert.match(service.readiness?.() ?? "", /the modules are not known yet/);
      assert.deepEqual(readFileSync(`${file}.bad`), bytes);
    } finally {
      await service.stop();
    }
  });
});

test("a certificate does not open ports that know no TLS to other hosts", async () => {
  await withTempDir(async (folder) => {
    const fleet = await FleetCertificates.make();
    const { cert, key } = await fleet.pair("export", ["export"]);
    writeFileSync(join(folder, "pair.pem"), cert + key);
    writeFileSync(join(folder, "ca.pem"), fleet.authority.cert);
    for (
      const [name, port] of [["nameserver", "port"], ["xds", "port"], ["haproxy", "agent_port"]]
    ) {
      const ip = name === "haproxy" ? "agent_ip" : "ip";
      const starting = startDaemon(exportDaemon, {
        flags: {
          ...{ "metrics.port": "0", "dnsserver.ip": "127.0.0.1", "dnsserver.port": "1" },
          ...{ "tls.cert": join(folder, "pair.pem"), "tls.ca": join(folder, "ca.pem") },
          ...{ [`${name}.${ip}`]: "0.0.0.0", [`${name}.${port}`]: String(await freePort()) },
        },
      }, { log: silentLogger });
      const refused = starting.then((service) => service.stop().then(() => "it listens"), String);
      assert.match(await refused, /Will not listen on 0\.0\.0\.0 without authentication/, name);
    }
  });
});
