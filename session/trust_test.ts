// Goal: both sides prove themselves, nobody between them gains anything, and secrets are replaced
// while connections stand. Method: real sockets; somebody between passes bytes on.

import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { decodeHello, decodeRefusal, encodeHello, encodeHelloProof } from "../proto/codec.ts";
import { MessageId, PeerRefusal } from "../proto/message_ids.ts";
import {
  type Address,
  type LogFields,
  type Logger,
  seededRng,
  silentLogger,
  systemClock,
} from "../reactor/mod.ts";
import { RawPeer, RawServer } from "../reactor/testing/raw_peer.ts";
import { until } from "../tests/support/until.ts";
import { refusalText } from "./handshake.ts";
import { proofOf } from "./proof.ts";
import { runtimeTransport } from "./runtime_transport.ts";
import { Secrets } from "./secrets.ts";
import { SessionClient, type SessionClientOptions } from "./session_client.ts";
import { SessionServer, type SessionServerInit } from "./session_server.ts";

const secret = (text: string): Uint8Array => new TextEncoder().encode(text.padEnd(20, "."));
const [first, second, third] = ["first", "second", "third"].map(secret);

interface Service {
  readonly address: Address;
  readonly server: SessionServer;
  readonly heard: string[];
  readonly log: string[];
  close(): Promise<void>;
}

async function serve(
  secrets: readonly Uint8Array[] | undefined,
  init: Partial<SessionServerInit> = {},
): Promise<Service> {
  const log: string[] = [];
  const warn = (message: string, fields: LogFields = {}): unknown =>
    log.push(`${message}: ${fields.reason}`);
  const server = new SessionServer({
    role: "dns",
    init: { hostname: "127.0.0.1", connectionsMax: 100, software: "s/1", secrets, ...init },
    clock: systemClock,
    log: { ...silentLogger, warn } as Logger,
  });
  const heard: string[] = [];
  server.router.add(200, (body) => heard.push(new TextDecoder().decode(body)));
  const address = await server.listen(0, false);
  return { address, server, heard, log, close: () => server.close() };
}

interface Caller {
  readonly link: SessionClient;
  readonly faults: string[];
  readonly secrets: Secrets | undefined;
}

function call(
  address: Address,
  all: readonly Uint8Array[] | undefined,
  options: Partial<SessionClientOptions> = {},
): Caller {
  const faults: string[] = [];
  const secrets = all === undefined ? undefined : new Secrets(all);
  const link = new SessionClient({
    ...{ name: "dns", role: "agent", software: "c/1", addresses: [address], secrets },
    ...{ transport: runtimeTransport, clock: systemClock, rng: seededRng(1), log: silentLogger },
    onReady: () => void link.send(200, new TextEncoder().encode("a secret matter")),
    onLost: () => {},
    onFault: (reason) => faults.push(reason),
    ...options,
  });
  link.start();
  return { link, faults, secrets };
}

const them = (reason: number): string => refusalText(reason, "them");
const us = (reason: number): string => refusalText(reason, "us");

test("who has which secret decides whether anything is said, and both sides say why not", async () => {
  const { NoSecret, WrongSecret } = PeerRefusal;
  const table: {
    mine: Uint8Array[] | undefined;
    theirs: Uint8Array[] | undefined;
    client?: string;
    server?: string;
  }[] = [
    { mine: undefined, theirs: undefined },
    { mine: [first], theirs: [first] },
    { mine: [first], theirs: [second, first] },
    { mine: [second, first], theirs: [first] },
    { mine: [first, second], theirs: [second, third] },
    { mine: [first], theirs: [second], client: us(WrongSecret), server: them(WrongSecret) },
    { mine: [first], theirs: undefined, client: us(NoSecret), server: them(NoSecret) },
    { mine: undefined, theirs: [first], client: them(NoSecret), server: us(NoSecret) },
  ];
  for (const { mine, theirs, client, server } of table) {
    const service = await serve(theirs);
    const { link, faults } = call(service.address, mine);
    if (client === undefined) {
      await until(() => service.heard.length === 1, { what: "what was to be said" });
      assert.equal(link.secretFault, undefined);
    } else {
      await until(() => faults.includes(client) && service.log.length > 0, { what: client });
      assert.equal(link.secretFault, client);
      assert.ok(service.log.some((line) => line.endsWith(String(server))), service.log.join("\n"));
      assert.deepEqual(service.heard, []);
      assert.equal(service.server.refusedHostCount, 1);
    }
    await link.close();
    await service.close();
  }
});

