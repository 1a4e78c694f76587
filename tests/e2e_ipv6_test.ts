// Goal: every service can listen on IPv6 and be reached by it, by either kind where it listens on all
// addresses. The nodes of modules, and the callers of an agent, stay on IPv4.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { agentDaemon } from "../agent/service.ts";
import { LarsClient } from "../api/mod.ts";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import { dnsDaemon } from "../dns/service.ts";
import { formatAddress, parseAddress } from "../reactor/address.ts";
import { silentLogger } from "../reactor/log.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import type { Stream } from "../reactor/runtime/types.ts";
import { reporterDaemon } from "../reporter/service.ts";
import { openStore } from "../sql/mod.ts";
import { webDaemon } from "../web/service.ts";
import { withTempDir } from "./support/temp_dir.ts";
import { until } from "./support/until.ts";

/** Why there is nothing to test here, if so. */
const skip = await new Promise<string | false>((resolve) => {
  const server = createServer();
  server.once("error", () => resolve("this machine has no IPv6"));
  server.listen(0, "::1", () => server.close(() => resolve(false)));
});
const log = silentLogger;

test(
  "a listener of all addresses tells each peer by its own kind of address",
  { skip },
  async () => {
    const streams: Stream[] = [];
    const listener = await runtime.listenTcp({
      hostname: "::",
      port: 0,
      reusePort: false,
      onConnection: (stream) => void streams.push(stream),
      onAcceptError: (error) => Promise.reject(error),
    });
    try {
      for (const [index, hostname] of ["127.0.0.1", "::1"].entries()) {
        const { port } = listener.address;
        const signal = AbortSignal.timeout(5000);
        const stream = await runtime.connectTcp({ hostname, port, signal });
        await until(() => streams.length === index + 1, { what: hostname });
        assert.equal(streams[index].remote.hostname, hostname);
        assert.equal(streams[index].local.hostname, hostname);
        assert.equal(stream.remote.hostname, hostname);
        stream.close();
        streams[index].close();
      }
    } finally {
      listener.close();
    }
  },
);

test("routes, results and the console go over IPv6", { skip, timeout: 60_000 }, async () => {
  await withTempDir(async (directory) => {
    const url = `sqlite:${join(directory, "lars.db")}`;
    const store = await openStore(url);
    await store.migrate();
    const services: RunningService[] = [];
    const add = async (starting: Promise<RunningService>): Promise<RunningService> => {
      services.push(await starting);
      return services[services.length - 1];
    };
    try {
      await store.editRoutes([{ op: "add", modId: 1, cmdId: 1, ip: 7, port: 80 }]);
      const flags = { "store.url": url, "reactor.port": "0" };
      const all = { ...flags, "reactor.ip": "[::]", "auth.allow_insecure": "1" };
      const dns = await add(startDaemon(dnsDaemon, { flags: all }, { log }));
      const own = { ...flags, "reactor.ip": "::1" };
      const reporter = await add(startDaemon(reporterDaemon, { flags: own }, { log }));
      assert.match(dns.addresses[0], /^\[::\]:\d+$/);
      assert.match(reporter.addresses[0], /^\[::1\]:\d+$/);
      const { port } = parseAddress(dns.addresses[0]);
      for (const hostname of ["::1", "127.0.0.1"]) {
        const agent = await add(startDaemon(agentDaemon, {
          flags: {
            "agent.port": "0",
            "agent.threads": "0",
            "agent.cache_dir": "",
            "dnsserver.ip": formatAddress({ hostname, port }),
            "reporter.ip": reporter.addresses[0],
          },
        }, { log }));
        const client = new LarsClient({
          port: parseAddress(agent.addresses[0]).port,
          deadlineMs: 5000,
        });
        const host = await client.getHost(1, 1);
        assert.equal(host.port, 80);
        client.report(1, 1, host.ip, host.port, 0);
        await until(async () => (await store.readCallStatus()).length > 0, { what: "the result" });
        await client.close();
      }
      const web = await add(startDaemon(webDaemon, {
        flags: { "store.url": url, "web.ip": "::1", "web.port": "0" },
      }, { log }));
      const { status, body } = await fetch(`http://${web.addresses[0]}/healthz`);
      await body?.cancel();
      assert.equal(status, 200);
    } finally {
      for (const service of services.reverse()) await service.stop();
      await store.close();
    }
  });
});
