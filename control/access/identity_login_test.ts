// Goal: logins by a provider are limited for each address before the provider is asked.
// Method: a provider that answers when it is told to, and a store of maps.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { AccessService, type Login } from "./access_service.ts";
import { LoginFaultError } from "./login_faults.ts";
import { LOGIN_FAILURES_PER_ADDRESS_MAX as FAILURES_MAX } from "./login_rate_limiter.ts";
import type { Identity } from "./oidc_identity.ts";
import { PasswordHasher } from "./secrets.ts";

const ADDRESS = "192.0.2.1";
const ANN: Identity = { issuer: "https://a", subject: "1", name: "ann", role: "viewer" };

function bench(): {
  clock: ManualClock;
  /** Comes back from the provider. */
  comeBack(address?: string): Promise<Login>;
  /** Answers all who were asked about. */
  answer(identity: Identity | undefined): void;
  asked(): number;
} {
  const clock = new ManualClock();
  const waiting: ((identity: Identity | undefined) => void)[] = [];
  let asked = 0;
  const store = {
    users: () => Promise.resolve([]),
    addUser: () => Promise.resolve(),
    addSession: () => Promise.resolve(),
    audit: () => Promise.resolve(),
  };
  const hasher = new PasswordHasher({ factor: 1024, rounds: 1 });
  const access = new AccessService({ ...{ hasher, clock }, store: store as never });
  const prove = async (): Promise<Identity> => {
    asked++;
    const identity = await new Promise<Identity | undefined>((resolve) => waiting.push(resolve));
    if (identity === undefined) throw new LoginFaultError("refused", "invalid_grant");
    return identity;
  };
  return {
    clock,
    comeBack: (address = ADDRESS) => access.loginByIdentity(prove, address),
    answer: (identity) => waiting.splice(0).forEach((resolve) => resolve(identity)),
    asked: () => asked,
  };
}

const faults = (results: readonly PromiseSettledResult<Login>[]): string[] =>
  results.map((one) => one.status === "fulfilled" ? "in" : String(one.reason.fault));
const count = (list: readonly string[], what: string): number =>
  list.filter((one) => one === what).length;

test("of many that come back at once no more reach the provider than an address may fail", async () => {
  const { clock, comeBack, answer, asked } = bench();
  const all = Promise.allSettled(Array.from({ length: 200 }, () => comeBack()));
  const elsewhere = comeBack("192.0.2.2");
  await Promise.resolve();
  assert.equal(asked(), FAILURES_MAX + 1, "and one of another address");
  answer(undefined);
  const said = faults(await all);
  assert.deepEqual([count(said, "refused"), count(said, "too-many")], [
    FAILURES_MAX,
    200 - FAILURES_MAX,
  ]);
  await assert.rejects(elsewhere);
  await assert.rejects(comeBack(), /wait 300 s/);
  clock.advance(300_000);
  const later = comeBack();
  answer(ANN);
  assert.ok((await later).secret);
});

test("logins that end well take no place from those that follow", async () => {
  const { comeBack, answer, asked } = bench();
  for (let round = 1; round <= 5; round++) {
    const all = Promise.allSettled(Array.from({ length: FAILURES_MAX }, () => comeBack()));
    await Promise.resolve();
    assert.equal(asked(), round * FAILURES_MAX);
    answer(ANN);
    assert.equal(count(faults(await all), "in"), FAILURES_MAX);
  }
});
