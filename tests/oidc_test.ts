// People log in by a real OpenID Connect provider, in a browser and without one.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { LOGIN_FAULTS, type LoginFault } from "../control/access/login_faults.ts";
import { LOGIN_FAILURES_PER_ADDRESS_MAX } from "../control/access/login_rate_limiter.ts";
import { ConfigError } from "../reactor/errors.ts";
import type { ResponseOf } from "../web/contract.ts";
import { Browser, skipReason } from "./browser/chromium.ts";
import { type ConsoleBench, startTestConsole, withConsole } from "./support/console_bench.ts";
import { freePort } from "./support/free_port.ts";
import { type Processes, type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const TIMEOUT = { timeout: 300_000 };
const SECRET = "only-the-console-knows-this";

interface OidcBench extends ConsoleBench {
  readonly provider: TestProcess;
  /** Where the provider is. */
  readonly issuer: string;
  readonly processes: Processes;
  /** Options of such a console. */
  readonly settings: Parameters<typeof startTestConsole>[1];
}

/** Starts a provider and a console that knows it. */
async function withProvider(
  fn: (bench: OidcBench) => Promise<void>,
  options: { secret?: string; host?: string; groupsIn?: "id-token" | "user-info" } = {},
): Promise<void> {
  const { secret = SECRET, host = "127.0.0.1", groupsIn = "user-info" } = options;
  await withProcesses(async (processes) => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const provider = processes.spawn("provider", "tests/support/oidc_provider_program.ts", [
      ...[host, `${url}/oidc/callback`, secret, groupsIn],
    ]);
    const issuer = (): string | undefined => /listening at (\S+)/.exec(provider.stdout)?.[1];
    await until(() => issuer() !== undefined, { timeoutMs: 60_000, what: () => provider.stderr });
    const secretFile = join(processes.directory, "client-secret");
    writeFileSync(secretFile, `${SECRET}\n`);
    const settings = {
      settings: {
        ...{ listenPort: port, url, oidcIssuer: issuer() ?? "", oidcClientId: "lars" },
        oidcSecretFile: secret === "" ? "" : secretFile,
        oidcRoles: "lars-admins=admin, ops=operator, staff=viewer",
        oidcTitle: "Example login",
      },
    };
    await withConsole(
      (bench) => fn({ ...bench, provider, issuer: issuer() ?? "", processes, settings }),
      settings,
    );
  });
}

/** Tells the provider who somebody is, as {@linkcode Visitor.toReturn} takes it. */
async function setAccount(provider: string, account: string): Promise<string> {
  const [who, ...groups] = account.split("+");
  const [id, name = id] = who.split("=");
  const url = new URL("/accounts", provider);
  url.search = new URLSearchParams({ id, name, groups: groups.join(",") }).toString();
  assert.equal((await fetch(url)).status, 200);
  return id;
}

/** What a browser does with redirects, forms and cookies. */
class Visitor {
  readonly #cookies = new Map<string, string>();
  #jar(url: URL): string {
    return [...this.#cookies].filter(([key]) => key.startsWith(`${url.host} `))
      .map(([key, value]) => `${key.slice(url.host.length + 1)}=${value}`).join("; ");
  }

  cookie(base: string, name: string): string | undefined {
    return this.#cookies.get(`${new URL(base).host} ${name}`);
  }

  forget(base: string, name: string): void {
    this.#cookies.delete(`${new URL(base).host} ${name}`);
  }

