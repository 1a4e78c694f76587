// Goal: programs of the host pick from the agent's table, and what they report of the calls is in it for
// all of them in milliseconds. Method: agents as processes, a fake dns, the reader of the api.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test as testOnce } from "node:test";
import { OutcomeBatcher } from "../../api/outcome_batcher.ts";
import { TablePick } from "../../api/table_view.ts";
import { TableReader } from "../../api/table_reader.ts";
import { decodeHello, frameHello, type HostInfo } from "../../proto/codec.ts";
import { MessageId, RetCode } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import { batchUdpFault } from "../../reactor/fast/batch_udp.ts";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { UdpClient } from "../../reactor/udp/udp_client.ts";
import {
  type Processes,
  scriptCommand,
  type TestProcess,
  withProcesses,
} from "../../tests/support/processes.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { FakeCaller, FakeDns } from "../testing/fake_upstream.ts";

/** The table is written by the fast path alone. */
const fault = batchUdpFault({ clock: systemClock, log: silentLogger });
const skip = fault === undefined ? false : `no fast path: ${fault}`;

const NODES: HostInfo[] = [1, 2, 3, 4, 5].map((ip) => ({ ip, port: 80 }));

/** Longest time until a verdict is in the table that a test believes on a machine that is busy. */
const VERDICT_MS_MAX = 2000;

interface Lab {
  readonly path: string;
  readonly dns: FakeDns;
  start(args?: readonly string[]): Promise<TestProcess>;
  /** Closed at the end. */
  reader(agent: TestProcess): TableReader;
  caller(agent: TestProcess): Promise<FakeCaller>;
}

function test(name: string, fn: (lab: Lab) => Promise<void>): void {
  testOnce(name, { skip }, () =>
    withTempDir((directory) =>
      withProcesses(async (processes) => {
        const closers: (() => unknown)[] = [];
        const dns = await FakeDns.start();
        dns.routes.set("3,3", NODES);
        closers.push(() => dns.close());
        const path = join(directory, "agent.table");
        try {
          await fn({
            ...{ path, dns },
            start: (args = []) => startAgent(processes, dns, path, args),
            reader(agent): TableReader {
              const options = { path, port: agent.port(0), clock: systemClock, rng: systemRng };
              const reader = new TableReader(options);
              closers.push(() => reader.close());
              return reader;
            },
            async caller(agent): Promise<FakeCaller> {
              const caller = await FakeCaller.open(agent.port(0));
              closers.push(() => caller.close());
              return caller;
            },
          });
        } finally {
          for (const close of closers.reverse()) await close();
        }
      })
    ));
}

function startAgent(
  processes: Processes,
  dns: FakeDns,
  path: string,
  args: readonly string[],
): Promise<TestProcess> {
  return processes.spawnCommand("agent", [
    ...scriptCommand("agent/main.ts"),
    "--json",
    "--agent-port=0",
    `--dnsserver-ip=127.0.0.1:${dns.port}`,
    "--reporter-ip=127.0.0.1:9",
    `--agent-shared-table=${path}`,
    ...args,
  ]).untilReady();
}

/** Nodes that some hundred picks give, probes apart; undefined: the agent has to be asked. */
function picked(
  { view }: TableReader,
  modId = 3,
): { nodes: Set<number>; probes: number } | undefined {
  const slot = view?.slotOf(modId, 3) ?? -1;
  if (view === undefined || slot < 0) return undefined;
  const nodes = new Set<number>();
  let probes = 0;
  for (let i = 0; i < 200; i++) {
    if (view.pick(slot) !== TablePick.Node) return undefined;
    if (view.tag !== 0) probes++;
    else nodes.add(view.ip);
  }
  return { nodes, probes };
}

/** Asks the agent by UDP, which makes it fetch the module, until the table has it. */
async function untilInTable(caller: FakeCaller, reader: TableReader): Promise<void> {
  await until(async () => (await caller.getHost(3, 3)).retcode === RetCode.Success, {
    what: "a node by UDP",
  });
  await until(() => picked(reader)?.nodes.size === NODES.length, {
    what: () => `the module in the table (${reader.fault})`,
  });
}

async function statusOf(caller: FakeCaller): Promise<Record<string, number>> {
  caller.client.send(frameHello({ protocol: 1, software: "test", role: "tool" }));
  for (;;) {
    const { msgId, body } = readDatagram(await caller.client.receive(5000));
    if (msgId === MessageId.Hello) return JSON.parse(decodeHello(body).status ?? "{}");
  }
}