/** Passes bytes on to `target` and back. */
async function between(target: Address): Promise<{ address: Address; close(): void }> {
  const sockets: Socket[] = [];
  const server: Server = createServer((near) => {
    const far = connect(target.port, target.hostname);
    sockets.push(near, far);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on("data", (bytes) => void to.write(bytes)).on("error", () => {})
        .on("close", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    address: { hostname: "127.0.0.1", port },
    close(): void {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test("one who passes everything on is found out by both sides, unless translation is expected", async () => {
  for (const translated of [false, true]) {
    const service = await serve([first], { translated });
    const relay = await between(service.address);
    const { link, faults } = call(relay.address, [first]);
    if (translated) {
      await until(() => service.heard.length === 1, { what: "the message through the proxy" });
    } else {
      const reason = us(PeerRefusal.PassedOn);
      await until(() => faults.includes(reason), { what: "the refusal" });
      await until(() => service.log.length > 0, { what: "the server's word of it" });
      assert.deepEqual(service.heard, []);
    }
    await link.close();
    relay.close();
    await service.close();
  }
});

test("a server is not let in with what a client of its own says to it", async () => {
  // Says Hello to the real service with the client's own nonce, and hands the answer on.
  const service = await serve([first]);
  const real = await RawPeer.connect(service.address);
  const fake = await RawServer.listen((peer) => {
    void (async (): Promise<void> => {
      await until(() => peer.frames.length > 0, { what: "the client's Hello" });
      void real.send(MessageId.Hello, peer.frames[0].body);
      await until(() => real.frames.length > 0, { what: "the service's answer" });
      void peer.send(MessageId.Hello, real.frames[0].body);
      await until(() => peer.frames.length > 1, { what: "the client's word" });
      const { msgId, body } = peer.frames[1];
      void real.send(msgId, body);
    })();
  });
  const { link, faults } = call(fake.address, [first]);
  await until(() => faults.length > 0, { what: "the refusal" });
  assert.equal(faults[0], us(PeerRefusal.PassedOn));
  void real.send(200, new Uint8Array());
  await until(() => real.ended, { what: "the end of the stranger" });
  assert.deepEqual(service.heard, []);
  await link.close();
  fake.close();
  await service.close();
});

test("builds of before are refused with a reason, on either side", async () => {
  const service = await serve([first]);
  const old = await RawPeer.connect(service.address);
  await old.send(MessageId.Hello, encodeHello({ protocol: 1, software: "old", role: "agent" }));
  await until(() => old.frames.length >= 2, { what: "the answers" });
  const { nonce = new Uint8Array() } = decodeHello(old.frames[0].body);
  await old.send(MessageId.HelloProof, encodeHelloProof({ mac: proofOf(first, nonce) }));
  await until(() => old.ended, { what: "the end" });
  assert.equal(decodeRefusal(old.frames[1].body).reason, PeerRefusal.OldProof);
  assert.match(service.log[0], /upgrade it/);
  await service.close();
  const server = await RawServer.listen((peer) => {
    const hello = { protocol: 1, software: "old", role: "dns", nonce: new Uint8Array(16) };
    void peer.send(MessageId.Hello, encodeHello(hello));
  });
  const { link, faults } = call(server.address, [first]);
  await until(() => faults.length > 0, { what: "the refusal" });
  assert.equal(faults[0], us(PeerRefusal.OldProof));
  await link.close();
  server.close();
});

test("a service that wants no proof gives its own to those who ask", async () => {
  const service = await serve([first], { wantsProof: false });
  for (const mine of [undefined, [first]]) {
    const { link } = call(service.address, mine);
    await until(() => link.extended, { what: "the session" });
    assert.equal(link.proved, mine !== undefined);
    await link.close();
  }
  const wrong = call(service.address, [second]);
  await until(() => wrong.link.secretFault !== undefined, { what: "the refusal" });
  await wrong.link.close();
  await service.close();
});

test("secrets are replaced while connections stand: only those of the old one end", async () => {
  const service = await serve([first]);
  const caller = call(service.address, [first]);
  await until(() => service.heard.length === 1, { what: "the session" });
  service.server.setTrust({ secrets: [second, first] });
  caller.secrets?.replace([second, first]);
  const late = call(service.address, [second]);
  await until(() => service.heard.length === 2, { what: "one with the new secret" });
  assert.equal(caller.link.connectCount, 1, "a valid secret is left alone");
  service.server.setTrust({ secrets: [second] });
  await until(() => caller.link.connectCount === 2 && service.heard.length === 3, {
    what: "the return with the new secret",
  });
  assert.equal(late.link.connectCount, 1);
  caller.secrets?.replace([third]);
  await until(() => caller.link.secretFault !== undefined, { what: "the client's own change" });
  caller.secrets?.replace([second]);
  await until(() => service.heard.length === 4, { what: "the way back" });
  assert.equal(caller.link.secretFault, undefined);
  for (const { link } of [caller, late]) await link.close();
  await service.close();
});
