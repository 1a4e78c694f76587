// Goal: the clients in C and C++ seal what they send to another host, and believe sealed answers only.
// Method: a server on an address of this host that is not loopback, which judges as the agent does.

import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { decodeGetHostRequest, frameGetHostResponse } from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { readDatagram } from "../../proto/wire.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { SealJudge } from "../../session/datagram_seal.ts";
import { proofOf } from "../../session/proof.ts";
import { Secrets } from "../../session/secrets.ts";
import { CLIENT_TESTS_TIMEOUT_MS, makeClient } from "../../tests/support/client_tests.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { ClientDriver } from "../conformance/driver.ts";

const TOKEN = "the-secret-of-both-ends";

const ownAddress = Object.values(networkInterfaces()).flat()
  .find((one) => one?.family === "IPv4" && !one.internal)?.address;

/** An agent that takes what is sealed, and answers with a seal. */
interface SealingAgent {
  readonly port: number;
  /** Messages whose seal was good, by id; and why others were refused. */
  readonly taken: number[];
  readonly refused: string[];
  /** What is done to an answer before it leaves. */
  spoil: (sealed: Uint8Array, plain: Uint8Array) => Uint8Array;
  close(): void;
}

async function startAgent(address: string): Promise<SealingAgent> {
  const secrets = new Secrets([new TextEncoder().encode(TOKEN)]);
  const judge = new SealJudge(secrets, proofOf, () => systemClock.wallMs());
  const socket: Socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, address, () => resolve()));
  const agent: SealingAgent = {
    port: socket.address().port,
    taken: [],
    refused: [],
    spoil: (sealed) => sealed,
    close: () => void socket.close(),
  };
  socket.on("message", (datagram, from) => {
    const verdict = judge.judge(new Uint8Array(datagram));
    if ("refused" in verdict) return void agent.refused.push(verdict.refused);
    const { msgId, body } = readDatagram(new Uint8Array(datagram));
    agent.taken.push(msgId);
    if (msgId !== MessageId.GetHostRequest) return;
    const { seq, modId, cmdId } = decodeGetHostRequest(body);
    const host = { ip: 0x0a000001, port: 80 };
    const plain = frameGetHostResponse({ seq, modId, cmdId, retcode: 0, host });
    socket.send(agent.spoil(verdict.answer(plain), plain), from.port, from.address);
  });
  return agent;
}

for (const folder of ["c", "cpp"]) {
  const options = { timeout: CLIENT_TESTS_TIMEOUT_MS, skip: ownAddress === undefined };
  test(
    `${folder}: datagrams to another host are sealed, and so must be answers`,
    options,
    async () => {
      const out = makeTempDir(`lars-${folder}-seals-`);
      const agent = await startAgent(ownAddress ?? "");
      try {
        makeClient(folder, out.path, "driver");
        const driver = await ClientDriver.start([`${out.path}/driver`]);
        try {
          await talk(driver, agent);
        } finally {
          await driver.close();
        }
      } finally {
        agent.close();
        out.remove();
      }
    },
  );
}

async function talk(driver: ClientDriver, agent: SealingAgent): Promise<void> {
  const ports = new Array(3).fill(agent.port).join();
  const where = `host=${ownAddress} ports=${ports} table= first_route_ms=0 last_good_ms=0`;
  const open = (token: string, deadlineMs: number): Promise<string> =>
    driver.run(`open ${where} deadline_ms=${deadlineMs} token=${token}`);
  assert.equal(await open(TOKEN, 20_000), "ok");
  assert.match(await driver.run("get_host 1 1"), /^host 10\.0\.0\.1:80/);
  assert.equal(await driver.run("report 1 1 10.0.0.1 80 0 5"), "ok");
  await until(() => agent.taken.includes(MessageId.ReportRequest), { what: "the report" });
  assert.deepEqual(agent.refused, []);
  const garbage = async (): Promise<number> =>
    Number(/ garbage=(\d+)/.exec(await driver.run("stats"))?.[1]);
  const spoils: SealingAgent["spoil"][] = [
    (_sealed, plain) => plain,
    (sealed) => sealed.with(12, sealed[12] ^ 1),
  ];
  for (const spoil of spoils) {
    agent.spoil = spoil;
    // An answer that comes too late to be looked at proves nothing.
    const before = await garbage();
    await until(async () => {
      assert.match(await driver.run("get_host 1 1 deadline_ms=50"), /^error timeout/);
      return await garbage() > before;
    }, { what: "an answer that is not believed" });
  }
  agent.spoil = (sealed): Uint8Array => sealed;
  assert.equal(await open("another", 50), "ok");
  assert.match(await driver.run("get_host 1 1"), /^error timeout/);
  await until(() => agent.refused.length > 0, { what: "the question" });
  assert.match(agent.refused[0], /secret is another one/);
}
