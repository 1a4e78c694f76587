// Goal: one host cannot take all connections of a service. Method: real sockets from two addresses.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { until } from "../tests/support/until.ts";
import { SessionServer } from "./session_server.ts";

/** An address of this machine that is not loopback, if it has one. */
const outerIp = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

test("connectionsPerHostMax holds for every host but this one", {
  skip: outerIp === undefined && "this machine has no address but loopback",
}, async () => {
  const server = new SessionServer({
    role: "dns",
    init: {
      hostname: "0.0.0.0",
      connectionsMax: 100,
      connectionsPerHostMax: 2,
      software: "test",
      secrets: undefined,
    },
    clock: systemClock,
    log: silentLogger,
  });
  const { port } = await server.listen(0, false);
  const sockets: Socket[] = [];
  const open = (host: string): void => {
    sockets.push(connect(port, host).on("error", () => {}));
  };
  try {
    for (let count = 0; count < 4; count++) open("127.0.0.1");
    for (let count = 0; count < 5; count++) open(outerIp ?? "");
    await until(() => server.stats().connections_refused_of_host === 3, { what: "the refusals" });
    await until(() => server.stats().connections === 6, { what: "the others" });
    const { connections_accepted, connections_refused } = server.stats();
    assert.deepEqual([connections_accepted, connections_refused], [6, 0]);
  } finally {
    for (const socket of sockets) socket.destroy();
    await server.close();
  }
});
