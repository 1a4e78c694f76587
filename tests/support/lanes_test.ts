import assert from "node:assert/strict";
import { test } from "node:test";
import { type LaneJob, runInLanes } from "./lanes.ts";

interface Job extends LaneJob {
  readonly name: string;
}

function job(name: string, file = name, isAlone = false): Job {
  return { name, file, isAlone };
}

/** Lanes whose jobs end when the test says so. */
class Bench {
  /** Names of the jobs that run, by lane. */
  readonly lanes = new Map<number, string>();
  readonly begun: string[] = [];
  readonly #ends = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();

  readonly run = ({ name }: Job, lane: number): Promise<void> => {
    assert.ok(!this.lanes.has(lane), "the lane is free");
    this.lanes.set(lane, name);
    this.begun.push(name);
    return new Promise<void>((resolve, reject) => this.#ends.set(name, { resolve, reject }))
      .finally(() => this.lanes.delete(lane));
  };

  get running(): string[] {
    return [...this.lanes.values()].sort();
  }

  async end(name: string, error?: Error): Promise<void> {
    const { resolve, reject } = this.#ends.get(name) ?? {};
    assert.ok(resolve !== undefined && reject !== undefined, `${name} runs`);
    if (error === undefined) resolve();
    else reject(error);
    await settled();
  }
}

/** Lets everything that was decided happen. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("runInLanes() keeps every lane busy, in the order of the jobs", async () => {
  const bench = new Bench();
  const all = runInLanes(
    ["a", "b", "c", "d"].map((name) => job(name)),
    { laneCount: 2 },
    bench.run,
  );
  await settled();
  assert.deepEqual(bench.running, ["a", "b"]);
  await bench.end("b");
  assert.deepEqual([...bench.lanes], [[0, "a"], [1, "c"]]);
  await bench.end("a");
  assert.deepEqual(bench.begun, ["a", "b", "c", "d"]);
  await bench.end("d");
  await bench.end("c");
  await all;
});

test("runInLanes() runs no two jobs of one file at once", async () => {
  const bench = new Bench();
  const jobs = [job("a deno", "a"), job("a bun", "a"), job("b deno", "b"), job("b bun", "b")];
  const all = runInLanes(jobs, { laneCount: 3 }, bench.run);
  await settled();
  assert.deepEqual(bench.running, ["a deno", "b deno"]);
  await bench.end("b deno");
  assert.deepEqual(bench.running, ["a deno", "b bun"]);
  await bench.end("a deno");
  assert.deepEqual(bench.running, ["a bun", "b bun"]);
  await bench.end("a bun");
  await bench.end("b bun");
  await all;
});

test("runInLanes() runs what wants to be alone at the end, one after the other", async () => {
  const bench = new Bench();
  const jobs = [job("x", "x", true), job("a"), job("y", "y", true), job("b")];
  const all = runInLanes(jobs, { laneCount: 3 }, bench.run);
  await settled();
  assert.deepEqual(bench.running, ["a", "b"]);
  await bench.end("a");
  assert.deepEqual(bench.running, ["b"]);
  await bench.end("b");
  assert.deepEqual(bench.running, ["x"]);
  await bench.end("x");
  assert.deepEqual(bench.running, ["y"]);
  await bench.end("y");
  await all;
});

test("runInLanes() begins nothing more once it is stopped, and waits for what runs", async () => {
  const bench = new Bench();
  let isStopped = false;
  const jobs = [job("a"), job("b"), job("c"), job("x", "x", true)];
  const all = runInLanes(jobs, { laneCount: 2, isStopped: () => isStopped }, bench.run);
  await settled();
  isStopped = true;
  await bench.end("a");
  assert.deepEqual(bench.running, ["b"]);
  await bench.end("b");
  await all;
  assert.deepEqual(bench.begun, ["a", "b"]);
});

test("runInLanes() passes on what a job throws, after those beside it", async () => {
  const bench = new Bench();
  const all = runInLanes([job("a"), job("b"), job("c")], { laneCount: 2 }, bench.run);
  let outcome = "";
  all.catch((error) => (outcome = error.message));
  await settled();
  await bench.end("a", new Error("no such program"));
  assert.equal(outcome, "");
  await bench.end("b");
  assert.equal(outcome, "no such program");
  assert.deepEqual(bench.begun, ["a", "b"]);
});

test("runInLanes() of nothing ends at once", async () => {
  await runInLanes([], { laneCount: 2 }, () => Promise.reject(new Error("there is no job")));
});
