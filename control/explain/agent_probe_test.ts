import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeGetRouteRequest, frameGetRouteResponse } from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { ConnectError, TimeoutError } from "../../reactor/errors.ts";
import { freePort } from "../../tests/support/free_port.ts";
import { withProcesses } from "../../tests/support/processes.ts";
import { isOriginalAgent, probeAgent } from "./agent_probe.ts";

type Taker = (index: number, bytes: Uint8Array, answer: (bytes: Uint8Array) => void) => void;

/** Three ports in a row, of which somebody else may have one already. */
async function bindThree(
  take: Taker,
): Promise<{ first: number; sockets: { close(): void }[] }> {
  for (let tries = 0; tries < 20; tries++) {
    const first = await freePort();
    const bound = await Promise.allSettled([0, 1, 2].map(async (index) => {
      const socket = await runtime.bindUdp({
        hostname: "127.0.0.1",
        port: first + index,
        onDatagram: (bytes, from) => take(index, bytes, (answer) => void socket.send(answer, from)),
        onError: () => {},
      });
      return socket;
    }));
    const sockets = bound.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    if (sockets.length === 3) return { first, sockets };
    for (const socket of sockets) socket.close();
  }
  throw new Error("no three ports in a row are free");
}

/** What an agent of the original answers on its three ports: no Hello, lists of nodes. */
async function withOriginal(
  fn: (port: number, asked: readonly string[]) => Promise<void>,
): Promise<void> {
  const asked: string[] = [];
  const { first, sockets } = await bindThree((index, bytes, answer) => {
    const { msgId, body } = readDatagram(bytes);
    if (msgId !== MessageId.ApiGetRouteRequest) return;
    const { modId, cmdId } = decodeGetRouteRequest(body);
    asked.push(`${index}: ${modId},${cmdId}`);
    answer(frameGetRouteResponse({ modId, cmdId, hosts: [] }));
  });
  try {
    await fn(first, asked);
  } finally {
    for (const socket of sockets) socket.close();
  }
}

test("an agent of the original is known by what it answers, on the port of the module", async () => {
  await withOriginal(async (port, asked) => {
    const agent = { hostname: "127.0.0.1", port };
    await assert.rejects(probeAgent(agent), TimeoutError);
    assert.equal(await isOriginalAgent(agent, { modId: 4294967295, cmdId: 3 }), true);
    assert.equal(await isOriginalAgent(agent, { modId: 0, cmdId: 0 }), true);
    assert.deepEqual([...new Set(asked)], ["0: 4294967295,3", "2: 1,1"], "never (0,0)");
  });
  const nobody = { hostname: "127.0.0.1", port: await freePort() };
  assert.equal(await isOriginalAgent(nobody, { modId: 1, cmdId: 1 }), false);
});

test("a host of an agent that has no address is a fault that names it", async () => {
  await assert.rejects(probeAgent({ hostname: "nohost.invalid", port: 8888 }), (error) => {
    assert.ok(error instanceof ConnectError);
    assert.match(
      error.message,
      /^nohost\.invalid:8888: the host has no IPv4 address \(is its name right/,
    );
    return true;
  });
});

test("lars status, doctor and explain say that an agent is one of the original", async () => {
  await withOriginal((port) =>
    withProcesses(async (processes) => {
      const lars = (...args: string[]): ReturnType<typeof processes.run> =>
        processes.run("tools/lars.ts", [...args, "--agent", `127.0.0.1:${port}`], {
          cwd: processes.directory,
        });
      const status = await lars("status");
      assert.match(status.stdout, /agent {5}an agent of the original answers at 127\.0\.0\.1:\d+/);
      const json = JSON.parse((await lars("status", "--json")).stdout);
      assert.deepEqual([json.agent.ok, json.agent.original], [true, true]);
      const doctor = JSON.parse((await lars("doctor", "--json")).stdout);
      const [found] = (doctor.findings ?? doctor).filter(({ subject }: { subject: string }) =>
        subject === "agent"
      );
      assert.equal(found.level, "ok", found.seen);
      assert.match(found.seen, /an agent of the original/);
      const explained = await lars("explain", "1", "1");
      assert.equal(explained.code, 1);
      assert.match(explained.stderr, /is an agent of the original: .*cannot say why/);
    })
  );
});
