import assert from "node:assert/strict";
import { test } from "node:test";
import type { RelayPresence } from "../../proto/codec.ts";
import { PeerTable } from "./peer_table.ts";

/** A table, and how many modules the relay had at each change that it told of. */
function newTable(): { table: PeerTable; moduleCounts: number[] } {
  const moduleCounts: number[] = [];
  const table = new PeerTable({
    clientCame: () => true,
    clientWent: () => undefined,
    modulesChanged: ({ modules }) => moduleCounts.push(modules.size),
    relayCame: () => undefined,
    relayWent: () => undefined,
  });
  return { table, moduleCounts };
}

function presence(version: number, more: Partial<RelayPresence>): RelayPresence {
  return {
    ...{ relay: "r", address: "host:1", version },
    ...{ whole: false, ask: false, leaving: false, quiet: false },
    ...{ clients: [], groups: [], served: [], unserved: [] },
    ...more,
  };
}

function part(from: number, to: number): Pick<RelayPresence, "groups" | "served"> {
  const numbers = Array.from({ length: to - from }, (_, i) => from + i);
  return {
    groups: numbers.map((n) => ({ group: `g${n}`, members: 1 })),
    served: numbers.map((n) => ({ modId: n, cmdId: 1 })),
  };
}

test("a whole list that is told again takes nothing away before it is over", () => {
  const { table, moduleCounts } = newTable();
  const groups = (): number => table.peers.get("r")?.groups.size ?? 0;
  table.hear(presence(1, { whole: true, ...part(0, 300) }), 0);
  table.hear(presence(2, part(300, 400)), 0);
  table.hear(presence(2, { quiet: true }), 0);
  assert.deepEqual([groups(), moduleCounts.at(-1)], [400, 400]);
  moduleCounts.length = 0;
  // The same again, as whenever another relay asks, but for those of the last ten.
  table.hear(presence(3, { whole: true, ...part(0, 300) }), 0);
  assert.equal(groups(), 400);
  table.hear(presence(4, part(300, 390)), 0);
  assert.deepEqual([groups(), moduleCounts], [400, [400, 400]]);
  table.hear(presence(4, { quiet: true }), 0);
  assert.deepEqual([groups(), moduleCounts.at(-1)], [390, 390]);
  moduleCounts.length = 0;
  table.hear(presence(4, { quiet: true }), 0);
  assert.deepEqual([groups(), moduleCounts], [390, []]);
});

test("a client whose name was another's is asked for when the relay of that one is gone", () => {
  const { table } = newTable();
  const client = (claim: number): RelayPresence["clients"][number] => ({
    ...{ name: "ann", sid: 1, sinceMs: 0, claim, gone: false },
  });
  const whereIs = (name: string): string | undefined => table.clients.get(name)?.peer.relay;
  // It has come from a relay whose clock is ahead, and which died before the new one had heard of it.
  table.hear(presence(1, { relay: "dead", whole: true, clients: [client(10)] }), 0);
  table.hear(presence(1, { relay: "new", whole: true, clients: [client(5)] }), 3000);
  assert.equal(table.hear(presence(1, { relay: "new", quiet: true }), 3000), false);
  assert.equal(whereIs("ann"), "dead");
  table.removeSilent(1000);
  assert.equal(whereIs("ann"), undefined);
  assert.equal(table.hear(presence(1, { relay: "new", quiet: true }), 4000), true, "it is asked");
  table.hear(presence(2, { relay: "new", whole: true, clients: [client(5)] }), 4000);
  assert.equal(whereIs("ann"), "new");
  assert.equal(table.hear(presence(2, { relay: "new", quiet: true }), 4000), false);
});
