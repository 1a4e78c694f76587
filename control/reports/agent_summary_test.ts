import assert from "node:assert/strict";
import { test } from "node:test";
import type { ServiceInstance } from "../../sql/store.ts";
import { AGENTS_SHOWN_MAX, summariseAgents } from "./agent_summary.ts";

const NOW_S = 10_000;

function agent(
  address: string,
  seenAt: number,
  detail: ServiceInstance["detail"] = {},
): ServiceInstance {
  return { kind: "agent", address, software: "lars/1", startedAt: 1, seenAt, detail };
}

test("summariseAgents() counts all and names the worst", () => {
  const fleet: ServiceInstance[] = [
    ...Array.from({ length: 1000 }, (_, index) => agent(`a${index}:1`, NOW_S, { version: 9900 })),
    agent("silent:1", NOW_S - 31, { modulesHeld: 1 }),
    agent("holding:1", NOW_S, { modulesHeld: 2, zone: "east", dns: "d:1" }),
    agent("behind:1", NOW_S - 5, { version: 9000 }),
    { ...agent("d:1", NOW_S), kind: "dns" },
  ];
  const { agents, ...counts } = summariseAgents(fleet, 9900, NOW_S);
  assert.deepEqual(counts, { total: 1003, silent: 1, holding: 1, behind: 1 });
  assert.equal(agents.length, AGENTS_SHOWN_MAX);
  assert.deepEqual(agents.slice(0, 4).map(({ address, state }) => `${address} ${state}`), [
    "silent:1 silent",
    "holding:1 holding",
    "behind:1 behind",
    "a0:1 ok",
  ]);
  assert.deepEqual(agents[1], {
    address: "holding:1",
    state: "holding",
    zone: "east",
    dns: "d:1",
    seenAt: NOW_S,
    software: "lars/1",
    version: null,
    held: 2,
  });
});

test("summariseAgents() gives an agent time to hear of a change", () => {
  const stateAt = (seenAt: number, version: number): string =>
    summariseAgents([agent("a:1", seenAt, { version: 50 })], version, seenAt).agents[0].state;
  assert.equal(stateAt(105, 100), "ok", "written 5 s after the change");
  assert.equal(stateAt(106, 100), "behind");
  assert.equal(stateAt(106, 50), "ok");
});
