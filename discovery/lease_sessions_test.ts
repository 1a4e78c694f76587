// What a peer asks that cannot be answered costs its own connection at most.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeLeaseBeaten,
  decodeLeaseRegistered,
  encodeLeaseBeat,
  encodeLeaseRegister,
  encodeLeaseSafeRequest,
} from "../proto/codec.ts";
import type { NodeKey } from "../model/node.ts";
import { LeaseCode, MessageId } from "../proto/message_ids.ts";
import { encodeFrame, FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { MessageRouter } from "../reactor/message_router.ts";
import type { Connection } from "../reactor/tcp/tcp_server.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { LogList } from "../tests/support/log_list.ts";
import type { LeaseRegistry } from "./lease_registry.ts";
import { LEASE_REASON_LENGTH_MAX } from "./lease_requests.ts";
import { CONNECTION_LEASES_MAX, LeaseSessions } from "./lease_sessions.ts";
import { Keeper, type Lease, type LeaseTable } from "./lease_table.ts";
import type { ModuleFinder } from "./module_finder.ts";
import type { SafeStops } from "./safe_stops.ts";
import { leaseNode } from "./testing/lease_world.ts";

interface Bench {
  /** Gives a message to the handlers, and lets them end. */
  ask(msgId: number, body: Uint8Array): Promise<void>;
  /** Frames that left, whole. */
  readonly frames: { readonly msgId: number; readonly body: Uint8Array }[];
  readonly closed: (string | undefined)[];
  readonly log: LogList;
}

function makeBench(stops: Pick<SafeStops, "ask">): Bench {
  const frames: Bench["frames"] = [];
  const closed: Bench["closed"] = [];
  const log = new LogList();
  const router = new MessageRouter<Connection>();
  const row = { incarnation: 7 };
  const leases: { readonly row: typeof row; readonly port: number }[] = [];
  new LeaseSessions({
    registry: {
      ask: () => Promise.resolve({ result: "done", row }),
      poke: () => {},
    } as unknown as LeaseRegistry,
    table: {
      get: ({ port }: NodeKey) => leases.find((lease) => lease.port === port) ?? { row },
      heard: ({ port }: NodeKey, _incarnation: number, keeper?: Keeper) => {
        const lease = { row, port };
        leases.push(lease);
        keeper?.leases.add(lease as unknown as Lease);
        return "unknown";
      },
      openKeeper: () => new Keeper(0),
    } as unknown as LeaseTable,
    modules: {
      find: (name: string) => Promise.resolve({ fault: `No module is called "${name}"`, near: [] }),
    } as unknown as ModuleFinder,
    stops: stops as SafeStops,
    ...{ holder: 1, makesModules: true, checksNodes: true, newIncarnation: () => 7 },
    ...{ clock: new ManualClock(), log },
  }).addTo(router);
  const peer = {
    remote: { hostname: "127.0.0.1", port: 40_000 },
    send: (msgId: number, body: Uint8Array) => {
      encodeFrame(msgId, body); // throws for what no frame carries, as a connection does
      return frames.push({ msgId, body }) > 0;
    },
    close: (reason?: string) => void closed.push(reason),
  } as unknown as Connection;
  return {
    ...{ frames, closed, log },
    async ask(msgId, body): Promise<void> {
      assert.equal(router.dispatch(msgId, body, peer), "handled");
      for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    },
  };
}

const SAFE = { ask: () => Promise.resolve({ safe: true, waitsFor: "" }) };

test("sessions: whatever a registration names, the answer says it short enough to be sent", async () => {
  const node = { ...leaseNode(1), ip: 0x7f000001 };
  const message = {
    ...{ ...node, seq: 1, ttlMs: 15_000, weight: 100, zone: "", note: "", waiting: false },
    ...{ incarnation: 0, makesModule: true, detached: false },
  };
  const none = { owner: "", forHost: "", check: "", module: "" };
  const long = "h".repeat(FRAME_BODY_BYTES_MAX - 100);
  for (
    const terms of [
      { ...none, owner: "x", forHost: long },
      { ...none, module: long },
      { ...none, check: long },
      { ...none, owner: long, forHost: "10.0.0.1" },
    ]
  ) {
    const { ask, frames, closed, log } = makeBench(SAFE);
    await ask(MessageId.LeaseRegister, encodeLeaseRegister({ ...message, terms }));
    const [{ body }] = frames;
    const { code, reason } = decodeLeaseRegistered(body);
    assert.notEqual(code, LeaseCode.Done);
    assert.ok(reason.length > 0 && reason.length <= LEASE_REASON_LENGTH_MAX, reason);
    assert.deepEqual([closed, log.lines], [[], []]);
  }
});

test("sessions: a request that fails ends its connection, and not the process", async () => {
  const { ask, frames, closed, log } = makeBench({ ask: () => Promise.reject(new Error("no")) });
  const lease = { ...leaseNode(1), incarnation: 7 };
  const body = encodeLeaseSafeRequest({ seq: 1, lease, quietMs: 0 });
  for (let time = 0; time < 20; time++) await ask(MessageId.LeaseSafeRequest, body);
  assert.deepEqual([frames.length, closed.length], [0, 20]);
  assert.equal(log.count("Request of a node failed"), 10, "lines are limited");
});

/** The longest name of a registration as a peer may write it: our own -1 takes ten bytes, this five. */
const SHORT_NAME = [0x08, 0x10, 0x18, 0x20].flatMap((tag) => [tag, 0xff, 0xff, 0xff, 0xff, 0x0f])
  .concat(0x28, ...Array<number>(7).fill(0xff), 0x0f);

test("sessions: every heartbeat that may come has an answer that can be sent", async () => {
  const longest = { modId: -1, cmdId: -1, ip: -1, port: -1, incarnation: 2 ** 53 - 1 };
  const most = encodeLeaseBeat({ seq: 0xffff_ffff, lease: Array(1_000).fill(longest), owner: "" });
  assert.ok(most.length < FRAME_BODY_BYTES_MAX);
  const field = [0x12, SHORT_NAME.length, ...SHORT_NAME];
  const count = Math.floor(FRAME_BODY_BYTES_MAX / field.length);
  const full = new Uint8Array(Array<number[]>(count).fill(field).flat());
  for (const body of [most, full]) {
    const { ask, frames, closed, log } = makeBench(SAFE);
    await ask(MessageId.LeaseBeat, body);
    assert.deepEqual([closed, log.lines], [[], []]);
    const { lost } = decodeLeaseBeaten(frames[0].body);
    assert.equal(lost.length, 1_000);
    assert.equal(lost[999].incarnation, longest.incarnation);
  }
});

test("sessions: one connection keeps so many nodes, and may register those again", async () => {
  const { ask, frames, log } = makeBench(SAFE);
  const register = async (port: number): Promise<number> => {
    await ask(
      MessageId.LeaseRegister,
      encodeLeaseRegister({
        ...{ ...leaseNode(1), port, seq: 1, ttlMs: 15_000, weight: 100, zone: "", note: "" },
        ...{ waiting: false, incarnation: 0, makesModule: true, detached: false },
      }),
    );
    const { code, reason } = decodeLeaseRegistered(frames[frames.length - 1].body);
    if (code !== LeaseCode.Done) assert.match(reason, /may keep 10000 nodes/);
    return code;
  };
  for (let port = 1; port <= CONNECTION_LEASES_MAX; port++) {
    assert.equal(await register(port), LeaseCode.Done);
  }
  assert.equal(await register(CONNECTION_LEASES_MAX + 1), LeaseCode.Invalid);
  assert.equal(await register(5), LeaseCode.Done);
  assert.deepEqual(log.lines, []);
});
