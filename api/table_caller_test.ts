// Goal: a client picks from the table of the agent on its host, reports in batches, and asks by UDP for
// whatever the table does not have. Method: a table written here, beside an agent that is a fake.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test as testOnce } from "node:test";
import { SharedTable } from "../agent/table/shared_table.ts";
import { defaultBalanceSettings, RouteLb } from "../balancer/mod.ts";
import {
  decodeBatchedReport,
  decodeGetHostRequest,
  decodeReportRequest,
  frameGetHostResponse,
} from "../proto/codec.ts";
import { MessageId, RetCode } from "../proto/message_ids.ts";
import { OUTCOME_BYTES, OutcomeField, RUN_TAG } from "../proto/table_layout.ts";
import { silentLogger } from "../reactor/log.ts";
import { openFileMaps } from "../reactor/runtime/file_maps.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { LarsClient } from "./client.ts";
import { OverloadError } from "./errors.ts";
import type { LarsClientOptions } from "./options.ts";
import { FakeAgent } from "./testing/fake_agent.ts";

const skip = ((): string | false => {
  try {
    openFileMaps();
    return false;
  } catch (error) {
    return String(error);
  }
})();

interface Lab {
  readonly agent: FakeAgent;
  readonly table: SharedTable;
  client(options?: LarsClientOptions): LarsClient;
  /** Gives a module these nodes, with this policy, in the table. */
  route(modId: number, ips: readonly number[], policy?: string): void;
  fail(modId: number, ip: number): void;
}

/** The node that the fake gives by UDP. */
const BY_UDP = { ip: "10.9.9.9", port: 9 };

function test(name: string, fn: (lab: Lab) => Promise<void>): void {
  testOnce(name, { skip }, () =>
    withTempDir(async (directory) => {
      const agent = await FakeAgent.start();
      const path = join(directory, "agent.table");
      const table = new SharedTable({
        ...{ path, mode: 0o640, group: undefined, ip: 0x7f000001, port: agent.ports[0] },
        ...{ clock: systemClock, log: silentLogger },
      });
      const lb = new RouteLb({
        ...{ settings: defaultBalanceSettings, rng: systemRng, hasPlans: true },
        onPull: () => {},
      });
      const flush = (): void =>
        lb.plans?.take(Infinity, (modId, cmdId, plan) => table.put(modId, cmdId, plan, 0));
      const clients: LarsClient[] = [];
      agent.onReceive = ({ msgId, body, reply }) => {
        if (msgId !== MessageId.GetHostRequest) return;
        const { seq, modId, cmdId } = decodeGetHostRequest(body);
        const host = { ip: 0x0a090909, port: 9 };
        reply(frameGetHostResponse({ seq, modId, cmdId, retcode: 0, host }));
      };
      try {
        await fn({
          ...{ agent, table },
          client(options = {}): LarsClient {
            const shared = { port: agent.ports, deadlineMs: 5000, sharedTable: path };
            const client = new LarsClient({ ...shared, ...options });
            clients.push(client);
            return client;
          },
          route(modId, ips, policy = ""): void {
            lb.use(modId, 1, 0);
            lb.setModulePolicy(modId, 1, policy);
            lb.update(modId, 1, ips.map((ip) => ({ ip, port: 80 })), 0);
            flush();
          },
          fail(modId, ip): void {
            for (let i = 0; i < 20; i++) lb.report(modId, 1, ip, 80, 1, 5, 0);
            flush();
          },
        });
      } finally {
        for (const client of clients) await client.close();
        table.close();
        await agent.stop();
      }
    }));
}

interface Told {
  modId: number;
  port: number;
  retcode: number;
}

function outcomesOf({ received }: FakeAgent): Told[] {
  return received.filter(({ msgId }) => msgId === MessageId.BatchedReport).flatMap(({ body }) => {
    const { outcomes } = decodeBatchedReport(body);
    const view = new DataView(outcomes.buffer, outcomes.byteOffset, outcomes.length);
    return Array.from({ length: outcomes.length / OUTCOME_BYTES }, (_, i): Told[] => {
      const at = i * OUTCOME_BYTES;
      const modId = view.getUint32(at + OutcomeField.ModId, true);
      const port = view.getUint16(at + OutcomeField.Port, true);
      const code = view.getInt32(at + OutcomeField.RetCode, true);
      const isRun = (view.getUint16(at + OutcomeField.Tag, true) & RUN_TAG) !== 0;
      return isRun
        ? new Array(code).fill({ modId, port, retcode: 0 })
        : [{ modId, port, retcode: code }];
    }).flat();
  });
}

const asked = ({ received }: FakeAgent): number =>
  received.filter(({ msgId }) => msgId === MessageId.GetHostRequest).length;

