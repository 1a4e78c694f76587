import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "../reactor/errors.ts";
import * as codec from "./codec.ts";
import {
  hotReplyBytes,
  hotTaskBytes,
  RelayHotReader,
  writeHotReply,
  writeHotTask,
} from "./relay_hot_codec.ts";

const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 2147483647, 4294967295),
  fc.integer({ min: 0, max: 4294967295 }),
);
const data = fc.uint8Array({ maxLength: 300 });

const reader = new RelayHotReader();

function outcome<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    assert.ok(error instanceof ProtocolError, `${error}`);
    return undefined;
  }
}

/** What the reader makes of a body is what codec.ts makes of it; `false` when it is unsure. */
function agreeOnRequest(body: Uint8Array): boolean {
  const message = outcome(() => codec.decodeRelayRequest(body));
  if (!reader.readRequest(body)) return false;
  const { number, modId, cmdId, ttlMs } = reader;
  assert.deepEqual({ number, modId, cmdId, ttlMs, data: new Uint8Array(reader.data) }, message);
  return true;
}

function agreeOnDone(body: Uint8Array): boolean {
  const message = outcome(() => codec.decodeRelayDone(body));
  if (!reader.readDone(body)) return false;
  const { task, status, credit } = reader;
  assert.deepEqual({ task, status, credit, data: new Uint8Array(reader.data) }, message);
  return true;
}

test("requests and answers as they are in practice are read in place, as codec.ts reads them", () => {
  const positive = uint32.map((value) => value >>> 1);
  fc.assert(
    fc.property(uint32, positive, positive, uint32, data, (number, modId, cmdId, ttlMs, bytes) => {
      const request = codec.encodeRelayRequest({ number, modId, cmdId, ttlMs, data: bytes });
      assert.ok(agreeOnRequest(request));
      const done = { task: number, status: ttlMs, credit: cmdId, data: bytes };
      assert.ok(agreeOnDone(codec.encodeRelayDone(done)));
    }),
  );
});

test("what is rare is left to codec.ts, and nothing else is made of any bytes", () => {
  const key = Uint8Array.of(1);
  const rare = { number: 1, modId: 4294967295, cmdId: 0, ttlMs: 0, data: new Uint8Array() };
  assert.equal(agreeOnRequest(codec.encodeRelayRequest(rare)), false);
  assert.equal(agreeOnRequest(codec.encodeRelayRequest({ ...rare, modId: 1, key })), false);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (body) => {
    agreeOnRequest(body);
    agreeOnDone(body);
  }));
  // Of whole messages, cut and with a byte changed.
  const whole = fc.record({ number: uint32, modId: uint32, cmdId: uint32, ttlMs: uint32, data });
  fc.assert(fc.property(whole, fc.nat(), fc.nat(255), (message, at, byte) => {
    for (
      const body of [
        codec.encodeRelayRequest(message),
        codec.encodeRelayDone({ task: 1, status: 0, credit: message.ttlMs, data: message.data }),
      ]
    ) {
      agreeOnRequest(body.subarray(0, at % (body.length + 1)));
      agreeOnDone(body.subarray(0, at % (body.length + 1)));
      if (body.length > 0) body[at % body.length] = byte;
      agreeOnRequest(body);
      agreeOnDone(body);
    }
  }));
});

/** What was written, with the bytes around it as they were. */
function written(bytes: number, write: (target: Uint8Array, at: number) => void): Uint8Array {
  const target = new Uint8Array(bytes + 20).fill(7);
  write(target, 10);
  assert.deepEqual([...target.subarray(0, 10), ...target.subarray(10 + bytes)], Array(20).fill(7));
  return target.slice(10, 10 + bytes);
}

test("tasks and replies are written as codec.ts writes them", () => {
  const ids = { modId: uint32, cmdId: uint32, cpid: uint32.map((value) => value | 0) };
  const task = fc.record({ task: uint32, sid: uint32, ttlMs: uint32, ...ids, data });
  fc.assert(fc.property(task, (message) => {
    const bytes = hotTaskBytes(message);
    const isRare = message.cpid < 0 || Math.max(message.modId, message.cmdId) > 2147483647;
    assert.equal(bytes < 0, isRare);
    if (isRare) return;
    const body = written(bytes, (target, at) => writeHotTask(target, at, message));
    assert.deepEqual(body, new Uint8Array(codec.encodeRelayTask(message)));
  }));
  const none = { task: 1, modId: 0, cmdId: 0, sid: 1, cpid: 0, ttlMs: 1, data: new Uint8Array() };
  assert.equal(hotTaskBytes({ ...none, key: Uint8Array.of(1) }), -1);
  const reply = fc.record({ number: uint32, status: uint32, late: fc.boolean(), data });
  fc.assert(fc.property(reply, (message) => {
    const body = written(
      hotReplyBytes(message),
      (target, at) => writeHotReply(target, at, message),
    );
    assert.deepEqual(body, new Uint8Array(codec.encodeRelayReply(message)));
  }));
});
