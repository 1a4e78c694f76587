// Goal: sessions over TLS stand between those whose certificates say so, end when they do no more, and
// whoever is refused and whoever refuses says why. Method: real sockets, certificates made here.

import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate } from "node:timers";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { MessageId, PeerRefusal } from "../../proto/message_ids.ts";
import { encodeHello } from "../../proto/codec.ts";
import { encodeFrame } from "../../reactor/frame.ts";
import {
  type Address,
  type Connection,
  type LogFields,
  type Logger,
  seededRng,
  silentLogger,
  systemClock,
} from "../../reactor/mod.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { OUTPUT_BYTES_MAX } from "../../reactor/tcp/tcp_server.ts";
import { RawPeer } from "../../reactor/testing/raw_peer.ts";
import { until } from "../../tests/support/until.ts";
import { refusalText } from "../handshake.ts";
import { newNonce, proofOf } from "../proof.ts";
import { Secrets } from "../secrets.ts";
import { SessionClient, type SessionClientOptions } from "../session_client.ts";
import { SessionServer } from "../session_server.ts";
import { FleetCertificates } from "../testing/fleet_certificates.ts";
import { readCertificate } from "./certificate_check.ts";
import { tlsConnector } from "./tls_client.ts";
import { TlsIdentity, type TlsMaterial } from "./tls_identity.ts";

interface Service {
  readonly address: Address;
  readonly server: SessionServer;
  readonly heard: string[];
  readonly peers: Connection[];
  readonly log: string[];
  readonly closes: string[];
}

const TEXT = 200;

async function serve(
  tls: TlsMaterial,
  body: (service: Service) => Promise<void>,
  secrets?: readonly Uint8Array[],
): Promise<void> {
  const log: string[] = [];
  const closes: string[] = [];
  const warn = (message: string, { certificate, reason }: LogFields = {}): unknown =>
    log.push(`${message}: ${certificate ?? "nobody"}: ${reason}`);
  const server = new SessionServer({
    role: "dns",
    init: { hostname: "127.0.0.1", connectionsMax: 1000, software: "s/1", secrets, tls },
    clock: systemClock,
    log: { ...silentLogger, warn } as Logger,
    onClose: (peer) => void closes.push(peer.peerCertificate?.subject ?? "nobody"),
  });
  const heard: string[] = [];
  const peers: Connection[] = [];
  server.router.add(TEXT, (bytes, peer) => {
    heard.push(new TextDecoder().decode(bytes));
    peers.push(peer);
    peer.send(TEXT, bytes);
  }).add(MessageId.RouteChanged, () => heard.push("routes changed"));
  const address = await server.listen(0, false);
  try {
    await body({ address, server, heard, peers, log, closes });
  } finally {
    await server.close();
  }
}

interface Caller {
  readonly link: SessionClient;
  readonly faults: string[];
  readonly answers: string[];
}

const callers: SessionClient[] = [];

function call(
  address: Address,
  identity: TlsIdentity,
  options: Partial<SessionClientOptions> = {},
): Caller {
  const faults: string[] = [];
  const answers: string[] = [];
  const { connectTcp } = tlsConnector({ identity, plain: runtime });
  const link = new SessionClient({
    ...{ name: "dns", role: "agent", software: "c/1", addresses: [address], secrets: undefined },
    transport: { connectTcp, prove: proofOf, newNonce },
    ...{ clock: systemClock, rng: seededRng(1), log: silentLogger },
    onReady: () => void link.send(TEXT, new TextEncoder().encode("hello")),
    onLost: () => {},
    onFault: (reason) => faults.push(reason),
    ...options,
  });
  link.router.add(TEXT, (body) => answers.push(new TextDecoder().decode(body)));
  callers.push(link);
  link.start();
  return { link, faults, answers };
}

/** Runs `body` and ends all that called in it. */
async function ending(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } finally {
    for (const link of callers.splice(0)) await link.close();
  }
}

const fleet = await FleetCertificates.make();
const foreign = await FleetCertificates.make("foreign");

test("a session over TLS stands, with a secret inside of it as well", () =>
  ending(async () => {
    const secret = new TextEncoder().encode("a secret of twenty bytes");
    for (const secrets of [undefined, [secret]]) {
      await serve(await fleet.material(["dns"]), async ({ address, server, peers }) => {
        const identity = new TlsIdentity(await fleet.material(["agent"]));
        const caller = call(address, identity, {
          secrets: secrets === undefined ? undefined : new Secrets(secrets),
        });
        await until(() => caller.answers.length === 1, { what: "the answer" });
        assert.equal(caller.link.extended, true);
        assert.deepEqual(peers[0].peerCertificate?.uris, ["lars:role:agent"]);
        assert.equal(peers[0].peerCertificate?.subject, "CN=agent");
        assert.deepEqual(
          [server.stats().connections_tls, server.stats().tls_handshakes],
          [1, 1],
        );
      }, secrets);
    }
  }));

