// Goal: nodes whose connections end because this discovery stops are lost to nobody.

import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../reactor/log.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { until } from "../tests/support/until.ts";
import { DiscoveryListener } from "./discovery_listener.ts";
import { LeasePeer } from "./testing/lease_peer.ts";

test("a listener tells of connections that end, not of those that it ends itself", async () => {
  let ended = 0;
  const listener = new DiscoveryListener({
    init: { hostname: "127.0.0.1", connectionsMax: 10, software: "test", secrets: undefined },
    ...{ clock: systemClock, log: silentLogger },
    onClose: () => void ended++,
  });
  const { port } = await listener.listen(0);
  const peers = await Promise.all([1, 2, 3].map(() => LeasePeer.open(port)));
  peers[0].destroy();
  await until(() => ended === 1, { what: "the end of the first" });
  await listener.close();
  assert.equal(ended, 1);
  for (const peer of peers) peer.destroy();
});
