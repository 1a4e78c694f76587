// Goal: who follows the whole system knows it, whatever came in which order, and however slowly he
// reads.
// Method: the parts by hand; a follower's view rebuilt from what it was sent.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type ModuleId, moduleId } from "../model/module.ts";
import { decodeFleetModules, decodeNodesOut, type NodeOut } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import {
  FleetOuts,
  Followers,
  FOLLOWERS_MAX,
  LoopOuts,
  NODES_OUT_PER_AGENT_MAX,
  NODES_OUT_PER_MODULE_MAX,
} from "./fleet.ts";

const node = (ip: number, agents = 0): NodeOut => ({ ip, port: 80, agents });
const out = (modId: number, ...ips: number[]): Parameters<LoopOuts<string>["told"]>[1] => ({
  ...{ modId, cmdId: 1, agents: 0 },
  nodes: ips.map((ip) => node(ip)),
});

test("LoopOuts adds up what agents say, and forgets those that are gone", () => {
  const outs = new LoopOuts<string>();
  assert.equal(outs.told("a", out(1)), false, "nothing out, and nothing was before");
  assert.equal(outs.told("a", out(1, 5, 6)), true);
  assert.equal(outs.told("b", out(1, 6)), true);
  assert.equal(outs.told("b", out(2, 9)), true);
  assert.deepEqual(outs.of({ modId: 1, cmdId: 1 }), [node(6, 2), node(5, 1)]);
  assert.equal(outs.told("a", out(1, 5)), true);
  assert.deepEqual(outs.of({ modId: 1, cmdId: 1 }), [node(5, 1), node(6, 1)]);
  assert.equal(outs.told("a", out(1)), true);
  assert.deepEqual(outs.of({ modId: 1, cmdId: 1 }), [node(6, 1)]);
  assert.deepEqual(outs.closed("b").map(({ modId }) => modId), [1, 2]);
  assert.deepEqual(outs.closed("b"), []);
  assert.deepEqual(outs.of({ modId: 1, cmdId: 1 }), []);
});

test("LoopOuts hears no agent that says too much, and passes on what fits a frame", () => {
  const outs = new LoopOuts<string>();
  const ips = Array.from({ length: NODES_OUT_PER_AGENT_MAX }, (_, ip) => ip);
  assert.equal(outs.told("a", out(1, ...ips)), true);
  assert.equal(outs.told("a", out(2, 1)), false);
  assert.equal(outs.ignoredCount, 1);
  assert.equal(outs.told("a", out(1, 1, 2)), true, "less is heard again");
  assert.equal(outs.told("a", out(2, 1)), true);
  assert.equal(outs.told("b", out(3, ...ips)), true);
  assert.equal(outs.of({ modId: 3, cmdId: 1 }).length, NODES_OUT_PER_MODULE_MAX);
});

test("FleetOuts adds up loops, and says only what has changed", () => {
  const outs = new FleetOuts();
  const say = (loop: number, agents: number, ...nodes: NodeOut[]): ReturnType<FleetOuts["take"]> =>
    outs.take(loop, { modId: 1, cmdId: 1, agents, nodes });
  assert.equal(say(0, 7), undefined, "nobody keeps anything out");
  assert.deepEqual(outs.modules(), []);
  assert.deepEqual(say(0, 7, node(5, 2))?.agents, 7);
  assert.equal(say(0, 7, node(5, 2)), undefined);
  assert.deepEqual(say(1, 3, node(5, 1), node(6, 1)), {
    ...{ modId: 1, cmdId: 1, agents: 10 },
    nodes: [node(5, 3), node(6, 1)],
  });
  assert.deepEqual(outs.lostLoop(0), [{
    ...{ modId: 1, cmdId: 1, agents: 3 },
    nodes: [node(5, 1), node(6, 1)],
  }]);
  assert.deepEqual(say(1, 3), { modId: 1, cmdId: 1, agents: 3, nodes: [] });
  assert.deepEqual([outs.all(), outs.lostLoop(1)], [[], []]);
});

/** What a follower knows by what it was sent. */
class View {
  readonly names = new Map<ModuleId, string>();
  readonly outs = new Map<ModuleId, NodeOut[]>();
  isWhole = false;

  take(msgId: number, body: Uint8Array): void {
    if (msgId === MessageId.NodesOut) {
      const { modId, cmdId, nodes } = decodeNodesOut(body);
      if (nodes.length === 0) this.outs.delete(moduleId(modId, cmdId));
      else this.outs.set(moduleId(modId, cmdId), nodes);
      return;
    }
    const { modules, first, last } = decodeFleetModules(body);
    if (first) {
      this.names.clear();
      this.outs.clear();
      this.isWhole = false;
    }
    for (const { modId, cmdId, name, gone } of modules) {
      if (gone) this.names.delete(moduleId(modId, cmdId));
      else this.names.set(moduleId(modId, cmdId), name);
    }
    if (last) this.isWhole = true;
  }
}

test("Followers: all of it first, then changes; who reads slowly gets all of it anew", () => {
  const views = new Map<string, View>();
  const busy = new Set<string>();
  let asked = 0;
  const followers = new Followers<string>({
    send: (peer, msgId, body) => views.get(peer)?.take(msgId, body),
    isBusy: (peer) => busy.has(peer),
    onFirst: () => asked++,
  });
  for (const peer of ["quick", "slow"]) {
    views.set(peer, new View());
    followers.add(peer);
  }
  assert.equal(asked, 1);
  const module = (modId: number, name: string, gone = false) => ({ modId, cmdId: 1, name, gone });
  const many = Array.from({ length: 250 }, (_, modId) => module(modId, `m${modId}`));
  followers.take({ modules: many, outs: [], whole: false });
  assert.equal(views.get("quick")?.names.size, 0, "the list is not whole yet");
  followers.take({ modules: [module(999, "last")], outs: [out(1, 5)], whole: true });
  busy.add("slow");
  followers.take({ modules: [module(1, "renamed"), module(2, "", true)], outs: [], whole: false });
  followers.take({ modules: [], outs: [out(1), out(3, 7)], whole: false });
  const check = (view: View | undefined): void => {
    assert.ok(view?.isWhole);
    assert.equal(view.names.size, 250);
    assert.equal(view.names.get(moduleId(1, 1)), "renamed");
    assert.deepEqual([...view.outs.keys()], [moduleId(3, 1)]);
  };
  check(views.get("quick"));
  assert.equal(views.get("slow")?.names.size, 251);
  busy.clear();
  followers.drained("slow");
  check(views.get("slow"));
  followers.closed("quick");
  followers.take({ modules: [module(5, "", true)], outs: [], whole: false });
  check(views.get("quick"));
  assert.equal(views.get("slow")?.names.size, 249);
  for (let i = 0; i < FOLLOWERS_MAX + 3; i++) followers.add(`more ${i}`);
  assert.deepEqual([followers.count, followers.refusedCount], [FOLLOWERS_MAX, 4]);
});
