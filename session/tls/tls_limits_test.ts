// Goal: whoever begins a handshake and does not end it is ended, and certificates end with their time.
// Method: the door of a server on virtual time; raw bytes, and pieces of real handshakes.

import assert from "node:assert/strict";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import {
  type Address,
  encodeFrame,
  type LogFields,
  type Logger,
  ManualClock,
  nextInt,
  seededRng,
  silentLogger,
  systemClock,
} from "../../reactor/mod.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import { until } from "../../tests/support/until.ts";
import { SessionServer } from "../session_server.ts";
import { FleetCertificates } from "../testing/fleet_certificates.ts";
import { tlsConnector } from "./tls_client.ts";
import { TLS_HANDSHAKE_MS, TLS_HANDSHAKES_MAX, TLS_TURN_MS } from "./tls_door.ts";
import { type PlainPeers, TlsIdentity } from "./tls_identity.ts";

const fleet = await FleetCertificates.make();

interface Service {
  readonly address: Address;
  readonly server: SessionServer;
  readonly clock: ManualClock;
  readonly log: string[];
  readonly heard: string[];
}

async function serve(plain: PlainPeers, body: (service: Service) => Promise<void>): Promise<void> {
  const log: string[] = [];
  const heard: string[] = [];
  const clock = new ManualClock(0, systemClock.wallMs());
  const warn = (message: string, { reason }: LogFields = {}): unknown =>
    log.push(`${message}: ${reason}`);
  const tls = await fleet.material(["dns"], { plain });
  const server = new SessionServer({
    role: "dns",
    init: { hostname: "127.0.0.1", connectionsMax: 500, software: "s", secrets: undefined, tls },
    ...{ clock, log: { ...silentLogger, warn } as Logger },
  });
  server.router.add(200, (bytes) => heard.push(new TextDecoder().decode(bytes)));
  const address = await server.listen(0, false);
  try {
    await body({ address, server, clock, log, heard });
  } finally {
    const closed = server.close();
    clock.advance(2000);
    await closed;
  }
}

interface Raw {
  readonly socket: Socket;
  isEnded: boolean;
}

function raw({ hostname, port }: Address, ...bytes: number[]): Raw {
  const peer: Raw = { socket: connect(port, hostname), isEnded: false };
  peer.socket.on("error", () => {}).on("close", () => (peer.isEnded = true)).resume();
  if (bytes.length > 0) peer.socket.write(Uint8Array.from(bytes));
  return peer;
}

const count = ({ server }: Service): number => server.stats().connections;

test("who begins no handshake, or half of one, is ended in time; who may be plain may be silent", async () => {
  await serve("off", async (service) => {
    const { address, clock, log } = service;
    const peers = [raw(address), raw(address, 0x16, 3, 1), raw(address, 0x16, 3, 1, 1, 0, 1, 0, 0)];
    await until(() => count(service) === 3);
    clock.advance(TLS_HANDSHAKE_MS - 1);
    assert.equal(count(service), 3);
    clock.advance(1);
    await until(() => peers.every(({ isEnded }) => isEnded), { what: "all to be ended" });
    assert.equal(count(service), 0);
    assert.ok(log.some((line) => line.includes(`no handshake of TLS within ${TLS_HANDSHAKE_MS}`)));
  });
  await serve("loopback", async (service) => {
    const { address, clock } = service;
    const [silent, half] = [raw(address), raw(address, 0x16, 3, 1)];
    await until(() => count(service) === 2);
    // The half of a handshake has to have come.
    await until(() => {
      clock.advance(TLS_HANDSHAKE_MS);
      return half.isEnded;
    }, { what: "the half handshake to be ended" });
    assert.equal(silent.isEnded, false);
    silent.socket.write(encodeFrame(200, new Uint8Array()));
    await until(() => service.heard.length === 1, { what: "the silent one to be served" });
    silent.socket.destroy();
  });
});

