import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeAbout,
  encodeAbout,
  HAND_OVER_PROTOCOL,
  HandOverKind,
  handOverName,
  joinPieces,
  routeMessages,
  ROUTES_PIECE_BYTES,
} from "./hand_over_messages.ts";

test("decodeAbout() reads what encodeAbout() wrote, and nothing of another kind or protocol", () => {
  const bytes = encodeAbout(HandOverKind.Ask, "lars/0.1.0 deno/2.9.6");
  assert.deepEqual(decodeAbout(HandOverKind.Ask, bytes), {
    protocol: HAND_OVER_PROTOCOL,
    software: "lars/0.1.0 deno/2.9.6",
  });
  assert.equal(decodeAbout(HandOverKind.Sockets, bytes), undefined);
  const text = (value: unknown): Uint8Array =>
    Uint8Array.of(HandOverKind.Ask, ...new TextEncoder().encode(JSON.stringify(value)));
  for (const value of [null, 1, "x", [], {}, { protocol: 2, software: "x" }, { protocol: 1 }]) {
    assert.equal(decodeAbout(HandOverKind.Ask, text(value)), undefined);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
    decodeAbout(HandOverKind.Ask, Uint8Array.of(HandOverKind.Ask, ...noise));
  }));
});

test("routeMessages() cuts routes into messages that joinPieces() puts together", () => {
  for (const length of [0, 1, ROUTES_PIECE_BYTES, 3 * ROUTES_PIECE_BYTES + 5]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i);
    const messages = [...routeMessages(bytes)];
    assert.deepEqual(messages.at(-1), Uint8Array.of(HandOverKind.RoutesEnd));
    const pieces = messages.slice(0, -1);
    assert.ok(pieces.every((one) => one[0] === HandOverKind.Routes));
    assert.deepEqual(joinPieces(pieces.map((one) => one.subarray(1))), bytes);
  }
});

test("handOverName() names the ports, whichever way the host is written", () => {
  assert.equal(handOverName("localhost", 8888), handOverName("127.0.0.1", 8888));
  assert.notEqual(handOverName("127.0.0.1", 8888), handOverName("127.0.0.1", 8891));
});
