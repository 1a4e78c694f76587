import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { test } from "node:test";
import { systemClock } from "../reactor/time/system_clock.ts";
import { freePort } from "../tests/support/free_port.ts";
import { until } from "../tests/support/until.ts";
import { UdpAgentLink, UNSENT_MAX } from "./agent_link.ts";

/** Fits the receive buffer of a socket that nobody has asked for more. */
const BURST = 100;

function bind(port: number): Promise<Socket> {
  const socket = createSocket("udp4");
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, "127.0.0.1", () => resolve(socket));
  });
}

function numbered(number: number): Uint8Array {
  return new Uint8Array(new Uint32Array([number]).buffer);
}

function open(port: number): UdpAgentLink {
  const ignore = (): void => {};
  return new UdpAgentLink(
    "127.0.0.1",
    [port],
    {
      onDatagram: ignore,
      onRefused: ignore,
      onFault: (_portIndex, error) => assert.fail(String(error)),
    },
    systemClock,
  );
}

/** Numbers of the datagrams that come. */
function numbersAt(socket: Socket): number[] {
  const numbers: number[] = [];
  socket.on("message", (bytes) => numbers.push(bytes.readUInt32LE(0)));
  return numbers;
}

const inOrder = Array.from({ length: BURST }, (_, number) => number);

test("agent link: datagrams arrive in the order they were given, by a new socket as by an open one", async () => {
  const socket = await bind(0);
  try {
    const numbers = numbersAt(socket);
    const link = open(socket.address().port);
    for (let round = 0; round < 3; round++) {
      numbers.length = 0;
      for (const number of inOrder) link.send(0, numbered(number));
      await until(() => numbers.length === BURST, { what: "all datagrams" });
      assert.deepEqual(numbers, inOrder, `round ${round}`);
    }
    await link.close();
    assert.equal(link.droppedCount, 0);
  } finally {
    socket.close();
  }
});

test("agent link: one that is sent again for a refusal stays in front of the later ones", async () => {
  const port = await freePort();
  const link = open(port);
  // Each of them is refused, which the kernel tells to a later one.
  let early = 0;
  await until(() => {
    link.send(0, numbered(0));
    return ++early === 10;
  }, { what: "some refusals" });
  const socket = await bind(port);
  try {
    const numbers = numbersAt(socket);
    for (const number of inOrder) link.send(0, numbered(number + 1));
    await link.close();
    await until(() => numbers.includes(BURST), { what: "the last datagram" });
    const later = numbers.filter((number) => number > 0);
    assert.deepEqual(later, later.toSorted((a, b) => a - b));
  } finally {
    socket.close();
  }
});

test("agent link: what one socket cannot hold while it opens is dropped and counted", async () => {
  const socket = await bind(0);
  try {
    const link = open(socket.address().port);
    for (let number = 0; number < UNSENT_MAX + 7; number++) link.send(0, numbered(number));
    assert.equal(link.droppedCount, 7);
    await link.close();
    assert.equal(link.droppedCount, 7);
  } finally {
    socket.close();
  }
});
