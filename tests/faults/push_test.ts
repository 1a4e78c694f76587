// How soon changes in SQL are with a thousand subscribers, over real sockets.

import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { figure, timeFigure } from "../support/figure.ts";
import { hostKey, nodeOf, withStoredNode } from "../support/fleet.ts";
import { WireConnection } from "../support/wire_client.ts";

const SUBSCRIBERS = 1000;
const EDITS = 20;
/** Between two looks of dns at SQL, in milliseconds. */
const LOOK_MS = 1000;
/** The golden ratio: edits come at all moments between two looks, and not always right after one. */
const STRIDE = 0.618;

test(
  "changes reach 1,000 subscribers",
  { timeout: 120_000 },
  () =>
    withStoredNode(async ({ processes, url, store }) => {
      const dns = await processes.start("dns", ["--reactor-port=0", `--store=${url}`]);
      const peers: WireConnection[] = [];
      for (let at = 0; at < SUBSCRIBERS; at += 50) {
        const some = await Promise.all(
          Array.from({ length: 50 }, () => WireConnection.open(dns.port())),
        );
        await Promise.all(some.map((peer) => peer.route(1, 1)));
        peers.push(...some);
      }
      const times: number[] = [];
      for (let edit = 0; edit < EDITS; edit++) {
        const node = nodeOf(2 + edit);
        await sleep(systemClock, (edit * STRIDE % 1) * LOOK_MS);
        // By rows alone, as any program may write them: dns hears of it by its poll.
        const startMs = performance.now();
        await store.editRoutes([{ op: "add", modId: 1, cmdId: 1, ...node }]);
        const pushes = await Promise.all(
          peers.map((peer) =>
            peer.nextRoute(1, 1, ({ hosts }) => hosts.some((one) => hostKey(one) === hostKey(node)))
          ),
        );
        times.push(...pushes.map(({ atMs }) => atMs - startMs));
      }
      assert.equal(times.length, SUBSCRIBERS * EDITS);
      times.sort((a, b) => a - b);
      const at = (share: number): number => times[Math.ceil(times.length * share) - 1];
      figure(
        `${EDITS} edits to ${SUBSCRIBERS} subscribers, none lost; last ${Math.round(at(1))} ms`,
      );
      timeFigure({ what: "median", value: at(0.5), atMost: 700, unit: "ms" });
      timeFigure({ what: "p99", value: at(0.99), atMost: 1500, unit: "ms" });
      for (const peer of peers) peer.close();
    }),
);
