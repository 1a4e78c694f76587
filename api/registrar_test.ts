import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeLeaseBeat,
  decodeLeaseRegister,
  encodeLeaseBeaten,
  encodeLeaseRegistered,
  type LeaseName,
  type LeaseRegister,
} from "../proto/codec.ts";
import { LeaseCode, MessageId } from "../proto/message_ids.ts";
import { checkBodyBytes, FRAME_BODY_BYTES_MAX } from "../reactor/frame.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import type { Link } from "../session/link.ts";
import { PROGRAM_NODES_MAX, Registrar } from "./registrar.ts";

/** A discovery that answers when the test says so. */
class ScriptedLink {
  readonly clock = new ManualClock();
  readonly registrar = new Registrar({
    ...{ clock: this.clock, rng: seededRng(1), addressOf: () => 0x0a000001 },
  });
  readonly asked: LeaseRegister[] = [];
  readonly beats: number[] = [];
  /** How many registrations each of them names. */
  readonly beatNames: number[] = [];
  readonly #handlers = new Map<number, (body: Uint8Array) => void>();

  constructor() {
    const link = {
      router: {
        add: (id: number, handler: (body: Uint8Array) => void) => this.#handlers.set(id, handler),
      },
      ready: true,
      failOver: () => {},
      send: (id: number, body: Uint8Array): boolean => {
        checkBodyBytes(body.length); // as a connection does
        if (id === MessageId.LeaseRegister) this.asked.push(decodeLeaseRegister(body));
        if (id === MessageId.LeaseBeat) {
          const { seq, lease } = decodeLeaseBeat(body);
          this.beats.push(seq);
          this.beatNames.push(lease.length);
        }
        return true;
      },
    };
    this.registrar.use(link as unknown as Link);
  }

  answer({ seq }: LeaseRegister, incarnation: number, code: LeaseCode = LeaseCode.Done): void {
    this.#handlers.get(MessageId.LeaseRegistered)?.(
      encodeLeaseRegistered({ seq, code, reason: "", incarnation, modId: 7, cmdId: 1 }),
    );
  }

  beaten(seq: number, count: number, lost: readonly LeaseName[] = []): void {
    const body = encodeLeaseBeaten({ seq, count, lost: [...lost] });
    this.#handlers.get(MessageId.LeaseBeaten)?.(body);
  }

  /** Time passes, and what waits for it runs. */
  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      this.clock.advance(100);
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    }
  }
}

const NODE = { modId: 7, cmdId: 1, port: 80 };

test("registrar: an answer that does not come is asked for again over the same connection", async () => {
  const link = new ScriptedLink();
  const one = link.registrar.add(NODE);
  await link.pass(4_000);
  assert.equal(link.asked.length, 1);
  await link.pass(20_000);
  assert.ok(link.asked.length >= 3, `${link.asked.length} attempts`);
  assert.equal(one.state, "connecting");
  link.answer(link.asked[0], 5);
  assert.equal(one.incarnation, 0, "an answer that came too late is none");
  const known = link.asked.length;
  while (link.asked.length === known) await link.pass(100);
  link.answer(link.asked.at(-1) as LeaseRegister, 6);
  await link.pass(100);
  assert.deepEqual([one.state, one.incarnation], ["registered", 6]);
  const { length } = link.asked;
  await link.pass(4_900);
  assert.equal(link.asked.length, length, "and no more");
});

test("registrar: a change whose answer does not come is said again, with a registration", async () => {
  const link = new ScriptedLink();
  const one = link.registrar.add({ ...NODE, ttlMs: 86_400_000 });
  link.answer(link.asked[0], 3);
  await link.pass(100);
  void one.update({ weight: 7 });
  await link.pass(6_000);
  assert.deepEqual(link.asked.slice(1).map(({ weight, incarnation }) => [weight, incarnation]), [
    ...[[7, 3]],
  ]);
});

test("registrar: a busy discovery is asked again once, however often the connection is lost", async () => {
  const link = new ScriptedLink();
  const one = link.registrar.add(NODE);
  await link.pass(100);
  for (let round = 0; round < 5; round++) {
    link.answer(link.asked.at(-1) as LeaseRegister, 0, LeaseCode.Busy);
    await link.pass(100);
    link.registrar.lost("gone");
    link.registrar.ready();
    await link.pass(100);
  }
  const before = link.asked.length;
  assert.equal(before, 6, "once for each connection");
  link.answer(link.asked.at(-1) as LeaseRegister, 0, LeaseCode.Busy);
  await link.pass(2_100);
  assert.equal(link.asked.length, before + 1, "one of the pauses counts");
  link.answer(link.asked.at(-1) as LeaseRegister, 9);
  await link.pass(100);
  assert.equal(one.state, "registered");
});

test("registrar: nodes share one heartbeat, and are all registered again when it finds fewer", async () => {
  const link = new ScriptedLink();
  const all = [80, 81, 82].map((port) => link.registrar.add({ ...NODE, port, ttlMs: 3_000 }));
  await link.pass(100);
  for (const [index, asked] of link.asked.entries()) link.answer(asked, index + 1);
  await link.pass(1_100);
  assert.equal(link.beats.length, 1, "one frame for three");
  link.beaten(link.beats[0], 3);
  await link.pass(1_100);
  link.beaten(link.beats[1], 1);
  await link.pass(100);
  link.beaten(link.beats[2], 1);
  await link.pass(100);
  assert.deepEqual(link.asked.slice(3).map(({ port, incarnation }) => [port, incarnation]), [
    ...[[80, 1], [81, 2], [82, 3]],
  ]);
  assert.ok(all.every(({ state }) => state === "registered"));
});

test("registrar: as many nodes as there may be, with the longest names, are asked for in parts", async () => {
  const link = new ScriptedLink();
  const longest = { modId: 0xffff_ffff, cmdId: 0xffff_fffe, ip: "192.168.255.255", ttlMs: 3_000 };
  for (let port = 60_000; port < 60_000 + PROGRAM_NODES_MAX; port++) {
    link.registrar.add({ ...longest, port });
  }
  await link.pass(100);
  for (const [index, asked] of link.asked.entries()) link.answer(asked, 2 ** 52 - index);
  await link.pass(1_100);
  link.beaten(link.beats[0], PROGRAM_NODES_MAX - 1);
  await link.pass(100);
  link.beaten(link.beats[1], PROGRAM_NODES_MAX);
  await link.pass(100);
  const { modId, cmdId, ip, port } = link.asked[1_999];
  link.beaten(link.beats[2], PROGRAM_NODES_MAX, [{ modId, cmdId, ip, port, incarnation: 1 }]);
  await link.pass(100);
  assert.deepEqual(link.beatNames, [0, 1_000, 1_000]);
  assert.deepEqual(link.asked.slice(PROGRAM_NODES_MAX).map((one) => one.port), [port]);
});

test("registrar: what fits no message is refused to who says it, and what was said stays", async () => {
  const link = new ScriptedLink();
  const note = { text: "x".repeat(FRAME_BODY_BYTES_MAX) };
  assert.throws(() => link.registrar.add({ ...NODE, note }), /must be at most 65527 bytes/);
  assert.throws(() => link.registrar.add({ port: 80, module: note.text }), RangeError);
  assert.equal(link.registrar.count, 0);
  const one = link.registrar.add(NODE);
  await link.pass(100);
  link.answer(link.asked[0], 3);
  await assert.rejects(one.update({ note, weight: 7 }), RangeError);
  assert.deepEqual([one.note, one.weight], ["", 100]);
});
