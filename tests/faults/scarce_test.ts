// Disks, processors and memory run short: services go on with what there is, and say so.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RelayClient } from "../../api/mod.ts";
import { faultSeconds, figure, timeFigure } from "../support/figure.ts";
import { addNodes, agentFlags, nodeOf, startFleet, withStoredNode } from "../support/fleet.ts";
import { skipUnlessLong } from "../support/in_time.ts";
import { SteadyLoad } from "../support/load.ts";
import { RouteWatcher, startNodes } from "../support/discovery_rounds.ts";
import { type Processes, type TestProcess, withProcesses } from "../support/processes.ts";
import { starve } from "../support/starve.ts";
import { until } from "../support/until.ts";
import {
  frameBytes,
  getHostRequest,
  Id,
  monotonicMs,
  WireCaller,
  WireConnection,
} from "../support/wire_client.ts";
import { MemoryGroup, reasonAgainst } from "./needs.ts";

const SECONDS = faultSeconds();
const SLOW = { timeout: 120_000 + 4000 * SECONDS };

/** Words that run a program with a disk of 1 MB at a folder, which is full, and its own alone. */
function onFullDisk(folder: string): string[] {
  const script = `mount -t tmpfs -o size=1m tmpfs ${folder} && ` +
    `{ head -c 2000000 /dev/zero > ${folder}/full 2>/dev/null; exec "$@"; }`;
  return ["unshare", "-m", "sh", "-c", script, "sh"];
}

/** Lines of a log that say that a disk is full. */
function alarms({ stderr }: TestProcess): number {
  return stderr.split("\n").filter((line) => /space|ENOSPC|disk|full/i.test(line)).length;
}

test("a full disk: dns, reporter and agent go on, and each says so once a minute at most", {
  ...SLOW,
  skip: reasonAgainst(["mounts"]) ?? false,
}, () =>
  withStoredNode(async ({ processes, url, store }) => {
    const folder = join(processes.directory, "small");
    mkdirSync(folder);
    const wrapper = onFullDisk(folder);
    const flags = ["--reactor-port=0", `--store=${url}`];
    const [dns, reporter] = await Promise.all([
      processes.start("dns", [...flags, `--dns-cache-dir=${folder}`], { wrapper }),
      processes.start("reporter", flags, { wrapper }),
    ]);
    const agent = await processes.start("agent", [
      ...agentFlags(processes, [dns.port()], [reporter.port()]),
      `--agent-cache-dir=${folder}`,
    ], { wrapper });
    const caller = await WireCaller.open(agent.port());
    await caller.untilHost(1, 1);
    const load = new SteadyLoad(caller, 1, 1);
    let node = 1;
    const endMs = monotonicMs() + 1000 * Math.max(SECONDS, 6);
    while (monotonicMs() < endMs) {
      const added = nodeOf(++node);
      await addNodes(store, 1, 1, [added]);
      await until(() => load.hasSeen(added), { what: "a change with a full disk" });
    }
    await load.stop();
    const succ = async (): Promise<number> =>
      (await store.readCallStatus({ modId: 1, cmdId: 1 }))
        .reduce((sum, row) => sum + (row.succTotal ?? 0), 0);
    await until(async () => await succ() === load.reported, { what: "the results of all calls" });
    const said = { dns: alarms(dns), agent: alarms(agent) };
    figure(
      `${load.calls} calls, ${load.faults.length} failed, ${node - 1} changes taken, ` +
        `${load.reported} results stored; alarms: dns ${said.dns}, agent ${said.agent} in ` +
        `${Math.max(SECONDS, 6)} s`,
    );
    assert.deepEqual(load.faults, []);
    for (const service of [dns, reporter, agent]) assert.ok(service.alive, service.stderr);
    const minutes = Math.ceil(Math.max(SECONDS, 6) / 60) + 1;
    for (const [name, count] of Object.entries(said)) {
      assert.ok(count >= 1 && count <= minutes, `${name} said it ${count} times`);
    }
    caller.close();
  }));

/** Living nodes behind a discovery, and what a subscriber of dns sees of them. */
async function withLeases(
  processes: Processes,
  url: string,
  body: (services: TestProcess[], watcher: RouteWatcher) => Promise<void>,
): Promise<void> {
  const flags = ["--reactor-port=0", `--store=${url}`, "--metrics-port=0"];
  const [dns, discovery] = await Promise.all([
    processes.start("dns", flags),
    processes.start("discovery", flags),
  ]);
  const connection = await WireConnection.open(dns.port());
  const watcher = new RouteWatcher(connection);
  await startNodes(processes, [discovery.port()], 3000, [3001, 3002, 3003, 3004]);
  await watcher.untilCount(4);
  await body([dns, discovery], watcher);
  watcher.stop();
  connection.close();
}

