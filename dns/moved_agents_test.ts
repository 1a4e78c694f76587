// What an agent is sent that comes from another dns, and what a Pong says. The whole service in this
// process, spoken to over TCP.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { type RunningService, startDaemon } from "../daemon/daemon.ts";
import {
  decodeGetRouteResponse,
  decodePong,
  decodeRouteUnchanged,
  encodeGetRouteRequest,
  encodeHello,
  encodePing,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { openStore } from "../sql/mod.ts";
import { LogList } from "../tests/support/log_list.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { WireConnection, type WireFrame } from "../tests/support/wire_client.ts";
import { dnsDaemon } from "./service.ts";

for (const loops of [1, 2]) {
  test(`an agent that moves is sent only what differs, with ${loops} loops`, async () => {
    await withTempDir(async (directory) => {
      const url = `sqlite:${join(directory, "lars.db")}`;
      const store = await openStore(url);
      await store.migrate();
      const key = { modId: 1, cmdId: 1 };
      const edits = [1, 2, 3].map((ip) => ({
        op: "add" as const,
        ...key,
        ip,
        port: 80,
        zone: "z",
      }));
      const { version } = await store.editRoutes(edits);
      const start = (): Promise<RunningService> =>
        startDaemon(dnsDaemon, {
          flags: { "store.url": url, "reactor.port": "0", "reactor.threadNum": String(loops) },
        }, { log: new LogList() });
      const services = await Promise.all([start(), start()]);
      const peers = await Promise.all(services.map(async ({ addresses: [address] }) => {
        const peer = await WireConnection.open(Number(address.split(":")[1]));
        peer.send(MessageId.Hello, encodeHello({ protocol: 1, software: "test", role: "agent" }));
        await peer.next(({ msgId }) => msgId === MessageId.Hello);
        return peer;
      }));
      try {
        const ask = (index: number, digest?: Uint8Array): Promise<WireFrame> => {
          const body = encodeGetRouteRequest({ ...key, ...(digest && { digest }) });
          peers[index].send(MessageId.GetRouteRequest, body);
          return peers[index].next(({ msgId }) =>
            msgId === MessageId.GetRouteResponse || msgId === MessageId.RouteUnchanged
          );
        };
        const first = decodeGetRouteResponse((await ask(0)).body);
        assert.equal(first.hosts.length, 3);
        assert.equal(first.version, version);
        const same = await ask(1, first.digest);
        assert.equal(same.msgId, MessageId.RouteUnchanged, "by the other dns");
        assert.ok(same.body.length < 40, `${same.body.length} bytes`);
        assert.equal(decodeRouteUnchanged(same.body).version, version);
        assert.equal((await ask(1, new Uint8Array(8))).msgId, MessageId.GetRouteResponse);
        assert.equal((await ask(1)).msgId, MessageId.GetRouteResponse, "of one that names none");
        let seq = 0;
        await until(async () => {
          peers[1].send(MessageId.Ping, encodePing({ seq: ++seq }));
          const pong = decodePong(
            (await peers[1].next(({ msgId }) => msgId === MessageId.Pong)).body,
          );
          assert.equal(pong.spreadMs, 5 * loops, "one agent, in one of the loops");
          return pong.version === version && pong.epoch === 0;
        }, { what: "how new all routes are" });
        const later = await store.editRoutes([{ op: "remove", ...key, ip: 1, port: 80 }]);
        const push = await peers[1].next(({ msgId }) => msgId === MessageId.GetRouteResponse);
        const pushed = decodeGetRouteResponse(push.body);
        assert.deepEqual([pushed.hosts.length, pushed.version], [2, later.version]);
        assert.notDeepEqual(pushed.digest, first.digest);
      } finally {
        for (const peer of peers) peer.close();
        await Promise.all(services.map((service) => service.stop()));
        await store.close();
      }
    });
  });
}
