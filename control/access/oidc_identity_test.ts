import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfigError } from "../../reactor/errors.ts";
import { isLoginFault, LOGIN_FAULTS, LoginFaultError } from "./login_faults.ts";
import { groupRoles, identityOf, safeReturnPath } from "./oidc_identity.ts";

const ISSUER = "https://login.example.org";
const RULES = {
  nameClaim: "preferred_username",
  groupsClaim: "groups",
  roles: groupRoles("lars-admins=admin, ops = operator, staff=viewer"),
};

test("groupRoles: pairs with any sign but a comma in a group, and what is no pair is named", () => {
  assert.deepEqual([...groupRoles("")], []);
  assert.deepEqual([...groupRoles("a=b=viewer, /team x=admin,*=viewer,")], [
    ["a=b", "viewer"],
    ["/team x", "admin"],
    ["*", "viewer"],
  ]);
  assert.deepEqual([...groupRoles("a=admin, a=viewer")], [["a", "admin"]], "the strongest");
  for (const wrong of ["admins", "=admin", "a=root", "a=registrar", "a=", "x=viewer, a:admin"]) {
    assert.throws(() => groupRoles(wrong), (error) => {
      assert.ok(error instanceof ConfigError, wrong);
      assert.match(error.message, /roles must be pairs of group=role .* is none$/);
      return true;
    });
  }
});

test("identityOf: the strongest role of all groups; no role, no name, no subject is said", () => {
  const claims = { sub: "17", preferred_username: "zoe" };
  const cases: [more: Record<string, unknown>, result: string][] = [
    [{ groups: ["staff", "ops", "other"] }, "operator"],
    [{ groups: ["lars-admins", "staff"] }, "admin"],
    [{ groups: "staff" }, "viewer"],
    [{ groups: [7, null, "staff"] }, "viewer"],
    [{ groups: [] }, "no-role"],
    [{}, "no-role"],
    [{ groups: ["*"] }, "no-role"],
    [{ groups: { ops: true } }, "no-role"],
    [{ groups: "staff", preferred_username: undefined }, "bad-name"],
    [{ groups: "staff", preferred_username: "a b" }, "bad-name"],
    [{ groups: "staff", preferred_username: "x".repeat(65) }, "bad-name"],
    [{ groups: "staff", sub: "" }, "refused"],
    [{ groups: "staff", sub: 17 }, "refused"],
  ];
  for (const [more, result] of cases) {
    try {
      const identity = identityOf(ISSUER, { ...claims, ...more }, RULES);
      assert.deepEqual(identity, { issuer: ISSUER, subject: "17", name: "zoe", role: result });
    } catch (error) {
      if (!(error instanceof LoginFaultError)) throw error;
      assert.equal(error.fault, result, JSON.stringify(more));
    }
  }
  const everybody = { ...RULES, roles: groupRoles("*=viewer, ops=operator") };
  assert.equal(identityOf(ISSUER, claims, everybody).role, "viewer");
  assert.equal(identityOf(ISSUER, { ...claims, groups: ["ops"] }, everybody).role, "operator");
});

test("identityOf: claims of any shape give a user's name and role, or a fault with a sentence", () => {
  const claims = fc.dictionary(
    fc.constantFrom("sub", "preferred_username", "groups", "name"),
    fc.oneof(fc.string(), fc.jsonValue(), fc.constantFrom("ops", "staff")),
  );
  fc.assert(fc.property(claims, (value) => {
    try {
      const { name, role } = identityOf(ISSUER, value, RULES);
      assert.match(name, /^[A-Za-z0-9][\w.@-]{0,63}$/);
      assert.ok(["viewer", "operator", "admin"].includes(role));
    } catch (error) {
      assert.ok(error instanceof LoginFaultError);
      assert.ok(isLoginFault(error.fault) && LOGIN_FAULTS[error.fault] !== "");
    }
  }));
  assert.ok(!isLoginFault("toString"));
});

test("safeReturnPath: a path of this console, never another site", () => {
  for (const path of ["/", "/modules/1/1?tab=x&y=%20"]) {
    assert.equal(safeReturnPath(path), path);
  }
  const away = [
    null,
    "",
    "modules",
    "/events#now",
    "//evil.example",
    "/\\evil.example",
    "https://evil.example/",
  ];
  for (const path of [...away, "/a b", "/a\nb", "/\tb", "/a\\b", `/${"a".repeat(1000)}`, "/ü"]) {
    assert.equal(safeReturnPath(path), "/", String(path));
  }
  fc.assert(fc.property(fc.string(), (text) => {
    const { origin } = new URL(safeReturnPath(text), "https://console.example");
    assert.equal(origin, "https://console.example");
  }));
});
