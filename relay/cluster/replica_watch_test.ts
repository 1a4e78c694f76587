import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { REPLICA_BEHIND_MS, type ReplicaState, ReplicaWatch } from "./replica_watch.ts";

/** Lines of the log, and looks every ten seconds. */
function newWatch(): { lines: string[]; look(ms: number, replicas: ReplicaState[]): void } {
  const lines: string[] = [];
  const clock = new ManualClock();
  const watch = new ReplicaWatch(clock, {
    ...silentLogger,
    info: (what, fields) => void lines.push(`${what.slice(0, 16)}: ${String(fields?.were)}`),
    warn: (what, fields) => void lines.push(`${what.slice(0, 13)}: ${String(fields?.error)}`),
  });
  const look = (ms: number, replicas: ReplicaState[]): void => {
    for (let passed = 0; passed < ms; passed += 10_000) {
      clock.advance(10_000);
      watch.look(replicas);
    }
  };
  return { lines, look };
}

const two = (isCurrent: boolean, offline = false): ReplicaState[] => [
  { name: "n1", current: true },
  { name: "n2", current: isCurrent, offline },
];

test("replica watch: a server that stays behind or away is told after a minute, then once a minute, then that it is back", () => {
  const { lines, look } = newWatch();
  look(REPLICA_BEHIND_MS, two(false));
  assert.deepEqual(lines, []);
  look(10_000, two(true, true));
  assert.deepEqual(lines, ["A NATS server: behind or away: n2"]);
  look(50_000, two(false));
  assert.equal(lines.length, 1);
  look(10_000, two(false));
  assert.equal(lines.length, 2);
  look(20_000, two(true));
  assert.deepEqual(lines.slice(2), ["All NATS servers: n2"]);
});

test("replica watch: a server that is behind for a moment now and then is no matter, nor one server alone", () => {
  const { lines, look } = newWatch();
  for (let i = 0; i < 20; i++) {
    look(50_000, two(false));
    look(10_000, two(true));
  }
  look(120_000, []);
  assert.deepEqual(lines, []);
});
