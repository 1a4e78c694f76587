// Leases over a network that loses a fifth of its packets, each way.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { LEASE_TTL_MS_DEFAULT as TTL_MS } from "../../model/lease.ts";
import { RouteWatcher, startNodes } from "../support/discovery_rounds.ts";
import { faultSeconds, figure, timeFigure } from "../support/figure.ts";
import { sqliteTestStore } from "../support/fleet.ts";
import { skipUnlessLong } from "../support/in_time.ts";
import { withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { monotonicMs, WireConnection } from "../support/wire_client.ts";
import { reasonAgainst } from "./needs.ts";

const SECONDS = Math.max(faultSeconds(), 10);
const NODES = [3001, 3002, 3003, 3004, 3005, 3006];

/** A network of its own in which every fifth packet is lost; words that run a program in it. */
function lossyNetwork(name: string): string[] {
  const within = ["ip", "netns", "exec", name];
  const run = ([program, ...words]: readonly string[]): void =>
    void execFileSync(program, words, { stdio: "pipe" });
  run(["ip", "netns", "add", name]);
  run(["ip", "-n", name, "link", "set", "lo", "up"]);
  run([...within, "nft", "add table inet loss"]);
  run([...within, "nft", "add chain inet loss in { type filter hook input priority 0; }"]);
  run([...within, "nft", "add rule inet loss in numgen random mod 100 < 20 counter drop"]);
  return within;
}

/** Packets that were lost so far. */
function lostPackets(within: readonly string[]): number {
  const [program, ...words] = [...within, "nft", "list", "table", "inet", "loss"];
  const text = execFileSync(program, words, { encoding: "utf8" });
  return Number(/packets (\d+)/.exec(text)?.[1] ?? 0);
}

test("leases at 20 % loss: nobody that lives expires, and a killed node is out", {
  timeout: 180_000 + 2000 * SECONDS,
  // Chance alone may hold up a connection for longer than a lease.
  skip: reasonAgainst(["network namespaces"]) ?? skipUnlessLong(),
}, async () => {
  const name = `lars-loss-${process.pid}`;
  try {
    const wrapper = lossyNetwork(name);
    await withProcesses(async (processes) => {
      const { url, store } = await sqliteTestStore(processes);
      const flags = ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"];
      // It has no network in common with discovery, only the database.
      const dns = await processes.start("dns", flags);
      const discovery = await processes.start("discovery", flags, { wrapper });
      const connection = await WireConnection.open(dns.port());
      const watcher = new RouteWatcher(connection);
      await startNodes(processes, [discovery.port()], TTL_MS, NODES, { wrapper });
      const dead = await startNodes(processes, [discovery.port()], TTL_MS, [4001], { wrapper });
      await watcher.untilCount(NODES.length + 1);
      const fromMs = monotonicMs();
      await until(() => monotonicMs() > fromMs + 1000 * SECONDS, {
        timeoutMs: 2000 * SECONDS,
        intervalMs: 100,
        what: "leases to be renewed",
      });
      const expired = NODES.length + 1 - watcher.leastSince(fromMs);
      figure(
        `${SECONDS} s, ${lostPackets(wrapper)} packets lost: ${expired} of ${NODES.length + 1} ` +
          `leases of ${TTL_MS / 1000} s expired`,
      );
      assert.equal(expired, 0);
      const killedMs = monotonicMs();
      await dead.kill9();
      await watcher.untilCount(NODES.length);
      const value = (monotonicMs() - killedMs) / 1000;
      timeFigure({
        what: "a killed node is out after",
        value,
        atMost: TTL_MS / 1000 + 1,
        unit: "s",
      });
      watcher.stop();
      connection.close();
      await store.close();
    });
  } finally {
    spawnSync("ip", ["netns", "del", name]);
  }
});
