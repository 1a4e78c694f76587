// Goal: dns tells those who follow the whole system of its modules and of the nodes that its agents
// keep out; over one loop, and over several.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { startDaemon } from "../daemon/daemon.ts";
import {
  decodeFleetModules,
  decodeNodesOut,
  encodeFleetSubscribe,
  encodeGetRouteRequest,
  encodeHello,
  encodeNodesOut,
  type NodesOut,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { openStore } from "../sql/mod.ts";
import { LogList } from "../tests/support/log_list.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { WireConnection } from "../tests/support/wire_client.ts";
import { dnsDaemon } from "./service.ts";

/** A peer that follows the whole system, and what it knows. */
class Follower {
  readonly names = new Map<string, string>();
  readonly outs = new Map<number, NodesOut>();
  isWhole = false;
  readonly #connection: WireConnection;

  constructor(connection: WireConnection) {
    this.#connection = connection;
    connection.send(MessageId.FleetSubscribe, encodeFleetSubscribe({ end: false }));
  }

  /** Reads all that has come. */
  read(): this {
    for (const { msgId, body } of this.#connection.frames.splice(0)) {
      if (msgId === MessageId.NodesOut) {
        const message = decodeNodesOut(body);
        this.outs.set(message.modId, message);
      }
      if (msgId !== MessageId.FleetModules) continue;
      const { modules, last } = decodeFleetModules(body);
      if (last) this.isWhole = true;
      for (const { modId, cmdId, name, gone } of modules) {
        if (gone) this.names.delete(`${modId},${cmdId}`);
        else this.names.set(`${modId},${cmdId}`, name);
      }
    }
    return this;
  }
}

for (const loops of ["1", "2"]) {
  test(`modules, names and nodes that are out: ${loops} loop${loops === "1" ? "" : "s"}`, async () => {
    await withTempDir(async (directory) => {
      const url = `sqlite:${join(directory, "lars.db")}`;
      const store = await openStore(url);
      await store.migrate();
      await store.editRoutes([
        { op: "add", modId: 1, cmdId: 1, ip: 5, port: 80 },
        { op: "add", modId: 4_294_967_295, cmdId: 2, ip: 5, port: 80 },
      ]);
      await store.setModules([{ modId: 1, cmdId: 1, name: "login" }, {
        ...{ modId: 7, cmdId: 7, name: "empty" },
      }]);
      const service = await startDaemon(dnsDaemon, {
        flags: {
          "store.url": url,
          "reactor.port": "0",
          "reactor.threadNum": loops,
          "dns.poll_interval": "0.05",
        },
      }, { log: new LogList() });
      const port = Number(service.addresses[0].split(":")[1]);
      const open: WireConnection[] = [];
      const connect = async (role: string): Promise<WireConnection> => {
        const connection = await WireConnection.open(port);
        open.push(connection);
        const hello = encodeHello({ protocol: 2, software: "test", role });
        connection.send(MessageId.Hello, hello);
        await connection.next(({ msgId }) => msgId === MessageId.Hello);
        return connection;
      };
      try {
        const follower = new Follower(await connect("tool"));
        await until(() => follower.read().isWhole, { what: "the whole list" });
        assert.deepEqual(
          [...follower.names].sort(),
          [["1,1", "login"], ["4294967295,2", ""], ["7,7", "empty"]],
        );
        await store.editRoutes([{ op: "add", modId: 2, cmdId: 2, ip: 6, port: 80 }]);
        await store.setModules([{ modId: 7, cmdId: 7, name: "" }]);
        await until(() => follower.read().names.has("2,2") && !follower.names.has("7,7"), {
          what: "the change of modules",
        });
        const agents = await Promise.all(["agent", "agent", "agent"].map(connect));
        for (const agent of agents) {
          const ask = encodeGetRouteRequest({ modId: 1, cmdId: 1 });
          agent.send(MessageId.GetRouteRequest, ask);
          await agent.next(({ msgId }) => msgId === MessageId.GetRouteResponse);
        }
        const say = (agent: WireConnection, ...ips: number[]): void => {
          const nodes = ips.map((ip) => ({ ip, port: 80, agents: 0 }));
          const message = { modId: 1, cmdId: 1, nodes, agents: 0 };
          agent.send(MessageId.NodesOut, encodeNodesOut(message));
        };
        say(agents[0], 5);
        say(agents[1], 5, 6);
        const outs = (): unknown => {
          const { nodes, agents } = follower.read().outs.get(1) ?? { nodes: [], agents: 0 };
          return [agents, ...nodes.map(({ ip, agents }) => [ip, agents])];
        };
        const becomes = (expected: unknown): Promise<void> =>
          until(() => JSON.stringify(outs()) === JSON.stringify(expected), {
            what: `${JSON.stringify(expected)}, now ${JSON.stringify(outs())}`,
          });
        await becomes([3, [5, 2], [6, 1]]);
        agents[1].close();
        await becomes([2, [5, 1]]);
        const late = new Follower(await connect("tool"));
        await until(() => late.read().outs.get(1)?.nodes.length === 1, { what: "the late one" });
        say(agents[0]);
        await until(() => follower.read().outs.get(1)?.nodes.length === 0, { what: "none out" });
        assert.equal(service.stats().modules_with_nodes_out, 0);
        await until(() => service.stats().followers === 2, { what: "the count of followers" });
        // Who is no agent says nothing of nodes.
        say(await connect("tool"), 5);
        await until(() => Number(service.stats().connections) <= 5, { what: "it to be closed" });
        assert.equal(service.stats().modules_with_nodes_out, 0);
      } finally {
        for (const connection of open) connection.close();
        await service.stop();
        await store.close();
      }
    });
  });
}
