import assert from "node:assert/strict";
import { test } from "node:test";
import { type LogFields, silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { StoreError } from "../reactor/errors.ts";
import { OIDC_RETURN_PATH, OidcLogin, type OidcLoginOptions } from "./oidc_login.ts";

function loginWith(own: Pick<OidcLoginOptions, "access" | "clock" | "log">): OidcLogin {
  return new OidcLogin({
    ...{ ...own, secureCookie: true, issuer: new URL("https://login.example.org") },
    ...{ clientId: "lars", clientSecret: undefined, scopes: "openid" },
    rules: { nameClaim: "name", groupsClaim: "groups", roles: new Map() },
    consoleUrl: new URL("https://lars.example.org"),
  });
}

test("a database that is away is not said to be the provider's refusal", async () => {
  const errors: string[] = [];
  const clock = new ManualClock();
  const away = new StoreError("The database does not answer", true);
  const login = loginWith({
    ...{ clock, access: { loginByIdentity: () => Promise.reject(away) } as never },
    log: { ...silentLogger, error: (_message, fields) => errors.push(String(fields?.error)) },
  });
  const begun = { state: "s", nonce: "n", verifier: "v", to: "/", untilMs: clock.wallMs() + 1000 };
  const headers = { Cookie: `lars_oidc=${btoa(JSON.stringify(begun)).replaceAll("=", "")}` };
  const request = new Request(`https://lars.example.org${OIDC_RETURN_PATH}?code=x`, { headers });
  const response = await login.answer(request, "192.0.2.1");
  assert.equal(response?.headers.get("Location"), "/#login=store-away");
  assert.deepEqual(errors, ["The database does not answer"]);
});

test("who comes back from no login is sent to the login page, and cannot fill the log", async () => {
  const clock = new ManualClock();
  const lines: LogFields[] = [];
  const login = loginWith({
    ...{ clock, access: {} as never },
    log: { ...silentLogger, warn: (_message, fields) => lines.push(fields ?? {}) },
  });
  const comeBack = (): Promise<Response | undefined> =>
    login.answer(
      new Request(`https://lars.example.org${OIDC_RETURN_PATH}?code=x&state=y`),
      "192.0.2.1",
    );
  for (let i = 0; i < 100; i++) {
    const response = await comeBack();
    assert.equal(response?.headers.get("Location"), "/#login=begun-elsewhere");
  }
  assert.equal(lines.length, 10);
  clock.advance(1000);
  await comeBack();
  assert.deepEqual(lines.at(-1), {
    ...{ fault: "begun-elsewhere", address: "192.0.2.1", heldBack: 90 },
    error: "The browser brought no login that it began",
  });
});