test(
  "garbage after the first byte, and handshakes with a byte changed, end their own connection alone",
  {
    timeout: 60_000,
  },
  async () => {
    await serve("off", async (service) => {
      const { address, server, heard } = service;
      const rng = seededRng(3);
      const hello = await clientHello();
      const pair = await fleet.pair("agent", ["agent"]);
      const good = connectTls({
        ...{ host: address.hostname, port: address.port, ca: fleet.authority.cert, ...pair },
        checkServerIdentity: () => undefined,
      });
      good.on("error", () => {}).resume();
      await new Promise((resolve) => good.once("secureConnect", resolve));
      // Who has said something makes room for nobody.
      good.write(encodeFrame(200, new TextEncoder().encode("hello")));
      await until(() => heard.length === 1);
      const peers: Raw[] = [];
      for (let round = 0; round < 150; round++) {
        const bytes = round % 2 === 0
          ? Array.from({ length: 1 + nextInt(rng, 600) }, () => nextInt(rng, 256))
          : [...hello];
        bytes[0] = 0x16;
        if (round % 2 === 1) bytes[1 + nextInt(rng, bytes.length - 1)] ^= 1 << nextInt(rng, 8);
        const peer = raw(address, ...bytes);
        if (round % 3 === 0) peer.socket.end();
        peers.push(peer);
      }
      await until(() => {
        service.clock.advance(1000);
        return peers.every(({ isEnded }) => isEnded);
      }, { what: "all to be ended", timeoutMs: 30_000 });
      await until(() => count(service) === 1, { what: "the good one to be left" });
      good.write(encodeFrame(200, new TextEncoder().encode("still here")));
      await until(() => heard.includes("still here"));
      assert.deepEqual([heard.length, server.stats().connections_tls], [2, 1]);
      assert.ok(server.stats().tls_refused > 20, `${server.stats().tls_refused} were refused`);
      good.destroy();
    });
  },
);