test("picks come from the table, outcomes go out in batches", async ({ agent, client, route }) => {
  route(1, [1, 2, 3]);
  const one = client();
  const picked = new Set<string>();
  for (let i = 0; i < 30; i++) {
    const { ip, port } = await one.getHost(1, 1);
    picked.add(`${ip}:${port}`);
    one.report(1, 1, ip, port, i === 20 ? 7 : 0, 3);
  }
  assert.deepEqual([...picked].sort(), ["0.0.0.1:80", "0.0.0.2:80", "0.0.0.3:80"]);
  await until(() => outcomesOf(agent).filter(({ port }) => port !== 0).length === 30, {
    what: "all outcomes",
  });
  assert.equal(outcomesOf(agent).filter(({ retcode }) => retcode === 7).length, 1);
  const batches = agent.received.filter(({ msgId }) => msgId === MessageId.BatchedReport);
  assert.ok(batches.some(({ body }) => body.length < 30 * OUTCOME_BYTES), "equal ones are one");
  assert.equal(asked(agent), 0, "nobody was asked");
  assert.equal(agent.received.some(({ msgId }) => msgId === MessageId.ReportRequest), false);
  assert.equal(one.stats.tablePicks, 30);
});

test("a module that the table lacks is asked for", async ({ agent, client, route }) => {
  route(1, [1]);
  const one = client();
  assert.deepEqual(await one.getHost(2, 1), BY_UDP);
  assert.equal(asked(agent), 1);
  route(2, [2]);
  assert.deepEqual(await one.getHost(2, 1), { ip: "0.0.0.2", port: 80 });
  assert.equal(asked(agent), 1);
});

test("keyed picks go to the node of their key", async ({ agent, client, route, fail }) => {
  route(1, [1, 2, 3, 4], '{"policy":"maglev"}');
  const one = client();
  const nodeOf = async (key: string): Promise<string> => (await one.getHost(1, 1, { key })).ip;
  const before = await Promise.all(["a", "b", "c", "d", "e", "f"].map(nodeOf));
  assert.deepEqual(await Promise.all(["a", "b", "c", "d", "e", "f"].map(nodeOf)), before);
  assert.ok(new Set(before).size > 1);
  assert.equal(asked(agent), 0);
  fail(1, 1);
});

test("a refusal of the table is overload, and the agent is told", async (lab) => {
  const { agent, client, route, fail } = lab;
  route(1, [1]);
  fail(1, 1);
  const one = client();
  let refused = 0;
  for (let i = 0; i < 22; i++) {
    try {
      await one.getHost(1, 1);
    } catch (error) {
      assert.ok(error instanceof OverloadError, String(error));
      refused++;
    }
  }
  assert.ok(refused >= 19, `${refused} of 22`);
  const told = (): number =>
    outcomesOf(agent).filter(({ port, retcode }) => port === 0 && retcode === RetCode.Overload)
      .length;
  await until(() => told() === refused, { what: "the refusals" });
});

test("who picks and never reports says that the module is used", async (lab) => {
  const { agent, client, route } = lab;
  route(1, [1]);
  const one = client();
  for (let i = 0; i < 5; i++) await one.getHost(1, 1);
  await until(() => outcomesOf(agent).length > 0, { what: "a record of use" });
  assert.deepEqual(outcomesOf(agent), [{ modId: 1, port: 0, retcode: 0 }]);
});

test("without a table, or where none is wanted, each pick is asked for", async (lab) => {
  const { agent, table, client, route } = lab;
  route(1, [1]);
  const plain = client({ sharedTable: false });
  assert.deepEqual(await plain.getHost(1, 1), BY_UDP);
  const one = client();
  assert.deepEqual(await one.getHost(1, 1), { ip: "0.0.0.1", port: 80 });
  table.close();
  assert.deepEqual(await one.getHost(1, 1), BY_UDP);
  one.report(1, 1, BY_UDP.ip, BY_UDP.port, 0);
  await until(() => agent.received.some(({ msgId }) => msgId === MessageId.ReportRequest), {
    what: "a report by itself",
  });
  const report = agent.received.find(({ msgId }) => msgId === MessageId.ReportRequest);
  assert.equal(decodeReportRequest(report?.body ?? new Uint8Array()).host.port, BY_UDP.port);
});

test("while the agent is silent nodes of its last table are given, and waited for once a second", async (lab) => {
  const { agent, table, client, route } = lab;
  route(1, [1, 2, 3]);
  const one = client({ deadlineMs: 300 });
  await one.getHost(1, 1);
  table.close();
  agent.onReceive = () => {};
  const first = await one.tryGetHost(1, 1);
  assert.equal(first.retcode, RetCode.Success);
  assert.equal(first.host?.stale, true);
  const before = asked(agent);
  const picked = new Set<string>();
  for (let i = 0; i < 6; i++) picked.add((await one.getHost(1, 1)).ip);
  assert.equal(picked.size, 3, [...picked].join());
  assert.ok(asked(agent) - before <= 2, "at most one of these calls asked");
});
