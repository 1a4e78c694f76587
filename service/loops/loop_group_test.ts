import assert from "node:assert/strict";
import { test } from "node:test";
import type { Address } from "../../reactor/address.ts";
import { BindError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import type { PeerTrust } from "../../session/peer_trust.ts";
import { until } from "../../tests/support/until.ts";
import {
  type LoopGroup,
  type LoopSurroundings,
  type ServiceLoop,
  startLoops,
} from "./loop_group.ts";
import type { FrailNote } from "../testing/frail_loop.ts";

/** Answers every task with a note. */
class EchoLoop implements ServiceLoop<string> {
  readonly #around: LoopSurroundings<string>;
  readonly #inUse: boolean;
  #taskCount = 0;

  constructor(inUse: boolean, around: LoopSurroundings<string>) {
    this.#inUse = inUse;
    this.#around = around;
  }

  listen(port: number, reusePort: boolean): Promise<Address> {
    assert.equal(reusePort, false, "one loop shares its port with nobody");
    const address = { hostname: "127.0.0.1", port };
    return this.#inUse
      ? Promise.reject(new BindError("127.0.0.1:7", true, "taken"))
      : Promise.resolve(address);
  }

  onTask(task: string): void {
    this.#taskCount++;
    this.#around.note(`echo ${task}`);
  }

  setTrust({ secrets }: PeerTrust): void {
    this.#around.note(`${secrets?.length} secrets`);
  }

  stats(): Record<string, number> {
    return { tasks: this.#taskCount };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

test("startLoops() of one loop passes tasks, notes, counters and failures through", async () => {
  const notes: string[] = [];
  const listener = {
    onNote: (note: string, loop: number): void => void notes.push(`${loop} ${note}`),
    onFailed: (): void => assert.fail("a loop on this thread throws to its caller"),
  };
  const make = (inUse: boolean, around: LoopSurroundings<string>): EchoLoop =>
    new EchoLoop(inUse, around);
  const clock = new ManualClock();
  const entry = new URL("./never_loaded.ts", import.meta.url);
  const common = { count: 1, make, entry, listener, clock, log: silentLogger };
  const group = await startLoops({ ...common, init: false });
  assert.equal((await group.listen(7)).port, 7);
  group.send(0, "hello");
  assert.deepEqual([notes, group.stats()], [["0 echo hello"], { tasks: 1 }]);
  group.setTrust({ secrets: [new Uint8Array(16)] });
  assert.equal(notes.at(-1), "0 1 secrets");
  await group.close();
  const taken = await startLoops({ ...common, init: true });
  await assert.rejects(taken.listen(7), BindError);
});

function startFrail(notes: string[], gone: number[]): Promise<LoopGroup<"echo" | "crash">> {
  return startLoops<null, "echo" | "crash", FrailNote>({
    count: 2,
    make: () => assert.fail("workers make their own"),
    entry: new URL("../testing/frail_loop.ts", import.meta.url),
    init: null,
    listener: {
      onNote: (note, loop) => void notes.push(`${loop} ${note}`),
      onFailed: () => {},
      onGone: (loop) => void gone.push(loop),
    },
    clock: systemClock,
    log: silentLogger,
  });
}

test("a stop waits for the peers of those workers only that are there", async () => {
  const gone: number[] = [];
  const group = await startFrail([], gone);
  try {
    await group.listen(7);
    group.send(1, "crash");
    await until(() => gone.length > 0, { what: "the loss" });
    let hasLeft = false;
    void group.leave().then(() => (hasLeft = true));
    await until(() => hasLeft, { what: "the end of the wait" });
  } finally {
    await group.close();
  }
});

test("startLoops() of several: a worker that is gone is replaced and listens again", async () => {
  const notes: string[] = [];
  const gone: number[] = [];
  const group = await startFrail(notes, gone);
  try {
    await group.listen(7);
    group.send(1, "echo");
    await until(() => group.stats().tasks === 1, { what: "the counters" });
    group.send(1, "crash");
    await until(() => gone.length > 0, { what: "the loss" });
    group.send(0, "echo");
    await until(() => notes.filter((note) => note === "1 listens").length === 2, {
      what: "the new worker",
    });
    group.send(1, "echo");
    await until(() => notes.filter((note) => note === "1 echo").length === 2, { what: "an echo" });
    assert.deepEqual(gone, [1]);
    assert.ok(notes.includes("0 echo"), "the other loop goes on");
    await until(() => group.stats().tasks >= 3 && group.stats().connections === 2, {
      what: "counters that keep what the lost worker counted",
    });
  } finally {
    await group.close();
  }
});