/** The first bytes that a client sends. */
async function clientHello(): Promise<Uint8Array> {
  let taken: (bytes: Uint8Array) => void = () => {};
  const first = new Promise<Uint8Array>((resolve) => (taken = resolve));
  const server = createServer((socket) => {
    socket.on("error", () => {}).once("data", (bytes) => {
      taken(Uint8Array.from(bytes));
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const client = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  client.on("error", () => {});
  try {
    return await first;
  } finally {
    client.destroy();
    server.close();
  }
}

test("half handshakes hold up others for a moment only, and a crowd is served in turn", {
  timeout: 60_000,
}, async () => {
  await serve("off", async (service) => {
    const { address, clock, heard } = service;
    const pair = await fleet.pair("agent", ["agent"]);
    const speak = (text: string): { isOver: boolean } => {
      const peer = { isOver: false };
      const socket = connectTls({
        ...{ host: address.hostname, port: address.port, ca: fleet.authority.cert, ...pair },
        checkServerIdentity: () => undefined,
      });
      socket.on("error", () => {}).on("close", () => (peer.isOver = true)).resume();
      socket.once("secureConnect", () => {
        socket.write(encodeFrame(200, new TextEncoder().encode(text)));
      });
      return peer;
    };
    const halves = Array.from({ length: TLS_HANDSHAKES_MAX }, () => raw(address, 0x16, 3, 1));
    await until(() => count(service) === TLS_HANDSHAKES_MAX);
    // What they have sent is read by now, as they came first.
    speak("behind them");
    await until(() => count(service) === TLS_HANDSHAKES_MAX + 1);
    await until(() => {
      clock.advance(TLS_TURN_MS / 4);
      return heard.length === 1;
    }, { what: "its turn" });
    assert.ok(clock.nowMs() < TLS_HANDSHAKE_MS, `${clock.nowMs()} ms`);
    assert.equal(halves.filter(({ isEnded }) => isEnded).length, 0);
    // More than there are turns, of one host, while time stands still.
    const crowd = Array.from(
      { length: 2 * TLS_HANDSHAKES_MAX + 9 },
      (_, index) => speak(`${index}`),
    );
    await until(() => {
      if (heard.length < crowd.length) clock.advance(1);
      return heard.length === 1 + crowd.length;
    }, { what: "all to be served", timeoutMs: 40_000 });
    assert.equal(crowd.filter(({ isOver }) => isOver).length, 0);
    for (const { socket } of halves) socket.destroy();
  });
});

test("a connection ends when the certificate that was shown over it does", async () => {
  await serve("off", async (service) => {
    const { address, clock, log } = service;
    const pairs = [await fleet.pair("short", ["agent"], 1), await fleet.pair("long", ["agent"], 9)];
    const [short, long] = pairs.map((pair) => {
      const peer = { isEnded: false };
      connectTls({
        ...{ host: address.hostname, port: address.port, ca: fleet.authority.cert, ...pair },
        checkServerIdentity: () => undefined,
      }).on("error", () => {}).on("close", () => (peer.isEnded = true)).resume();
      return peer;
    });
    await until(() => service.server.stats().connections_tls === 2);
    clock.advance(86_400_000 - 3_600_000);
    assert.equal(service.server.stats().connections_tls, 2);
    clock.advance(3_600_000 + 20_000);
    await until(() => short.isEnded, { what: "the short one to be ended" });
    assert.equal(long.isEnded, false);
    assert.ok(log.includes("Connection ended: its certificate has expired"), log.join("\n"));
  });
});

/** A place between caller and service, where each half of a handshake waits until it is let go. */
async function between(
  { hostname, port }: Address,
  body: (address: Address, waits: { up(): boolean; down(): boolean; go(): void }) => Promise<void>,
): Promise<void> {
  const held: { up: Uint8Array[]; down: Uint8Array[] } = { up: [], down: [] };
  const ends: Socket[] = [];
  let go = (): void => {};
  const place = createServer((caller) => {
    const service = connect(port, hostname);
    ends.push(caller, service);
    let isBegun = false;
    let isOpen = false;
    caller.on("error", () => {}).on("close", () => service.destroy()).on("data", (chunk) => {
      if (isBegun && !isOpen) held.up.push(chunk);
      else service.write(chunk);
      isBegun = true;
    });
    service.on("error", () => {}).on("close", () => caller.destroy()).on("data", (chunk) => {
      if (isOpen) caller.write(chunk);
      else held.down.push(chunk);
    });
    go = (): void => {
      // The end of the handshake is the caller's.
      for (const chunk of held.down.splice(0)) caller.write(chunk);
      isOpen = held.up.length > 0;
      for (const chunk of held.up.splice(0)) service.write(chunk);
    };
  });
  await new Promise<void>((resolve) => place.listen(0, "127.0.0.1", resolve));
  try {
    const { port: own } = place.address() as { port: number };
    await body({ hostname: "127.0.0.1", port: own }, {
      up: () => held.up.length > 0,
      down: () => held.down.length > 0,
      go: () => go(),
    });
  } finally {
    for (const end of ends) end.destroy();
    await new Promise((resolve) => place.close(resolve));
  }
}

test("a root that goes during a handshake is believed no more at its end, on either side", async () => {
  const next = await FleetCertificates.make("next");
  const both = { ca: fleet.authority.cert + next.authority.cert };
  const material = await fleet.material(["agent"], both);
  await serve("off", async ({ address, server, log, heard }) => {
    await between(address, async (place, { up, down, go }) => {
      const { cert, key, ca } = material;
      const caller = connectTls({ host: place.hostname, port: place.port, cert, key, ca });
      const ended = new Promise((resolve) => caller.on("error", () => {}).on("close", resolve));
      caller.write(encodeFrame(200, new TextEncoder().encode("old")));
      await until(down);
      go();
      await until(up);
      server.setTrust({ secrets: undefined, tls: await next.material(["dns"]) });
      go();
      await ended;
      assert.deepEqual(heard, []);
      assert.match(log.join("\n"), /\[tls\] ca/);
    });
  });
  await serve("off", async ({ address }) => {
    await between(address, async (place, { up, down, go }) => {
      const identity = new TlsIdentity(material);
      const { connectTcp } = tlsConnector({ identity, plain: runtime });
      const connecting = connectTcp({ ...place, signal: new AbortController().signal });
      const refused = assert.rejects(connecting, /\[tls\] ca/);
      await until(down);
      identity.replace({ ...material, ca: next.authority.cert });
      go();
      await Promise.race([refused, until(up).then(go)]);
      await refused;
    });
  });
});

test("a connection that has just ended is no matter when roots change", async () => {
  await serve("off", async ({ address }) => {
    const identity = new TlsIdentity(await fleet.material(["agent"]));
    const { connectTcp } = tlsConnector({ identity, plain: runtime });
    const stream = await connectTcp({ ...address, signal: new AbortController().signal });
    stream.close();
    assert.ok(identity.replace({ ...identity.material, refused: ["AA"] }));
  });
});
