import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessService } from "../control/access/access_service.ts";
import { type LogFields, silentLogger } from "../reactor/log.ts";
import { ManualClock } from "../reactor/time/manual_clock.ts";
import { OIDC_RETURN_PATH, OidcLogin } from "./oidc_login.ts";

test("who comes back from no login is sent to the login page, and cannot fill the log", async () => {
  const clock = new ManualClock();
  const lines: LogFields[] = [];
  const login = new OidcLogin({
    ...{ clock, access: {} as AccessService, secureCookie: true },
    log: { ...silentLogger, warn: (_message, fields) => lines.push(fields ?? {}) },
    issuer: new URL("https://login.example.org"),
    ...{ clientId: "lars", clientSecret: undefined, scopes: "openid" },
    rules: { nameClaim: "name", groupsClaim: "groups", roles: new Map() },
    consoleUrl: new URL("https://lars.example.org"),
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
