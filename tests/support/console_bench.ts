// Shell. A console in this process on a fresh SQLite database, and clients of every role, for tests.

import assert from "node:assert/strict";
import { join } from "node:path";
import { softwareName } from "../../daemon/daemon.ts";
import { readSettings, type SettingsOf } from "../../daemon/settings/settings.ts";
import { type Logger, silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { withStore } from "../../sql/testing/store_conformance.ts";
import type { Store } from "../../sql/store.ts";
import { withTempDir } from "./temp_dir.ts";
import { runtimeTransport } from "../../session/runtime_transport.ts";
import { webSettings } from "../../web/config.ts";
import type { UserRole } from "../../sql/console/console_store.ts";
import { API_PREFIX, CSRF_HEADER, type ProblemBody } from "../../web/contract.ts";
import { PasswordHasher } from "../../control/access/secrets.ts";
import { startWeb, type WebOptions, type WebService } from "../../web/service.ts";

/** Cheap to try: tests log in many times. */
export const CHEAP_HASHER = new PasswordHasher({ factor: 1024, rounds: 1 });
const PASSWORD = "correct horse battery staple";

/** What a request gave. */
export interface Answer<T = unknown> {
  readonly status: number;
  readonly value: T;
  readonly problem: ProblemBody;
  readonly headers: Headers;
}

/** What a client adds to a request. */
export interface AskOptions {
  readonly body?: unknown;
  readonly ifMatch?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A client with what it needs to be known: a cookie and a CSRF token, a token, or nothing. */
export class Client {
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(base: string, headers: Readonly<Record<string, string>> = {}) {
    this.base = base;
    this.headers = headers;
  }

  /** `ask("GET /modules/1/1")`. */
  async ask<T = unknown>(route: string, options: AskOptions = {}): Promise<Answer<T>> {
    const [method, path] = route.split(" ");
    const response = await fetch(this.base + API_PREFIX + path, {
      method,
      headers: {
        ...this.headers,
        ...(options.body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(options.ifMatch === undefined ? {} : { "If-Match": `"${options.ifMatch}"` }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : {
        body: typeof options.body === "string" ? options.body : JSON.stringify(options.body),
      }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("Content-Type") ?? "");
    const value = (isJson && text !== "" ? JSON.parse(text) : text) as T & ProblemBody;
    return { status: response.status, value, problem: value, headers: response.headers };
  }

  /** As {@linkcode ask}, and asserts that it went well. */
  async get<T>(route: string, options: AskOptions = {}): Promise<T> {
    const { status, value } = await this.ask<T>(route, options);
    assert.ok(status < 300, `${route}: ${status} ${JSON.stringify(value)}`);
    return value;
  }

  /** Logs in; the client that is logged in. */
  async login(name: string, password: string): Promise<Client> {
    const { status, value, headers } = await this.ask<{ csrfToken: string }>("POST /session", {
      body: { name, password },
    });
    assert.equal(status, 200, JSON.stringify(value));
    const cookie = (headers.get("Set-Cookie") ?? "").split(";")[0];
    return new Client(this.base, { Cookie: cookie, [CSRF_HEADER]: value.csrfToken });
  }
}

/** A running console. */
export interface ConsoleBench {
  readonly base: string;
  readonly store: Store;
  readonly url: string;
  /** Somebody who is not logged in. */
  readonly nobody: Client;
  /** Logged in, by role. */
  readonly clients: Readonly<Record<UserRole, Client>>;
  readonly password: string;
}

async function addPeople(store: Store): Promise<void> {
  const passwordHash = await CHEAP_HASHER.hash(PASSWORD);
  for (const role of ["admin", "operator", "viewer"] as const) {
    await store.console.addUser({
      name: role,
      role,
      passwordHash,
      mustChange: false,
      disabled: false,
      createdAtMs: 1,
      loginAtMs: 0,
    }, {
      atMs: 1,
      who: "test",
      action: "user.add",
      target: role,
      outcome: "done",
      detail: "",
      address: "",
    });
  }
}

/** What a console of a test is given besides its database. */
export type TestConsoleOptions = WebOptions & {
  /** @default {silentLogger} */
  log?: Logger;
  settings?: Partial<SettingsOf<typeof webSettings>>;
};

/** Starts a console in this process, on a free port, that announces nothing. */
export function startTestConsole(
  url: string,
  options: TestConsoleOptions = {},
): Promise<WebService> {
  const settings = {
    ...readSettings(webSettings, { flags: {} }),
    listenIp: "127.0.0.1",
    listenPort: 0,
    hostNames: "",
    secureCookie: false,
    ...{ agent: "127.0.0.1:1", relays: "127.0.0.1:1" },
    storeUrl: url,
    mysqlHost: "",
    mysqlPort: 3306,
    mysqlUser: "",
    mysqlPassword: "",
    mysqlDatabase: "",
    url: "",
    webhookAllow: "",
    trustedProxies: "127.0.0.1, ::1",
    tokenFile: "",
    addressTranslation: false,
    allowInsecure: false,
    ...options.settings,
  };
  return startWeb(settings, {
    clock: systemClock,
    rng: systemRng,
    log: options.log ?? silentLogger,
    software: softwareName(),
    secrets: undefined,
    tls: undefined,
    transport: runtimeTransport,
  }, { announce: () => {}, ...options });
}

/** Runs `fn` with a console that has a user of each role, named as the role. */
export function withConsole(
  fn: (bench: ConsoleBench) => Promise<void>,
  options: TestConsoleOptions = {},
): Promise<void> {
  return withTempDir(async (path) => {
    const url = `sqlite:${join(path, "lars.db")}`;
    await withStore(url, async (store) => {
      await store.migrate();
      await addPeople(store);
      const service = await startTestConsole(url, options);
      try {
        const base = `http://${service.addresses[0]}`;
        const nobody = new Client(base);
        const clients = {
          admin: await nobody.login("admin", PASSWORD),
          operator: await nobody.login("operator", PASSWORD),
          viewer: await nobody.login("viewer", PASSWORD),
        };
        await fn({ base, store, url, nobody, clients, password: PASSWORD });
      } finally {
        await service.stop();
      }
    });
  });
}
