// Goal: where a secret is set nobody without it gains anything: not as dns, not between agent and dns,
// not with what was heard before, not by datagram. Method: services as processes, strangers that speak
// raw bytes.
//
// Each attack that is known, and where else it is made:
//   no secret beyond loopback, or a short one     daemon/settings/common_settings_test.ts, daemon_test.ts
//   right, wrong and no secret                    e2e_bad_input_test.ts "with a token", session/trust_test.ts
//   a secret in a log; secrets that change        e2e_secrets_test.ts
//   a proof that is replayed, early, empty, wrong here, "what was heard"
//   silence; a forged report                      here, "what was heard"
//   datagrams: none, wrong, changed, old, twice   here, "a datagram"; session/datagram_seal_test.ts
//   a false dns; a proof that is passed on        here; session/trust_test.ts
//   answers larger than questions                 agent/worker/strangers_test.ts
//   all connections for one host                  session/session_server_test.ts

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { LarsClient } from "../api/mod.ts";
import {
  decodeGetHostResponse,
  decodeGetRouteRequest,
  decodeHello,
  decodeRefusal,
  encodeGetRouteRequest,
  encodeGetRouteResponse,
  encodeHello,
  encodeHelloProof,
  encodeReportStatusRequest,
  frameGetHostRequest,
  frameReportRequest,
} from "../proto/codec.ts";
import { agentPortIndex, HELLO_PROTOCOL, MessageId, PeerRefusal } from "../proto/message_ids.ts";
import { readDatagram } from "../proto/wire.ts";
import { RawPeer, RawServer } from "../reactor/testing/raw_peer.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { UdpClient } from "../reactor/udp/udp_client.ts";
import { Sealer } from "../session/datagram_seal.ts";
import { PROOF_TIMEOUT_MS } from "../session/handshake.ts";
import { newNonce, proofOf } from "../session/proof.ts";
import { addNodes, nodeOf, sqliteTestStore, type TestStore } from "./support/fleet.ts";
import { assertInTime } from "./support/in_time.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const SECRET = "the secret of this fleet, of which strangers know nothing";
const EVIL = { ip: 0x06060606, port: 666 };
const local = (port: number): { hostname: string; port: number } => ({
  hostname: "127.0.0.1",
  port,
});

interface Lab extends TestStore {
  readonly processes: Processes;
  serve(name: "dns" | "reporter", ...flags: string[]): Promise<TestProcess>;
  agent(dnsPort: number, ...flags: string[]): Promise<TestProcess>;
  /** Whether callers of an agent get a node of 1/1; else its return code. */
  nodeAt(agent: TestProcess): Promise<string>;
}

async function withLab(fn: (lab: Lab) => Promise<void>): Promise<void> {
  await withProcesses(async (processes) => {
    const given = await sqliteTestStore(processes);
    await addNodes(given.store, 1, 1, [nodeOf(1)]);
    const file = `${processes.directory}/secret`;
    writeFileSync(file, `${SECRET}\n`);
    const own = ["--metrics-port=0", `--auth-token-file=${file}`];
    await fn({
      ...given,
      processes,
      serve: (name, ...flags) =>
        processes.start(name, ["--reactor-port=0", `--store=${given.url}`, ...own, ...flags]),
      agent: (dnsPort, ...flags) =>
        processes.start("agent", [
          ...["--agent-port=0", `--dnsserver-ip=127.0.0.1:${dnsPort}`, "--reporter-ip=127.0.0.1:9"],
          ...own,
          ...flags,
        ]),
      async nodeAt(agent): Promise<string> {
        const client = new LarsClient({ port: agent.port(), deadlineMs: 1000 });
        try {
          const { retcode, host } = await client.tryGetHost(1, 1);
          return retcode === 0 ? `${host?.ip}:${host?.port}` : `retcode ${retcode}`;
        } finally {
          await client.close();
        }
      },
    });
    await given.store.close();
  });
}

