import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import type { ResponseOf } from "./contract.ts";
import {
  LOGIN_FAILURES_PER_ADDRESS_MAX,
  LOGIN_WINDOW_MS,
  LoginRateLimiter,
} from "../control/access/login_rate_limiter.ts";
import {
  PasswordHasher,
  randomPassword,
  sameText,
  signatureOf,
} from "../control/access/secrets.ts";
import { LIVE_CLIENTS_PER_USER_MAX } from "./live_stream.ts";
import { Client, withConsole } from "../tests/support/console_bench.ts";

const TIMEOUT = { timeout: 120_000 };

test("PasswordHasher: only the right password matches, each hash has a salt of its own", async () => {
  const hasher = new PasswordHasher({ factor: 1024, rounds: 1 });
  const stored = await hasher.hash("pässword");
  assert.match(stored, /^scrypt\$1024\$8\$1\$/);
  assert.notEqual(await hasher.hash("pässword"), stored);
  assert.equal(await hasher.matches("pässword", stored), true);
  assert.equal(await hasher.matches("pa\u0308ssword", stored), true, "typed in another way");
  for (const wrong of ["", "password", "pässword "]) {
    assert.equal(await hasher.matches(wrong, stored), false, wrong);
  }
  for (const broken of [undefined, "", "scrypt$", "plain", "scrypt$9$9$9$a$b"]) {
    assert.equal(await hasher.matches("", broken), false, broken);
  }
  assert.match(randomPassword(), /^([a-z0-9-]{5}-){3}[a-z0-9-]{5}$/);
  assert.ok(sameText("a", "a") && !sameText("a", "ab"));
  // RFC 4231, test case 2.
  assert.equal(
    signatureOf("Jefe", "what do ya want for nothing?"),
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
});

test("PasswordHasher: many at once wait, too many are refused", async () => {
  const hasher = new PasswordHasher({ factor: 1024, rounds: 1 });
  const results = await Promise.allSettled(Array.from({ length: 30 }, () => hasher.hash("x")));
  const refused = results.filter(({ status }) => status === "rejected");
  assert.equal(refused.length, 30 - 2 - 4);
  assert.ok(await hasher.hash("x"), "room again");
});

test("LoginRateLimiter: stops an address after too many failures, for a while", () => {
  const clock = new ManualClock();
  const limiter = new LoginRateLimiter(clock);
  for (let index = 0; index < LOGIN_FAILURES_PER_ADDRESS_MAX; index++) {
    assert.equal(limiter.waitS("1.1.1.1"), 0);
    limiter.failed("1.1.1.1");
  }
  assert.equal(limiter.waitS("1.1.1.1"), LOGIN_WINDOW_MS / 1000);
  assert.equal(limiter.waitS("2.2.2.2"), 0);
  clock.advance(LOGIN_WINDOW_MS);
  assert.equal(limiter.waitS("1.1.1.1"), 0);
});

test(
  "login: wrong ones are slowed down and written down; a right one gets a strict cookie",
  TIMEOUT,
  async () => {
    await withConsole(async ({ nobody, password, clients }) => {
      const right = await nobody.ask("POST /session", { body: { name: "viewer", password } });
      const cookie = right.headers.get("Set-Cookie") ?? "";
      assert.match(cookie, /^lars_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
      assert.match(right.headers.get("Content-Security-Policy") ?? "", /default-src 'none'/);
      assert.doesNotMatch(right.headers.get("Content-Security-Policy") ?? "", /unsafe/);
      assert.equal(right.headers.get("Cache-Control"), "no-store");
      const wrong = { name: "viewer", password: "no" };
      const statuses: number[] = [];
      for (let index = 0; index < LOGIN_FAILURES_PER_ADDRESS_MAX + 2; index++) {
        statuses.push((await nobody.ask("POST /session", { body: wrong })).status);
      }
      assert.deepEqual([...new Set(statuses)], [401, 429]);
      const late = await nobody.ask("POST /session", { body: { name: "viewer", password } });
      assert.equal(late.status, 429, "the right one has to wait too");
      assert.ok(Number(late.headers.get("Retry-After")) > 0);
      const { entries } = await clients.admin.get<ResponseOf<"listAudit">>(
        "GET /audit?action=login&who=viewer",
      );
      assert.equal(
        entries.filter(({ outcome }) => outcome === "refused").length,
        LOGIN_FAILURES_PER_ADDRESS_MAX,
      );
      assert.ok(!JSON.stringify(entries).includes(password));
    });
  },
);

test(
  "strangers who guess from many addresses lock nobody out, whom they name or not",
  TIMEOUT,
  async () => {
    await withConsole(async ({ nobody, base, password, clients }) => {
      const login = (name: string, word: string, from: string): Promise<Response> =>
        fetch(`${base}/api/v1/session`, {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-Forwarded-For": from },
          body: JSON.stringify({ name, password: word }),
        });
      for (let guess = 0; guess < 80; guess++) {
        await login("viewer", "wrong", `198.51.100.${guess % 4}`);
      }
      const stopped = await login("viewer", password, "198.51.100.1");
      assert.equal(stopped.status, 429, "one of the four has to wait");
      const own = await login("viewer", password, "203.0.113.5");
      assert.equal(own.status, 200, "the owner comes in from elsewhere");
      const spoofed = await login("viewer", password, "203.0.113.9, 198.51.100.1");
      assert.equal(spoofed.status, 429, "what stands before the proxy's word is not believed");
      assert.equal(
        (await nobody.ask("POST /session", { body: { name: "viewer", password } })).status,
        200,
      );
      const { entries } = await clients.admin.get<ResponseOf<"listAudit">>(
        "GET /audit?action=login&who=viewer",
      );
      assert.ok(entries.some(({ address }) => address === "203.0.113.5"), "the audit names it");
    });
  },
);

test("one user cannot take all streams", TIMEOUT, async () => {
  await withConsole(async ({ clients: { viewer, operator }, base }) => {
    const aborts = new AbortController();
    const open = async (client: Client): Promise<number> => {
      const { signal } = aborts;
      const headers = client.headers as Record<string, string>;
      return (await fetch(`${base}/api/v1/live?view=overview`, { headers, signal })).status;
    };
    const statuses = await Promise.all(
      Array.from({ length: LIVE_CLIENTS_PER_USER_MAX + 5 }, () => open(viewer)),
    );
    assert.equal(statuses.filter((status) => status === 200).length, LIVE_CLIENTS_PER_USER_MAX);
    assert.equal(statuses.filter((status) => status === 507).length, 5);
    assert.equal(await open(operator), 200);
    aborts.abort();
  });
});

test("a new user must change the one-time password, and then may work", TIMEOUT, async () => {
  await withConsole(async ({ nobody, clients: { admin }, base }) => {
    const made = await admin.get<ResponseOf<"addUser">>("POST /users", {
      body: { name: "eve", role: "operator" },
    });
    assert.equal(made.user.mustChangePassword, true);
    const eve = await nobody.login("eve", made.password);
    const other = await nobody.login("eve", made.password);
    const early = await eve.ask("GET /overview");
    assert.deepEqual([early.status, early.problem.type], [403, "urn:lars:password-change-needed"]);
    assert.equal((await eve.ask("GET /session")).status, 200);
    const change = (oldPassword: string, newPassword: string): Promise<number> =>
      eve.ask("PUT /session/password", { body: { oldPassword, newPassword } })
        .then(({ status }) => status);
    assert.equal(await change("wrong", "a long new password"), 401);
    assert.equal(await change(made.password, made.password), 409);
    assert.equal(await change(made.password, "a long new password"), 200);
    assert.equal((await eve.ask("GET /overview")).status, 200);
    assert.equal((await other.ask("GET /overview")).status, 401, "other sessions have ended");
    await nobody.login("eve", "a long new password");
    const reset = await admin.get<ResponseOf<"resetPassword">>("POST /users/eve/password");
    assert.equal((await eve.ask("GET /overview")).status, 401);
    await nobody.login("eve", reset.password);
    await admin.get("DELETE /users/eve");
    assert.equal(
      (await nobody.ask("POST /session", {
        body: { name: "eve", password: reset.password },
      })).status,
      401,
    );
    assert.equal(new Client(base).headers.Cookie, undefined);
  });
});

test("tokens are the owner's: nobody sees, uses or widens those of others", TIMEOUT, async () => {
  await withConsole(async ({ clients: { admin, operator, viewer } }) => {
    const body = { title: "ci", role: "admin", days: 1 };
    assert.equal((await operator.ask("POST /tokens", { body })).status, 403);
    const token = await operator.get<ResponseOf<"addToken">>("POST /tokens", {
      body: { ...body, role: "viewer" },
    });
    assert.match(token.secret, /^lars_/);
    const list = (client: Client): Promise<ResponseOf<"listTokens">> =>
      client.get<ResponseOf<"listTokens">>("GET /tokens");
    assert.equal((await list(viewer)).tokens.length, 0);
    assert.equal((await list(operator)).tokens.length, 1);
    assert.ok(!JSON.stringify(await list(admin)).includes(token.secret));
    assert.equal((await viewer.ask(`DELETE /tokens/${token.id}`)).status, 404);
    assert.equal((await admin.ask(`DELETE /tokens/${token.id}`)).status, 204);
  });
});

test("the help of the login page names the database on this host only", TIMEOUT, async () => {
  await withConsole(async ({ nobody }) => {
    const here = await nobody.get<ResponseOf<"getLoginHelp">>("GET /session/help");
    assert.match(here.storeOption, /^--store '?sqlite:\//, "a path that works in any folder");
    for (const name of ["X-Forwarded-For", "Forwarded", "Via"]) {
      const headers = { [name]: "192.0.2.1" };
      const away = await nobody.get<typeof here>("GET /session/help", { headers });
      assert.deepEqual(away, { provider: null, storeOption: "", readOnly: null }, name);
    }
  });
});
