// Goal: who asks a discovery for others is bounded, and goes on asking it while the database is away.
// Method: a session of ours as discovery in a network in virtual time, and a store that answers when
// it is told to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ControlError } from "../control/control_error.ts";
import { decodeLeaseBeat, encodeLeaseBeaten } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { silentLogger } from "../reactor/log.ts";
import { StoreError } from "../reactor/errors.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { SessionServer } from "../session/session_server.ts";
import { SimNetwork } from "../session/testing/sim_network.ts";
import type { ServiceInstance, Store } from "../sql/store.ts";
import { LEASE_QUESTIONS_MAX, LeaseClient } from "./lease_client.ts";

const LEASE = { modId: 1, cmdId: 1, ip: 1, port: 80, incarnation: 1 };

class Bench {
  readonly clock = new ManualClock();
  readonly network = new SimNetwork(this.clock);
  readonly client: LeaseClient;
  /** What the store answers; undefined: nothing yet. */
  answer: (() => Promise<ServiceInstance[]>) | undefined;
  looks = 0;
  beats = 0;
  readonly #waiting: (() => void)[] = [];

  constructor() {
    const server = new SessionServer({
      role: "discovery",
      init: { hostname: "10.0.0.1", connectionsMax: 100, software: "sim", secrets: undefined },
      clock: this.clock,
      log: silentLogger,
      transport: this.network.server,
    });
    server.router.add(MessageId.LeaseBeat, (body, peer) => {
      this.beats++;
      const { seq } = decodeLeaseBeat(body);
      peer.send(MessageId.LeaseBeaten, encodeLeaseBeaten({ seq, count: 1, lost: [] }));
    });
    void server.listen(7781, false);
    const store = {
      instances: async (): Promise<ServiceInstance[]> => {
        this.looks++;
        if (this.answer === undefined) await new Promise<void>((go) => this.#waiting.push(go));
        return await (this.answer ?? this.here)();
      },
    };
    this.client = new LeaseClient({
      ...{ clock: this.clock, rng: seededRng(1), software: "sim", secrets: undefined },
      store: store as unknown as Store,
      transport: this.network.client("console"),
    });
  }

  readonly here = (): Promise<ServiceInstance[]> =>
    Promise.resolve([{
      ...{ kind: "discovery", address: "10.0.0.1:7781", software: "sim", startedAt: 0 },
      ...{ seenAt: Math.floor(this.clock.wallMs() / 1000), detail: {} },
    }]);

  open(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 5) {
      for (let i = 0; i < 20; i++) await Promise.resolve();
      this.clock.advance(5);
    }
  }
}

test("no more ask at once than may, while it is looked which discoveries there are too", async () => {
  const bench = new Bench();
  const results = Promise.allSettled(
    Array.from({ length: LEASE_QUESTIONS_MAX + 10 }, () => bench.client.beat([LEASE], "x")),
  );
  await bench.pass(50);
  bench.answer = bench.here;
  bench.open();
  await bench.pass(200);
  const refused = (await results).filter((one) => one.status === "rejected");
  assert.equal(refused.length, 10);
  for (const one of refused) {
    assert.ok(one.reason instanceof ControlError && one.reason.reason === "too-many-requests");
  }
  assert.deepEqual([bench.looks, bench.beats], [1, LEASE_QUESTIONS_MAX]);
  const later = bench.client.beat([LEASE], "x");
  await bench.pass(20);
  assert.deepEqual(await later, [], "there is room again");
  await bench.client.close();
});

test("questions that the connection has no room for are sent when there is", async () => {
  const bench = new Bench();
  bench.answer = bench.here;
  // Of 40 KB each: the connection holds some hundred.
  const leases = Array.from({ length: 1_900 }, (_, ip) => ({ ...LEASE, ip }));
  const beats = Promise.all(Array.from({ length: 400 }, () => bench.client.beat(leases, "x")));
  await bench.pass(2_000);
  assert.equal((await beats).length, 400);
  assert.equal(bench.beats, 400);
  await bench.client.close();
});

test("while the database is away the discovery that is known is asked, and at once", async () => {
  const bench = new Bench();
  bench.answer = bench.here;
  const first = bench.client.beat([LEASE], "x");
  await bench.pass(100);
  await first;
  // It refuses, or says nothing at all.
  for (const answer of [() => Promise.reject(new StoreError("away", true)), undefined]) {
    bench.answer = answer;
    await bench.pass(6_000);
    const beat = bench.client.beat([LEASE], "x");
    await bench.pass(20);
    assert.deepEqual(await beat, []);
  }
  const { looks } = bench;
  assert.equal(looks, 3, "one look for each pause between looks");
  await bench.client.close();
  await assert.rejects(bench.client.beat([LEASE], "x"), /this console stops/);
  bench.open();
});

test("with no discovery known a database that is away is said", async () => {
  const bench = new Bench();
  bench.answer = () => Promise.reject(new StoreError("away", true));
  await assert.rejects(bench.client.beat([LEASE], "x"), /away/);
  bench.answer = () => Promise.resolve([]);
  await assert.rejects(bench.client.beat([LEASE], "x"), /none has signed in/);
  bench.answer = bench.here;
  const beat = bench.client.beat([LEASE], "x");
  await bench.pass(100);
  assert.deepEqual(await beat, []);
  await bench.client.close();
});