  /** One request; no redirect is followed. */
  async ask(address: string | URL, form?: Record<string, string>): Promise<Response> {
    const url = new URL(address);
    const response = await fetch(url, {
      redirect: "manual",
      headers: { Cookie: this.#jar(url) },
      ...(form === undefined ? {} : { method: "POST", body: new URLSearchParams(form) }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      const isGone = /max-age=0|expires=Thu, 01 Jan 1970/i.test(line);
      if (isGone) this.#cookies.delete(`${url.host} ${name}`);
      else this.#cookies.set(`${url.host} ${name}`, value);
    }
    return response;
  }

  /**
   * Logs in at the provider.
   *
   * @param account What is typed, and behind plus signs the groups: `zoe+ops+staff`. With another
   *   name than `zoe` for the person: `zoe=zoe.new+ops`.
   * @returns the address that the provider sends the browser back to.
   */
  async toReturn(base: string, account: string, to = "/"): Promise<URL> {
    let at = new URL(`/oidc/login?to=${encodeURIComponent(to)}`, base);
    let response = await this.ask(at);
    const id = await setAccount(response.headers.get("Location") ?? "", account);
    for (let hop = 0; hop < 10; hop++) {
      if (response.status === 200) {
        const action = /action="([^"]+)"/.exec(await response.text())?.[1] ?? "";
        const form = { prompt: "login", login: id, password: "any" };
        response = await this.ask(new URL(action, at), form);
      }
      at = new URL(response.headers.get("Location") ?? assert.fail(await response.text()), at);
      if (at.pathname === "/oidc/callback") return at;
      response = await this.ask(at);
    }
    return assert.fail("too many redirects");
  }

  /** A whole login. @returns where it ends. */
  async login(base: string, account: string, to?: string): Promise<string> {
    const response = await this.ask(await this.toReturn(base, account, to));
    assert.equal(response.status, 302);
    return response.headers.get("Location") ?? "";
  }

  async session(base: string): Promise<ResponseOf<"getSession"> | undefined> {
    const response = await this.ask(`${base}/api/v1/session`);
    return response.status === 200 ? await response.json() : undefined;
  }
}

test(
  "a login by the provider makes a user with the role of its groups, each time anew",
  TIMEOUT,
  async () => {
    await withProvider(async ({ base, clients: { admin }, nobody }) => {
      const visitor = new Visitor();
      assert.equal(
        await visitor.login(base, "zoe+ops+other", "/modules?tab=1"),
        "/modules?tab=1#login=done",
      );
      const session = await visitor.session(base);
      assert.deepEqual([session?.name, session?.role, session?.isByProvider], [
        "zoe",
        "operator",
        true,
      ]);
      assert.equal(session?.mustChangePassword, false);
      assert.equal(visitor.cookie(base, "lars_oidc"), undefined, "what the login needed is gone");
      // Another browser, other groups: the same user with another role; the old session ends.
      const later = new Visitor();
      assert.equal(await later.login(base, "zoe+lars-admins+staff"), "/#login=done");
      assert.equal((await later.session(base))?.role, "admin");
      assert.equal(await visitor.session(base), undefined);
      // Renamed at the provider: still the same user, by what the provider calls them for ever.
      const renamed = new Visitor();
      await renamed.login(base, "zoe=zoe.new+staff");
      assert.deepEqual([(await renamed.session(base))?.name, (await renamed.session(base))?.role], [
        "zoe",
        "viewer",
      ]);
      const { users } = await admin.get<ResponseOf<"listUsers">>("GET /users");
      assert.deepEqual(
        users.filter(({ login }) => login === "provider").map(({ name, role }) => [name, role]),
        [["zoe", "viewer"]],
      );
      const { entries } = await admin.get<ResponseOf<"listAudit">>("GET /audit?who=zoe");
      assert.deepEqual(entries.map(({ action }) => action), [
        ...["login.oidc", "user.set", "login.oidc", "user.set", "login.oidc", "user.add"],
      ]);
      // There is no password that would let them in, and none to change.
      for (const password of ["", "oidc$", "any"]) {
        const answer = await nobody.ask("POST /session", { body: { name: "zoe", password } });
        assert.ok([401, 422].includes(answer.status), password);
      }
    });
  },
);

test("groups in the token, and a client without a secret, serve as well", TIMEOUT, async () => {
  await withProvider(async ({ base }) => {
    const visitor = new Visitor();
    assert.equal(await visitor.login(base, "ann+staff"), "/#login=done");
    assert.equal((await visitor.session(base))?.role, "viewer");
  }, { secret: "", groupsIn: "id-token" });
});

test("who may not come in is told why, and nothing is made or taken over", TIMEOUT, async () => {
  await withProvider(async ({ base, clients: { admin } }) => {
    const refused = async (account: string, fault: LoginFault): Promise<void> => {
      const visitor = new Visitor();
      assert.equal(await visitor.login(base, account), `/#login=${fault}`, account);
      assert.equal(await visitor.session(base), undefined, account);
    };
    await refused("zoe", "no-role");
    await refused("zoe+*", "no-role");
    await refused("admin+lars-admins", "name-taken");
    await refused("a b+ops", "bad-name");
    await new Visitor().login(base, "eve+ops");
    await admin.get("PATCH /users/eve", { body: { isDisabled: true } });
    await refused("eve+ops", "locked-out");
    const { users } = await admin.get<ResponseOf<"listUsers">>("GET /users");
    assert.deepEqual(users.map(({ name }) => name), ["admin", "eve", "operator", "viewer"]);
    const { entries } = await admin.get<ResponseOf<"listAudit">>("GET /audit?action=login");
    assert.ok(entries.some(({ who, detail }) => who === "eve" && /locked out/.test(detail)));
  });
});

test(
  "answers that this browser did not ask for, or that come twice, let nobody in",
  TIMEOUT,
  async () => {
    await withProvider(async ({ base }) => {
      const visitor = new Visitor();
      const back = await visitor.toReturn(base, "zoe+ops");
      const stranger = new Visitor();
      const at = async (who: Visitor, url: URL): Promise<string> =>
        (await who.ask(url)).headers.get("Location") ?? "";
      assert.equal(await at(stranger, back), "/#login=begun-elsewhere", "another browser");
      const forged = new URL(back);
      forged.searchParams.set("state", "another");
      assert.equal(await at(visitor, forged), "/#login=refused", "another state");
      await visitor.toReturn(base, "zoe+ops");
      assert.equal(await at(visitor, back), "/#login=refused", "the answer of an older login");
      const good = await visitor.toReturn(base, "zoe+ops");
      const cookie = visitor.cookie(base, "lars_oidc") ?? "";
      assert.equal(await at(visitor, good), "/#login=done");
      const again = await fetch(good, {
        redirect: "manual",
        headers: { Cookie: `lars_oidc=${cookie}` },
      });
      assert.equal(again.headers.get("Location"), "/#login=refused", "a code is good once");
      const denied = new URL(`${base}/oidc/callback?error=access_denied`);
      denied.searchParams.set(
        "state",
        JSON.parse(atob(cookie.replaceAll("-", "+").replaceAll("_", "/"))).state,
      );
      const no = await fetch(denied, {
        redirect: "manual",
        headers: { Cookie: `lars_oidc=${cookie}` },
      });
      assert.equal(no.headers.get("Location"), "/#login=refused");
      assert.equal((await stranger.ask(`${base}/oidc/else`)).status, 404);
      for (const junk of ["", "x", btoa("null"), btoa("7"), btoa('{"state":1}')]) {
        const answer = await fetch(good, {
          redirect: "manual",
          headers: { Cookie: `lars_oidc=${junk}` },
        });
        assert.equal(answer.headers.get("Location"), "/#login=begun-elsewhere", junk);
      }
      // A link to the login leads to no other site.
      assert.equal(await new Visitor().login(base, "zoe+ops", "//evil.example/"), "/#login=done");
    });
  },
);

test("strangers who try have to wait, and then do not reach the provider", TIMEOUT, async () => {
  await withProvider(async ({ base, clients: { admin } }) => {
    const visitor = new Visitor();
    await visitor.ask(`${base}/oidc/login`);
    const faults: string[] = [];
    for (let index = 0; index < LOGIN_FAILURES_PER_ADDRESS_MAX + 1; index++) {
      const headers = { Cookie: `lars_oidc=${visitor.cookie(base, "lars_oidc")}` };
      const url = `${base}/oidc/callback?code=guess${index}&state=x`;
      const answer = await fetch(url, { redirect: "manual", headers });
      faults.push(answer.headers.get("Location") ?? "");
    }
    assert.deepEqual([...new Set(faults)], ["/#login=refused", "/#login=too-many"]);
    assert.equal((await admin.ask("GET /session")).status, 200, "sessions go on");
  });
});

test(
  "a provider that is away is said, and found again; passwords serve meanwhile",
  TIMEOUT,
  async () => {
    await withProvider(async ({ base, provider, nobody, password }) => {
      await provider.kill9();
      const visitor = new Visitor();
      const answer = await visitor.ask(`${base}/oidc/login`);
      assert.equal(answer.headers.get("Location"), "/#login=unreachable");
      await nobody.login("viewer", password);
    });
  },
);

test(
  "a configuration by which nobody could log in ends the start with what is missing",
  TIMEOUT,
  async () => {
    await withConsole(async ({ url }) => {
      const whole = {
        ...{ url: "http://127.0.0.1:8080", oidcIssuer: "https://login.example.org" },
        ...{ oidcClientId: "lars", oidcRoles: "*=viewer" },
      };
      const cases: [changed: Record<string, string>, words: RegExp][] = [
        [{ oidcClientId: "" }, /\[oidc\] client_id is needed/],
        [{ oidcRoles: "" }, /\[oidc\] roles is needed/],
        [{ oidcRoles: "a=root" }, /a=root is none/],
        [{ oidcIssuer: "login.example.org" }, /must begin with https:/],
        [{ oidcIssuer: "http://login.example.org" }, /must begin with https:/],
        [{ url: "" }, /\[web\] url is needed .* it is empty/],
        [{ url: "http://lars.example.org" }, /host_names must hold lars.example.org/],
        [{ oidcSecretFile: "/no/such/file" }, /\[oidc\] client_secret_file cannot be read/],
      ];
      for (const [changed, words] of cases) {
        await assert.rejects(
          startTestConsole(url, { settings: { ...whole, ...changed } }),
          (error) => error instanceof ConfigError && words.test(error.message),
          JSON.stringify(changed),
        );
      }
      await (await startTestConsole(url, { settings: whole })).stop();
    });
  },
);

test(
  "in a browser: the button, the provider's page, and back in; what is refused is said",
  { ...TIMEOUT, skip: skipReason() },
  async () => {
    // The provider has another name than the console, so that cookies go as between two sites.
    await withProvider(async ({ base, issuer }) => {
      const browser = await Browser.start();
      browser.expected.push(/request to another host: http:\/\/localhost/);
      try {
        const { page } = browser;
        const enter = async (account: string): Promise<void> => {
          const id = await setAccount(issuer, account);
          await page.getByRole("link", { name: "Log in with Example login" }).click();
          await page.getByPlaceholder("Enter any login").fill(id);
          await page.getByPlaceholder("and password").fill("any");
          await page.getByRole("button", { name: "Sign-in" }).click();
        };
        await page.goto(`${base}/modules`);
        await browser.screenshot("oidc-login");
        await enter("zoe");
        await page.getByText(LOGIN_FAULTS["no-role"]).waitFor();
        assert.equal(new URL(page.url()).hash, "");
        await browser.checkAccess("login that was refused");
        await browser.screenshot("oidc-refused");
        await page.context().clearCookies();
        await page.goto(`${base}/modules`);
        await enter("zoe+lars-admins");
        await page.getByRole("heading", { name: "Modules" }).waitFor();
        assert.equal(new URL(page.url()).pathname, "/modules");
        await page.goto(`${base}/account`);
        await page.getByText("You log in by a provider").waitFor();
        await browser.screenshot("oidc-account");
        await page.reload();
        await page.getByText("You log in by a provider").waitFor();
        await page.goto(`${base}/users`);
        await page.getByText("logs in by the provider").waitFor();
        await browser.screenshot("oidc-users");
      } finally {
        await browser.close();
      }
    }, { host: "localhost" });
  },
);