test(
  "a fifth of a processor, and stalls of 200 ms: nobody expires, no call fails",
  // A machine that others starve too starves these leases for longer than is promised.
  { ...SLOW, skip: skipUnlessLong() },
  () =>
    withStoredNode(async ({ processes, url }) => {
      await withLeases(processes, url, async (services, watcher) => {
        const { agent, reporter } = await startFleet(processes, url);
        const caller = await WireCaller.open(agent.port());
        await caller.untilHost(1, 1);
        const load = new SteadyLoad(caller, 1, 1);
        const fromMs = monotonicMs();
        const starved = [...services, reporter, agent];
        await starve(starved, 1000 * SECONDS);
        await starve(starved, 1000 * SECONDS, 200);
        await load.stop();
        const afterMs = monotonicMs() + 4000; // Longer than a lease that was left to itself.
        await until(() => monotonicMs() > afterMs, { what: "leases that ended to be seen" });
        const least = watcher.leastSince(fromMs);
        figure(
          `${2 * SECONDS} s: ${4 - least} of 4 nodes expired, ${load.calls} calls, ` +
            `${load.faults.length} failed, slowest ${Math.round(load.slowestMs)} ms`,
        );
        assert.equal(least, 4);
        assert.deepEqual(load.faults, []);
        caller.close();
      });
    }),
);

const MEGABYTES = 192;

async function strangersAndSilentPeers(
  { processes, url, store }: Parameters<Parameters<typeof withStoredNode>[0]>[0],
  dnsWrapper: string[],
  agentWrapper: string[],
): Promise<void> {
  await addNodes(store, 2, 2, Array.from({ length: 4000 }, (_, index) => nodeOf(index)));
  const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`], {
    wrapper: dnsWrapper,
  });
  const agent = await processes.start("agent", [
    ...agentFlags(processes, [dns.port()], [dns.port()]),
  ], { wrapper: agentWrapper });
  const caller = await WireCaller.open(agent.port());
  await caller.untilHost(1, 1);
  const silent: WireConnection[] = [];
  for (let i = 0; i < 20; i++) {
    const peer = await WireConnection.open(dns.port());
    peer.pause();
    for (let asked = 0; asked < 200; asked++) peer.askRoute(2, 2);
    silent.push(peer);
  }
  const stranger = await WireCaller.open(agent.port());
  const count = 20_000;
  for (let i = 0; i < count; i++) {
    stranger.sendRaw(frameBytes(Id.GetHostRequest, getHostRequest(9, 1000 + i, 2)), i % 3);
    if (i % 100 === 0) assert.equal((await caller.getHost(1, 1)).retCode, 0, `after ${i}`);
  }
  const [ofDns, ofAgent] = await Promise.all(
    [dns, agent].map(async (one) => Math.round((await one.residentBytes() ?? 0) / 2 ** 20)),
  );
  figure(
    `limit ${MEGABYTES} MB: ${count} made-up modules, 20 peers that never read 4,000 answers ` +
      `of 56 KB; dns ${ofDns} MB, agent ${ofAgent} MB, both alive`,
  );
  assert.ok(dns.alive && agent.alive, `${dns.exitCode} ${agent.exitCode}`);
  for (const peer of silent) peer.close();
  stranger.close();
  caller.close();
}

test("little memory: made-up modules and peers that never read end neither agent nor dns", {
  ...SLOW,
  skip: reasonAgainst(["cgroups"]) ?? false,
}, async () => {
  const groups = ["dns", "agent"].map((name) => new MemoryGroup(name, MEGABYTES));
  const [ofDns, ofAgent] = groups.map(({ wrapper }) => wrapper);
  try {
    await withStoredNode((given) => strangersAndSilentPeers(given, ofDns, ofAgent));
  } finally {
    for (const group of groups) group.remove();
  }
});

/** From now on each fsync of a process takes 200 ms. */
async function slowFsync(processes: Processes, { pid }: TestProcess): Promise<void> {
  const tracer = processes.spawnCommand("strace", [
    ...["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"],
    ...["-e", "inject=fsync,fdatasync:delay_enter=200000", "-p", String(pid)],
  ]);
  await until(() => !/^TracerPid:\s+0$/m.test(readFileSync(`/proc/${pid}/status`, "utf8")), {
    what: () => `the fsync to be slow: ${tracer.stderr}`,
  });
}

test("slow fsync: what a relay acknowledges waits for the disk, what needs none does not", {
  ...SLOW,
  skip: reasonAgainst(["strace"]) ?? false,
}, () =>
  withProcesses(async (processes) => {
    const store = `sqlite:${join(processes.directory, "mail.db")}`;
    const relay = await processes.start("relay", [
      ...["--relay-port=0", `--relay-store=${store}`, "--metrics-port=0"],
    ]);
    await slowFsync(processes, relay);
    const relays = [`127.0.0.1:${relay.port()}`];
    let got = 0;
    const receiver = new RelayClient({
      ...{ relays, name: "receiver", mail: true },
      onMessage: () => void got++,
    });
    const sender = new RelayClient({ relays, name: "sender", timeoutMs: 30_000 });
    const send = async (stored: boolean): Promise<number> => {
      const startMs = monotonicMs();
      await sender.send("receiver", new Uint8Array(10), stored ? { stored } : {});
      return monotonicMs() - startMs;
    };
    await send(true);
    const stored: number[] = [];
    const plain: number[] = [];
    for (let i = 0; i < 10; i++) {
      const slow = send(true);
      plain.push(await send(false));
      stored.push(await slow);
    }
    await until(() => got >= 21, { what: "all messages" });
    stored.sort((a, b) => a - b);
    plain.sort((a, b) => a - b);
    figure(
      `fsync takes 200 ms: a stored message is acknowledged after ${Math.round(stored[5])} ms`,
    );
    timeFigure({ what: "one that is not stored", value: plain[5], atMost: 20, unit: "ms" });
    assert.ok(stored[0] >= 150, `${stored[0]} ms: it was acknowledged before it was on disk`);
    await sender.close();
    await receiver.close();
  }));