test("a module that was asked for is in the table, and a node that fails is out of it", async (lab) => {
  const agent = await lab.start();
  const [reader, caller] = [lab.reader(agent), await lab.caller(agent)];
  await untilInTable(caller, reader);
  const batcher = new OutcomeBatcher({
    ...{ clock: systemClock, rng: systemRng },
    send: (datagram) => caller.client.send(datagram),
  });
  const outcome = { modId: 3, cmdId: 3, ip: 2, port: 80, retcode: 1, timeMs: 4 };
  for (let i = 0; i < 40; i++) batcher.add(outcome);
  batcher.flush();
  const sentMs = systemClock.nowMs();
  await until(() => picked(reader)?.nodes.has(2) === false, {
    ...{ timeoutMs: VERDICT_MS_MAX, intervalMs: 0 },
    what: "the verdict in the table",
  });
  const tookMs = systemClock.nowMs() - sentMs;
  assert.ok((picked(reader)?.probes ?? 0) > 0, "it gets probes");
  const { reports, tableModules, reportBatches, reportsLost, tableReaders } = await statusOf(
    caller,
  );
  assert.deepEqual([reports, tableModules, reportsLost], [40, 1, 0], `after ${tookMs} ms`);
  assert.equal(tableReaders, 1);
  assert.equal(reportBatches, 2);
  const { code } = await agent.stop();
  assert.equal(code, 0);
  assert.equal(existsSync(lab.path), false, "an agent that stops takes its table away");
  assert.equal(reader.view, undefined);
});

test("routes that change, and modules that go, are followed", async (lab) => {
  const agent = await lab.start();
  const [reader, caller] = [lab.reader(agent), await lab.caller(agent)];
  await untilInTable(caller, reader);
  lab.dns.push(3, 3, NODES.slice(3));
  await until(() => [...picked(reader)?.nodes ?? []].sort().join() === "4,5", {
    what: "the new route in the table",
  });
  lab.dns.push(3, 3, []);
  await until(() => picked(reader) === undefined, { what: "nothing to pick" });
  assert.notEqual(reader.view, undefined, "the table itself is there");
});

test("outcomes that were lost or came again are counted as such", async (lab) => {
  const agent = await lab.start();
  const caller = await lab.caller(agent);
  await untilInTable(caller, lab.reader(agent));
  let number = 0;
  const batcher = new OutcomeBatcher({
    ...{ clock: systemClock, rng: systemRng },
    send(datagram): void {
      number++;
      if (number === 2) return;
      caller.client.send(datagram);
      if (number === 3) caller.client.send(datagram);
    },
  });
  for (let batch = 0; batch < 4; batch++) {
    for (let i = 0; i < 10; i++) {
      batcher.add({ modId: 3, cmdId: 3, ip: 1, port: 80, retcode: 0, timeMs: undefined });
    }
    batcher.flush();
  }
  const { reports, reportsLost, reportsRepeated } = await statusOf(caller);
  assert.deepEqual({ reports, reportsLost, reportsRepeated }, {
    ...{ reports: 30, reportsLost: 10, reportsRepeated: 10 },
  });
});

test("after kill -9 readers go on by themselves, and follow the next agent", async (lab) => {
  const first = await lab.start();
  const reader = lab.reader(first);
  await untilInTable(await lab.caller(first), reader);
  await first.kill9();
  assert.ok(existsSync(lab.path), "a killed agent leaves its table");
  assert.ok(reader.latest !== undefined);
  await until(() => reader.view === undefined, { what: "the table to be old" });
  const second = await lab.start();
  const next = lab.reader(second);
  await untilInTable(await lab.caller(second), next);
  await until(() => picked(reader)?.nodes.size === NODES.length, {
    what: "the old reader to follow",
  });
});

test("where there can be no table the agent says so once, and serves", async (lab) => {
  for (
    const [args, reason] of [
      [["--agent-threads=3"], "with threads = 3 it has no one writer"],
      [["--agent-fast-path=off"], "it is written by the fast path"],
      [[`--agent-shared-table=${join(lab.path, "x")}`], "failed: "],
      [["--agent-shared-table-group=nobody-of-here"], "there is no group"],
    ] as const
  ) {
    const agent = await lab.start(args);
    const caller = await UdpClient.open({ hostname: "127.0.0.1", port: agent.port(0) });
    caller.send(frameHello({ protocol: 1, software: "test", role: "tool" }));
    assert.equal(readDatagram(await caller.receive(10_000)).msgId, 64);
    caller.close();
    await until(() => `${agent.stdout}${agent.stderr}`.includes("Shared table is not kept"), {
      what: `the reason: ${reason}`,
    });
    const { stderr, stdout } = await agent.stop();
    const lines = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("Shared table"));
    assert.equal(lines.length, 1, lines.join("\n"));
    assert.ok(lines[0].includes(reason), lines[0]);
    assert.equal(existsSync(lab.path), false);
  }
});

test("an empty path is no news", async (lab) => {
  const agent = await lab.start(["--agent-shared-table="]);
  const { stderr, stdout } = await agent.stop();
  assert.equal(`${stdout}${stderr}`.includes("hared table"), false);
  assert.equal(existsSync(lab.path), false);
});
