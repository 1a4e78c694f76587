// Goal: logins by a password are limited for each address before their passwords are looked at.
// Method: a hasher that answers when it is told to, and a store of one user.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { ControlError } from "../control_error.ts";
import { AccessService } from "./access_service.ts";
import type { Actor } from "./actor.ts";
import { LOGIN_FAILURES_PER_ADDRESS_MAX as FAILURES_MAX } from "./login_rate_limiter.ts";

const ADDRESS = "192.0.2.1";
const ANN = {
  ...{ name: "ann", role: "viewer", passwordHash: "scrypt$", mustChange: false, disabled: false },
  ...{ createdAtMs: 0, loginAtMs: 0 },
};
const ACTOR: Actor = {
  ...{ name: "ann", role: "viewer", via: "cookie", address: ADDRESS, session: "s" },
  ...{ csrfToken: null, mustChangePassword: false, isByLink: false, expiresAtMs: null },
};

function bench(): {
  access: AccessService;
  clock: ManualClock;
  login(address?: string): Promise<unknown>;
  changePassword(): Promise<unknown>;
  /** Ends the looks at passwords that are under way; an error: there was no room for them. */
  answer(outcome: boolean | Error): Promise<void>;
  /** Passwords looked at. */
  looked(): number;
} {
  const clock = new ManualClock();
  const waiting: ((outcome: boolean | Error) => void)[] = [];
  let looked = 0;
  const store = {
    user: () => Promise.resolve(ANN),
    patchUser: () => Promise.resolve(ANN),
    addSession: () => Promise.resolve(),
    audit: () => Promise.resolve(),
  };
  const hasher = {
    hash: () => Promise.resolve("scrypt$"),
    matches: async () => {
      looked++;
      const outcome = await new Promise<boolean | Error>((resolve) => waiting.push(resolve));
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
  };
  const access = new AccessService({ clock, store: store as never, hasher: hasher as never });
  const input = { oldPassword: "old", newPassword: "new" };
  return {
    access,
    clock,
    login: (address = ADDRESS) => access.login("ann", "guess", address),
    changePassword: () => access.changePassword(ACTOR, input),
    answer: async (outcome) => {
      await settle();
      waiting.splice(0).forEach((resolve) => resolve(outcome));
    },
    looked: () => looked,
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

const codes = (results: readonly PromiseSettledResult<unknown>[]): string[] =>
  results.map((one) => {
    if (one.status === "fulfilled") return "in";
    return one.reason instanceof ControlError ? String(one.reason.reason) : String(one.reason);
  });
const count = (list: readonly string[], what: string): number =>
  list.filter((one) => one === what).length;

for (const way of ["login", "changePassword"] as const) {
  test(`${way}: of many at once no more are looked at than an address may fail`, async () => {
    const { access, clock, login, [way]: attempt, answer, looked } = bench();
    const all = Promise.allSettled(Array.from({ length: 200 }, () => attempt()));
    const elsewhere = login("192.0.2.2");
    await answer(false);
    assert.equal(looked(), FAILURES_MAX + 1, "and one of another address");
    const said = codes(await all);
    assert.deepEqual([count(said, "wrong-login"), count(said, "too-many-requests")], [
      FAILURES_MAX,
      200 - FAILURES_MAX,
    ]);
    assert.equal(access.loginCounts.limited, 200 - FAILURES_MAX);
    await assert.rejects(elsewhere, /is wrong/);
    await assert.rejects(attempt(), /wait 300 s/);
    clock.advance(300_000);
    const later = attempt();
    await answer(true);
    await later;
  });

  test(`${way}: those that end well, or find no room, take no place from those that follow`, async () => {
    const { [way]: attempt, answer, looked } = bench();
    const noRoom = new ControlError("too-many-requests", "Too many logins at once: try again");
    for (const [round, outcome] of [true, noRoom, true, noRoom, true].entries()) {
      const all = Promise.allSettled(Array.from({ length: FAILURES_MAX }, () => attempt()));
      await answer(outcome);
      assert.equal(looked(), (round + 1) * FAILURES_MAX);
      const expected = outcome === true ? "in" : "too-many-requests";
      assert.equal(count(codes(await all), expected), FAILURES_MAX);
    }
  });
}