test("certificates decide who is served, and both sides say why not", () =>
  ending(async () => {
    const wrongRole = (by: "us" | "them", role: string): string =>
      refusalText(PeerRefusal.WrongRole, by, role);
    const day = 86_400_000;
    const now = systemClock.wallMs();
    const refused = await fleet.material(["agent"]);
    const { fingerprint } = readCertificate(refused.cert);
    const old = await fleet.pair("old", ["agent"], 1, now - 3 * day);
    const dns = await fleet.material(["dns"], { refused: [fingerprint] });
    const reporter = await fleet.material(["reporter"]);
    const agent = await fleet.material(["agent"]);
    const table: {
      what: string;
      mine: TlsMaterial;
      theirs?: TlsMaterial;
      role?: string;
      client?: string | RegExp;
      server?: string | RegExp;
    }[] = [
      { what: "its role", mine: agent },
      { what: "one of several roles", mine: await fleet.material(["relay", "agent", "client"]) },
      { what: "an editor", mine: await fleet.material(["editor"]), role: "writer" },
      {
        what: "another role",
        mine: await fleet.material(["reporter"]),
        client: wrongRole("them", "agent"),
        server: `CN=reporter: ${wrongRole("us", "agent")}`,
      },
      {
        what: "a role that has no business here",
        mine: await fleet.material(["registrar"]),
        role: "node",
        client: wrongRole("them", "node"),
        server: `CN=registrar: ${wrongRole("us", "node")}`,
      },
      {
        what: "a service that is another",
        mine: agent,
        theirs: reporter,
        client: wrongRole("us", "dns"),
        server: `CN=agent: ${wrongRole("them", "dns")}`,
      },
      {
        what: "a caller of another authority",
        mine: { ...await foreign.material(["agent"]), ca: fleet.authority.cert },
        client: /it may not take the certificate of \[tls\] cert here \(CN=agent, valid until/,
        server: /^Connection refused: nobody: TLS: .*signed by none of \[tls\] ca here/,
      },
      {
        what: "a service of another authority",
        mine: { ...agent, ca: foreign.authority.cert },
        client: /TLS: its certificate is signed by none of \[tls\] ca here/,
      },
      {
        what: "a certificate that has expired",
        mine: { ...agent, ...old },
        client: /it may not take the certificate of \[tls\] cert here \(CN=old, valid until/,
        server: /TLS: .*(not valid now|has expired)/,
      },
      {
        what: "a certificate that is refused",
        mine: refused,
        client: /it may not take the certificate/,
        server: `CN=agent: its certificate is one of [tls] refused: ${fingerprint}`,
      },
      {
        what: "a caller without TLS",
        mine: { ...agent, plain: "use" },
        client: /closed|reset/,
        server: /^Connection refused: nobody: it speaks no TLS/,
      },
    ];
    for (const { what, mine, theirs = dns, role = "agent", client, server } of table) {
      await serve(theirs, async ({ address, heard, log }) => {
        const caller = call(address, new TlsIdentity(mine), { role });
        const has = (all: string[], wanted: string | RegExp): boolean =>
          all.some((one) => typeof wanted === "string" ? one.endsWith(wanted) : wanted.test(one));
        const shown = (): string => `${what}: ${caller.faults} | ${log.join("\n")}`;
        if (client === undefined) {
          await until(() => caller.answers.length === 1, { what: shown() });
          assert.deepEqual(log, [], what);
        } else {
          await until(() => has(caller.faults, client), { what: shown() }).catch((error) => {
            throw new Error(shown(), { cause: error });
          });
          if (server !== undefined) {
            await until(() => has(log, server), { what: shown() }).catch((error) => {
              throw new Error(shown(), { cause: error });
            });
          }
          assert.deepEqual(heard, [], what);
        }
        await caller.link.close();
      });
    }
  }));

test("a role may send what is its own, and one of the original counts as an agent", () =>
  ending(async () => {
    await serve(await fleet.material(["dns"]), async ({ address, heard, log }) => {
      const identity = async (role: string): Promise<TlsIdentity> =>
        new TlsIdentity(await fleet.material([role]));
      const tell = { onReady: () => {}, welcomeWaitMs: Infinity };
      const editor = call(address, await identity("editor"), { ...tell, role: "writer" });
      await until(() => editor.link.ready);
      editor.link.send(MessageId.RouteChanged, new Uint8Array());
      await until(() => heard.length === 1, { what: "the change" });
      const agent = call(address, await identity("agent"), tell);
      await until(() => agent.link.ready);
      agent.link.send(MessageId.RouteChanged, new Uint8Array());
      await until(() => agent.faults.length > 0, { what: "the refusal" });
      assert.equal(heard.length, 1);
      for (const [role, isServed] of [["agent", true], ["editor", false]] as const) {
        const { cert, key } = await fleet.material([role]);
        const socket = await speak(address, { cert, key });
        socket.write(encodeFrame(TEXT, new Uint8Array(3)));
        await until(() => isServed ? heard.length === 2 : socket.destroyed, { what: role });
        socket.destroy();
      }
      const second = await speak(address, await fleet.material(["agent"]));
      const hello = (role: string): Uint8Array =>
        encodeFrame(MessageId.Hello, encodeHello({ protocol: 2, software: "x", role }));
      second.write(hello("agent"));
      second.write(hello("writer"));
      await until(() => second.destroyed, { what: "who changes its role to be left" });
      assert.ok(log.some((line) => line.includes("in the role agent")), log.join("\n"));
    });
  }));

/** A socket of TLS, secured. */
function speak({ hostname: host, port }: Address, pair: Partial<TlsMaterial>): Promise<TLSSocket> {
  const { cert, key } = pair;
  const socket = connectTls({
    ...{ host, port, cert, key, ca: fleet.authority.cert },
    checkServerIdentity: () => undefined,
  });
  // Without one that reads, the end is not seen.
  socket.on("error", () => {}).resume();
  return new Promise((resolve, reject) => {
    socket.once("secureConnect", () => resolve(socket)).once("close", reject);
  });
}

test("peers without TLS are served where the setting says so", () =>
  ending(async () => {
    for (
      const [plain, isServed] of [
        ["off", false],
        ["loopback", true],
        ["accept", true],
        ["use", true],
      ] as const
    ) {
      await serve(await fleet.material(["dns"], { plain }), async ({ address, heard, server }) => {
        const raw = await RawPeer.connect(address);
        await raw.send(TEXT, new Uint8Array(1));
        await until(() => isServed ? raw.frames.length === 1 : raw.ended || raw.closed);
        assert.equal(heard.length, Number(isServed), plain);
        const caller = call(address, new TlsIdentity(await fleet.material(["agent"])));
        await until(() => caller.answers.length === 1, { what: "the one over TLS" });
        // Whoever calls without TLS where it may.
        const same = call(address, new TlsIdentity(await fleet.material(["agent"], { plain })));
        await until(() => same.answers.length === 1);
        const encrypted = plain === "loopback" || plain === "use" ? 1 : 2;
        assert.equal(server.stats().connections_tls, encrypted, plain);
        raw.destroy();
      });
    }
  }));

test("new certificates are taken while connections stand, in three steps for a new root", () =>
  ending(async () => {
    const next = await FleetCertificates.make("next");
    const both = fleet.authority.cert + next.authority.cert;
    await serve(await fleet.material(["dns"]), async ({ address, server, log }) => {
      const identity = new TlsIdentity(await fleet.material(["agent"]));
      const caller = call(address, identity);
      await until(() => caller.answers.length === 1);
      const secrets = undefined;
      // 1. Both roots everywhere. 2. New certificates. 3. The new root alone.
      server.setTrust({ secrets, tls: await fleet.material(["dns"], { ca: both }) });
      identity.replace(await fleet.material(["agent"], { ca: both }));
      server.setTrust({ secrets, tls: await next.material(["dns"], { ca: both }) });
      identity.replace(await next.material(["agent"], { ca: both }));
      const second = call(address, identity);
      await until(() => second.answers.length === 1);
      assert.equal(caller.link.connectCount, 1, "nothing was interrupted");
      const third = call(address, new TlsIdentity(await fleet.material(["agent"], { ca: both })));
      await until(() => third.answers.length === 1, { what: "one that has its old certificate" });
      server.setTrust({ secrets, tls: await next.material(["dns"]) });
      await until(() => caller.link.connectCount === 2, { what: "the old session to come again" });
      await until(() => caller.answers.length === 2);
      assert.equal(second.link.connectCount, 1);
      await until(() => third.faults.some((one) => /may not take the certificate/.test(one)));
      assert.ok(log.some((line) => line.includes("[tls] ca any more")), log.join("\n"));
      // The caller ends what it believes no more as well.
      identity.replace(await next.material(["agent"], { ca: fleet.authority.cert }));
      await until(() => second.faults.some((one) => /signed by none of \[tls\] ca/.test(one)));
    });
  }));

test("a certificate that is refused from now on ends its connections", () =>
  ending(async () => {
    const dns = await fleet.material(["dns"]);
    await serve(dns, async ({ address, server }) => {
      const material = await fleet.material(["agent"]);
      const bad = call(address, new TlsIdentity(material));
      const good = call(address, new TlsIdentity(await fleet.material(["agent"])));
      await until(() => bad.answers.length === 1 && good.answers.length === 1);
      const refused = [readCertificate(material.cert).fingerprint];
      server.setTrust({ secrets: undefined, tls: { ...dns, refused } });
      await until(() => bad.faults.length >= 2, { what: "the one that is refused to be left" });
      assert.equal(good.link.connectCount, 1);
      assert.equal(bad.answers.length, 1);
    });
  }));

test("handshakes fail and come in crowds, and each connection gets its own", () =>
  ending(async () => {
    await serve(await fleet.material(["dns"]), async ({ address, heard, server }) => {
      const pairs = await Promise.all(
        Array.from({ length: 8 }, (_, index) => fleet.pair(`agent-${index}`, ["agent"])),
      );
      const { authority: { cert: ca } } = fleet;
      const strange = await foreign.material(["agent"], { ca });
      for (let round = 0; round < 5; round++) {
        const bad = [strange, {}].map((pair) => speak(address, pair).catch(() => undefined));
        const torn = connect(address.port, address.hostname).on("error", () => {});
        torn.write(new Uint8Array([0x16, 3, 1, 2, 0, 1]));
        torn.end();
        const sockets = await Promise.all(pairs.map((pair) => speak(address, pair)));
        const before = heard.length;
        sockets.forEach((socket, index) =>
          socket.write(encodeFrame(TEXT, new TextEncoder().encode(`agent-${index}`)))
        );
        await until(() => heard.length === before + 8);
        for (const socket of [...sockets, ...await Promise.all(bad)]) socket?.destroy();
      }
      await until(() => server.stats().connections === 0, { what: "all to be gone" });
      assert.equal(server.stats().connections_tls, 0);
    });
  }));

test("each message comes from the certificate that its connection has shown", () =>
  ending(async () => {
    await serve(await fleet.material(["dns"]), async ({ address, heard, peers }) => {
      const pairs = await Promise.all(
        Array.from({ length: 40 }, (_, index) => fleet.pair(`agent-${index}`, ["agent"])),
      );
      await Promise.all(pairs.map(async (pair, index) => {
        const socket = await speak(address, pair);
        socket.write(encodeFrame(TEXT, new TextEncoder().encode(`CN=agent-${index}`)));
      }));
      await until(() => heard.length === 40);
      assert.deepEqual(heard, peers.map((peer) => peer.peerCertificate?.subject));
      for (const peer of peers) peer.close();
    });
  }));

/** Passes bytes on to `target` and back, until it is told to bring none back. */
async function between(target: Address): Promise<{ address: Address; stop(): void; end(): void }> {
  const fars: Socket[] = [];
  const all: Socket[] = [];
  const server = createServer((near) => {
    const far = connect(target.port, target.hostname);
    fars.push(far);
    all.push(near, far);
    near.on("error", () => {}).pipe(far);
    far.on("error", () => {}).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    address: { hostname: "127.0.0.1", port },
    stop: () => fars.forEach((far) => far.unpipe().pause()),
    end(): void {
      for (const socket of all) socket.destroy();
      server.close();
    },
  };
}

test(
  "a peer that sends and does not read is not read from any more",
  { timeout: 60_000 },
  () =>
    ending(async () => {
      const frame = encodeFrame(TEXT, new Uint8Array(60_000));
      const count = 600;
      await serve(await fleet.material(["dns"]), async ({ address, heard, peers }) => {
        const passing = await between(address);
        const socket = await speak(passing.address, await fleet.material(["agent"]));
        socket.write(frame);
        await until(() => heard.length === 1);
        passing.stop();
        for (let index = 0; index < count; index++) socket.write(frame);
        let last = -1;
        let same = 0;
        await until(() => {
          same = heard.length === last ? same + 1 : 0;
          last = heard.length;
          return same > 30;
        }, { what: "the server to stop reading", timeoutMs: 20_000 });
        // What it has read is in its output, which is bounded, and in the kernel's buffers.
        assert.ok(heard.length < count * 0.5, `${heard.length} of ${count} were read`);
        const [peer] = peers;
        assert.ok(peer.pendingBytes < OUTPUT_BYTES_MAX, `${peer.pendingBytes} wait`);
        // And what is pushed to it is bounded too, whatever the runtime says of what it has written.
        let pushed = 0;
        while (!peer.closed && pushed < 2 * OUTPUT_BYTES_MAX) {
          for (let index = 0; index < 10 && peer.send(TEXT, frame); index++) pushed += frame.length;
          await new Promise((resolve) => setImmediate(resolve));
        }
        assert.ok(peer.closed, `${pushed} bytes were taken`);
        socket.destroy();
        passing.end();
      });
    }),
);