test("a dns that proves nothing gives an agent with a secret no route, whatever it says", () =>
  withLab(async ({ agent, nodeAt }) => {
    const hello = { protocol: HELLO_PROTOCOL, software: "evil", role: "dns" };
    const welcomes = [
      encodeHello(hello),
      encodeHello({ ...hello, nonce: newNonce() }),
      encodeHello({ ...hello, nonce: newNonce(), mac: new Uint8Array(32), own: "", other: "" }),
      undefined,
    ];
    let asked = 0;
    const evil = await RawServer.listen((peer, index) => {
      const answer = (modId: number, cmdId: number): void => {
        const route = { modId, cmdId, hosts: [EVIL], revision: systemClock.wallMs() };
        void peer.send(MessageId.GetRouteResponse, encodeGetRouteResponse(route));
      };
      const welcome = welcomes[index % welcomes.length];
      if (welcome !== undefined) void peer.send(MessageId.Hello, welcome);
      answer(1, 1); // Without being asked, too.
      void until(() => {
        for (const { msgId, body } of peer.frames.splice(0)) {
          if (msgId !== MessageId.GetRouteRequest) continue;
          asked++;
          const { modId, cmdId } = decodeGetRouteRequest(body);
          answer(modId, cmdId);
        }
        return peer.closed || peer.ended;
      }, { timeoutMs: 60_000, what: "the end of the agent" }).catch(() => {});
    });
    const running = await agent(evil.address.port);
    const seen = new Set<string>();
    await until(async () => {
      seen.add(await nodeAt(running));
      return evil.peers.length > welcomes.length;
    }, { timeoutMs: 60_000, what: "a try at each of them" });
    assert.deepEqual([...seen].filter((one) => !one.startsWith("retcode")), []);
    assert.equal(asked, 0, "it is not even asked");
    assert.match(running.stderr, /No connection to dns.*the other side shows no secret/);
    await running.stop();
    evil.close();
  }));

test("who passes the words of the real dns through an agent is let in by neither", () =>
  withLab(async ({ serve, agent, nodeAt }) => {
    const dns = await serve("dns");
    const real = await RawPeer.connect(local(dns.port()));
    let passed: string | undefined;
    const between = await RawServer.listen((peer, index) => {
      if (index > 0) return;
      void (async (): Promise<void> => {
        await until(() => peer.frames.length > 0, { what: "the Hello of the agent" });
        await real.send(MessageId.Hello, peer.frames[0].body);
        await until(() => real.frames.length > 0, { what: "the answer of dns" });
        await peer.send(MessageId.Hello, real.frames[0].body);
        await until(() => peer.frames.length > 1 || peer.ended, { what: "the agent's word" });
        // If it gave its proof away, the stranger would now be in.
        for (const { msgId, body } of peer.frames.slice(1)) await real.send(msgId, body);
        const ask = encodeGetRouteRequest({ modId: 1, cmdId: 1 });
        await real.send(MessageId.GetRouteRequest, ask);
        await until(() => real.ended || real.closed, { what: "the end of the stranger" });
        passed = real.frames.some(({ msgId }) => msgId === MessageId.GetRouteResponse)
          ? "let in"
          : "refused";
      })().catch((error) => (passed = String(error)));
    });
    const running = await agent(between.address.port);
    await until(() => passed !== undefined, { timeoutMs: 20_000, what: "what came of it" });
    assert.equal(passed, "refused");
    assert.match(running.stderr, /somebody between passes this connection on/);
    assert.match(await nodeAt(running), /^retcode/);
    await until(() => /Peer (is refused|refuses)/.test(dns.stderr), { what: "the word of dns" });
    await running.stop();
    between.close();
  }));

