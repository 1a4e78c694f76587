import assert from "node:assert/strict";
import { test } from "node:test";
import { agentPortIndex, DEFAULT_PORTS, MessageId, RetCode } from "./message_ids.ts";

const portCases: [modId: number, cmdId: number, index: number][] = [
  [0, 0, 0],
  [1, 0, 1],
  [1, 1, 2],
  [1, 2, 0],
  [2147483647, 0, 1],
  [2147483647, 2147483647, 2], // 4294967294, no 32-bit overflow
  [2147483648, 0, 1], // -2147483648 = -715827883 * 3 + 1
  [4294967295, 0, 2], // -1
  [4294967295, 1, 0],
  [4294967295, 4294967295, 1], // -2
  [2147483648, 2147483648, 2], // -4294967296
  [3232235953, 7, 1], // -1062731343 + 7 = -1062731336
];

for (const [modId, cmdId, index] of portCases) {
  test(`agentPortIndex() sends module ${modId},${cmdId} to port ${index}`, () => {
    assert.equal(agentPortIndex(modId, cmdId), index);
  });
}

test("agentPortIndex() takes signed and unsigned numbers alike", () => {
  for (const [modId, cmdId] of portCases) {
    assert.equal(agentPortIndex(modId | 0, cmdId | 0), agentPortIndex(modId, cmdId));
  }
});

test("MessageId and RetCode keep the numbers of the original", () => {
  assert.deepEqual(
    Object.values(MessageId),
    [
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8,
      64,
      65,
      66,
      67,
      68,
      69,
      70,
      71,
      72,
      73,
      74,
      75,
      76,
      77,
      78,
      79,
      80,
      81,
      82,
      83,
      86,
      87,
      90,
      91,
      92,
      93,
      94,
      95,
      96,
      97,
      98,
      100,
      101,
      102,
      103,
      104,
      105,
      106,
      107,
      108,
      109,
      110,
      111,
      112,
      113,
      115,
      116,
      120,
      121,
      122,
      140,
      145,
      146,
    ],
  );
  assert.deepEqual(RetCode, { Success: 0, Overload: 1, SystemError: 2, NoExist: 3 });
  assert.deepEqual(DEFAULT_PORTS, {
    dns: 7778,
    reporter: 7779,
    agent: 8888,
    console: 8080,
    relay: 2000,
    discovery: 9527,
  });
});