test("what was heard of a session is worth nothing in the next one", () =>
  withLab(async ({ serve, agent, nodeAt, store }) => {
    // With translation the ends are not compared, so that the numbers of both sides alone protect.
    const dns = await serve("dns", "--auth-address-translation=1");
    const reporter = await serve("reporter");
    const heard: { msgId: number; body: Uint8Array }[] = [];
    const listener = await RawServer.listen((peer) => {
      void (async (): Promise<void> => {
        const real = await RawPeer.connect(local(dns.port()));
        await until(() => {
          for (const { msgId, body } of peer.frames.splice(0)) {
            heard.push({ msgId, body });
            void real.send(msgId, body);
          }
          for (const { msgId, body } of real.frames.splice(0)) void peer.send(msgId, body);
          return peer.closed || peer.ended;
        }, { timeoutMs: 60_000, intervalMs: 5, what: "the end of the agent" });
        real.destroy();
      })().catch(() => {});
    });
    const running = await agent(listener.address.port);
    await until(async () => /:7000$/.test(await nodeAt(running)), { what: "a route" });
    await running.stop();
    const proof = heard.find(({ msgId }) => msgId === MessageId.HelloProof);
    assert.ok(proof !== undefined);
    const others: [string, (peer: RawPeer) => Promise<void>][] = [
      ["all of it again", async (peer) => {
        for (const { msgId, body } of heard) await peer.send(msgId, body);
      }],
      ["a proof before Hello", (peer) => peer.send(MessageId.HelloProof, proof.body)],
      ["an empty proof", async (peer) => {
        await peer.send(heard[0].msgId, heard[0].body);
        await peer.send(MessageId.HelloProof, encodeHelloProof({ mac: new Uint8Array() }));
      }],
      ["a wrong proof", async (peer) => {
        await peer.send(heard[0].msgId, heard[0].body);
        await peer.send(MessageId.HelloProof, encodeHelloProof({ mac: new Uint8Array(32) }));
      }],
      ["a proof by another secret", async (peer) => {
        await peer.send(heard[0].msgId, heard[0].body);
        const mac = proofOf(new TextEncoder().encode("another secret"), proof.body);
        await peer.send(MessageId.HelloProof, encodeHelloProof({ mac }));
      }],
      [
        "no proof",
        (peer) =>
          peer.send(MessageId.GetRouteRequest, encodeGetRouteRequest({ modId: 1, cmdId: 1 })),
      ],
    ];
    for (const [what, speak] of others) {
      const stranger = await RawPeer.connect(local(dns.port()));
      await speak(stranger);
      const ask = encodeGetRouteRequest({ modId: 1, cmdId: 1 });
      await stranger.send(MessageId.GetRouteRequest, ask);
      await until(() => stranger.ended || stranger.closed, { what: `the end after ${what}` });
      const ids = stranger.frames.map(({ msgId }) => msgId);
      assert.ok(!ids.includes(MessageId.GetRouteResponse), what);
      const refusal = stranger.frames.find(({ msgId }) => msgId === MessageId.Refusal);
      if (refusal !== undefined) {
        const { WrongSecret, NoSecret } = PeerRefusal;
        const { reason } = decodeRefusal(refusal.body);
        assert.ok(reason === WrongSecret || reason === NoSecret, what);
      }
    }
    const silent = await RawPeer.connect(local(dns.port()));
    const startMs = systemClock.nowMs();
    await until(() => silent.ended || silent.closed, {
      timeoutMs: 5 * PROOF_TIMEOUT_MS,
      what: "the end of one that says nothing",
    });
    assertInTime(
      "one that says nothing is closed",
      systemClock.nowMs() - startMs,
      PROOF_TIMEOUT_MS,
    );
    const nonces = new Set<string>();
    for (let index = 0; index < 3; index++) {
      const asker = await RawPeer.connect(local(dns.port()));
      await asker.send(heard[0].msgId, heard[0].body);
      await until(() => asker.frames.length > 0, { what: "a number of dns" });
      nonces.add(String(decodeHello(asker.frames[0].body).nonce));
      asker.destroy();
    }
    assert.equal(nonces.size, 3, "each connection has a number of its own");
    const forger = await RawPeer.connect(local(reporter.port()));
    const result = { ip: nodeOf(1).ip, port: 7000, succ: 99, err: 0, overload: false };
    const report = { modId: 1, cmdId: 1, caller: 7, results: [result], ts: 1 };
    await forger.send(MessageId.ReportStatusRequest, encodeReportStatusRequest(report));
    await until(() => forger.ended || forger.closed, { what: "the end of the forger" });
    assert.deepEqual(await store.readCallStatus(), []);
    listener.close();
  }));

const outside = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

test("a datagram from another host counts with a good seal, and once", {
  skip: outside === undefined ? "this machine has no address but loopback" : false,
}, () =>
  withLab(async ({ serve, agent, nodeAt }) => {
    const dns = await serve("dns");
    const running = await agent(dns.port(), "--agent-ip=0.0.0.0");
    await until(async () => /:7000$/.test(await nodeAt(running)), { what: "a route" });
    const port = running.port(agentPortIndex(1, 1));
    const stranger = await UdpClient.open({ hostname: outside ?? "", port });
    const secret = new TextEncoder().encode(SECRET);
    const sealer = new Sealer(newNonce(), proofOf, () => systemClock.wallMs());
    const ask = frameGetHostRequest({ seq: 1, modId: 1, cmdId: 1 });
    const good = sealer.seal(frameGetHostRequest({ seq: 2, modId: 1, cmdId: 1 }), secret);
    const changed = good.slice();
    changed[10] ^= 1;
    const old = new Sealer(newNonce(), proofOf, () => systemClock.wallMs() - 3_600_000);
    const forged = [ask, sealer.seal(ask, secret.slice(1)), changed, old.seal(ask, secret)];
    for (const bytes of forged) stranger.send(bytes);
    const failure = { modId: 1, cmdId: 1, host: nodeOf(1), retcode: 1 };
    for (let index = 0; index < 40; index++) stranger.send(frameReportRequest(failure));
    for (let index = 0; index < 3; index++) stranger.send(good);
    const last = sealer.seal(frameGetHostRequest({ seq: 3, modId: 1, cmdId: 1 }), secret);
    stranger.send(last);
    const answers: number[] = [];
    for (let index = 0; index < 2; index++) {
      const bytes = (await stranger.receive(5000)).slice();
      assert.ok(sealer.isAnswer(bytes, secret));
      const { seq, retcode } = decodeGetHostResponse(readDatagram(bytes).body);
      assert.equal(retcode, 0, "forged failures have put nothing out");
      answers.push(seq);
    }
    assert.deepEqual(answers.sort(), [2, 3], "each good one once, and nothing else");
    stranger.close();
    await running.stop();
  }));
