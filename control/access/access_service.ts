// Shell. Users, logins, sessions and API tokens.

import type { Clock } from "../../reactor/time/clock.ts";
import { ConflictError, StoreError } from "../../reactor/errors.ts";
import type {
  AuditRow,
  BackFilter,
  ConsoleStore,
  TokenRow,
  UserRole,
  UserRow,
} from "../../sql/console/console_store.ts";
import { type Actor, auditOf, lesserRole, mayAct } from "./actor.ts";
import { clientKey } from "./client_address.ts";
import { LoginFaultError } from "./login_faults.ts";
import { LoginRateLimiter } from "./login_rate_limiter.ts";
import type { Identity } from "./oidc_identity.ts";
import { ControlError } from "../control_error.ts";
import {
  csrfTokenOf,
  type PasswordHasher,
  randomPassword,
  randomSecret,
  sameText,
  secretHash,
} from "./secrets.ts";
import { NewerSchemaError } from "../../sql/schema/newer_schema.ts";
import type { OneTimePassword, Token, User } from "../schemas.ts";

/** A session ends when it is not used for so long, and at the latest after its age, in ms. */
export const SESSION_IDLE_MS = 12 * 3_600_000;
export const SESSION_AGE_MAX_MS = 7 * 86_400_000;
/** Addresses of users remembered; when full, the oldest are forgotten. */
const KNOWN_ADDRESSES_MAX = 10_000;
/** Signs of life of sessions and tokens are written down at most this often, in ms. */
const TOUCH_INTERVAL_MS = 60_000;
/** While the database is away, logins seen within this time still may read, in ms. */
const REMEMBERED_MS = 600_000;
const REMEMBERED_MAX = 1000;
/** One-time links that are open, and how long they are good, in ms. */
const LINKS_MAX = 16;
const LINK_AGE_MAX_MS = 24 * 3_600_000;
/** Every secret of a token begins so, that scanners find one that got lost. */
export const TOKEN_PREFIX = "lars_";
const DAY_MS = 86_400_000;
/** What stands in place of a password's hash for who logs in by a provider; then a digest. */
const IDENTITY_PREFIX = "oidc$";

/** Some of the fields. */
type Patch<T> = { readonly [Field in keyof T]?: T[Field] | undefined };

/** What the service works with. */
export interface AccessOptions {
  readonly store: ConsoleStore;
  readonly hasher: PasswordHasher;
  readonly clock: Clock;
}

/** What a login gives. */
export interface Login {
  /** The value of the cookie. */
  readonly secret: string;
  readonly actor: Actor;
}

function isByIdentity(user: UserRow | undefined): boolean {
  return user?.passwordHash.startsWith(IDENTITY_PREFIX) ?? false;
}

function userView(user: UserRow): User {
  return {
    name: user.name,
    role: user.role,
    login: isByIdentity(user) ? "provider" : "password",
    isDisabled: user.disabled,
    mustChangePassword: user.mustChange,
    createdAtMs: user.createdAtMs,
    lastLoginAtMs: user.loginAtMs === 0 ? null : user.loginAtMs,
  };
}

function tokenView(token: TokenRow): Token {
  return {
    id: token.id,
    title: token.title,
    owner: token.owner,
    role: token.role,
    createdAtMs: token.createdAtMs,
    expiresAtMs: token.expiresAtMs === 0 ? null : token.expiresAtMs,
    lastUsedAtMs: token.usedAtMs === 0 ? null : token.usedAtMs,
  };
}

/** Who may do what. */
export class AccessService {
  readonly #store: ConsoleStore;
  readonly #hasher: PasswordHasher;
  readonly #clock: Clock;
  readonly #limiter: LoginRateLimiter;
  /** Where users of ours have been since the start: they need not wait behind strangers. */
  readonly #knownAddresses = new Set<string>();
  readonly #links = new Map<string, { user: string; untilMs: number }>();
  /** Sessions opened by a link: they need no password, and may set one. */
  readonly #linkSessions = new Set<string>();
  readonly #remembered = new Map<string, { actor: Actor; untilMs: number }>();
  readonly #logins = { done: 0, refused: 0, limited: 0 };

  constructor({ store, hasher, clock }: AccessOptions) {
    this.#store = store;
    this.#hasher = hasher;
    this.#clock = clock;
    this.#limiter = new LoginRateLimiter(clock);
  }

  /** Logins since the start: done, refused, and not even tried because too many were wrong. */
  get loginCounts(): Readonly<Record<"done" | "refused" | "limited", number>> {
    return this.#logins;
  }

  /**
   * Makes the user `admin` when there is no user at all; with `byLinkOnly` one without a password.
   *
   * @returns its one-time password, or undefined when there are users.
   */
  async makeFirstAdmin(byLinkOnly: boolean): Promise<string | undefined> {
    if ((await this.#store.users()).length > 0) return undefined;
    const password = randomPassword();
    const user = await this.#newUser("admin", "admin", byLinkOnly ? undefined : password);
    const audit = auditOf({ name: "lars", address: "" }, this.#wallMs(), "user.add", "admin");
    return await this.#store.addFirstUser(user, audit) ? password : undefined;
  }

  /** A token that logs in once as the first admin that is not locked out; undefined if none is. */
  async makeLink(): Promise<string | undefined> {
    const users = await this.#store.users();
    const admin = users.find(({ role, disabled }) => role === "admin" && !disabled);
    if (admin === undefined) return undefined;
    const secret = randomSecret();
    if (this.#links.size >= LINKS_MAX) this.#links.clear();
    const untilMs = this.#clock.nowMs() + LINK_AGE_MAX_MS;
    this.#links.set(secretHash(secret), { user: admin.name, untilMs });
    return secret;
  }

  /** @throws {ControlError} wrong-login, too-many-requests. */
  async login(name: string, password: string, address: string): Promise<Login> {
    return await this.#counted(address, async (key) => {
      const user = await this.#store.user(name);
      const who = { address: key, isKnown: this.#knownAddresses.has(key) };
      const matches = await this.#hasher.matches(password, user?.passwordHash, who);
      if (user === undefined || !matches || user.disabled) {
        return await this.#refuseLogin(name, address, "Name or password is wrong");
      }
      return await this.#open(user, address, "login");
    });
  }

  /** @throws {ControlError} wrong-login, too-many-requests. */
  async loginByLink(token: string, address: string): Promise<Login> {
    return await this.#counted(address, async () => {
      const hash = secretHash(token);
      const link = this.#links.get(hash);
      this.#links.delete(hash);
      const user = link === undefined || link.untilMs < this.#clock.nowMs()
        ? undefined
        : await this.#store.user(link.user);
      if (user === undefined || user.disabled) {
        return await this.#refuseLogin("", address, "The link was used already, or is too old");
      }
      return await this.#open(user, address, "login.link", true);
    });
  }

  /**
   * Logs in whom an OpenID Connect provider proves. Who comes the first time becomes a user; the
   * role is that of the groups of each login. A user with a password is never taken over.
   *
   * @param prove Asks the provider; not called while too many logins of the address failed, those
   * that are under way counted with them.
   * @throws {LoginFaultError} and what `prove` throws.
   */
  async loginByIdentity(prove: () => Promise<Identity>, address: string): Promise<Login> {
    const attempt = async (): Promise<Login> => {
      let name = "";
      try {
        const identity = await prove();
        name = identity.name;
        return await this.#open(await this.#userOf(identity, address), address, "login.oidc");
      } catch (error) {
        // What the provider or the database cannot do is no guess of a stranger.
        if (error instanceof LoginFaultError && error.fault !== "unreachable") {
          await this.#noteRefusedLogin(name, address, error.message);
        }
        throw error;
      }
    };
    const tooMany = (message: string): Error => new LoginFaultError("too-many", message);
    return await this.#counted(address, attempt, tooMany);
  }

  /** The user of an identity, made or brought to the role of its groups. */
  async #userOf(identity: Identity, address: string): Promise<UserRow> {
    const { issuer, subject, name, role } = identity;
    const passwordHash = IDENTITY_PREFIX + secretHash(`${issuer}\n${subject}`);
    const users = await this.#store.users();
    const user = users.find((one) => one.passwordHash === passwordHash);
    const who = { name: user?.name ?? name, address };
    if (user === undefined) {
      if (users.some((one) => one.name === name)) {
        throw new LoginFaultError("name-taken", `There is a user ${name} with another login`);
      }
      const audit = auditOf(who, this.#wallMs(), "user.add", name, `${role}, by ${issuer}`);
      const made = { ...await this.#newUser(name, role, undefined), passwordHash };
      await this.#store.addUser({ ...made, mustChange: false }, audit);
      return { ...made, mustChange: false };
    }
    if (user.disabled) throw new LoginFaultError("locked-out", `${user.name} is locked out`);
    if (user.role === role) return user;
    const audit = auditOf(who, this.#wallMs(), "user.set", user.name, `${role}, by ${issuer}`);
    this.#remembered.clear();
    try {
      return this.#found(await this.#store.patchUser(user.name, { role }, audit), user.name);
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      throw new LoginFaultError("last-admin", error.message, { cause: error });
    }
  }

  /** Whose cookie this is; undefined when it is nobody's any more. */
  async actorOfCookie(secret: string, address: string): Promise<Actor | undefined> {
    return await this.#orRemembered(secretHash(secret), async (hash) => {
      const found = await this.#store.session(hash);
      const wallMs = this.#wallMs();
      if (found === undefined || found.user.disabled || found.session.expiresAtMs <= wallMs) {
        return undefined;
      }
      const { session, user } = found;
      if (wallMs - session.seenAtMs > TOUCH_INTERVAL_MS) {
        const endMs = Math.min(wallMs + SESSION_IDLE_MS, session.createdAtMs + SESSION_AGE_MAX_MS);
        await this.#touch(() => this.#store.touchSession(hash, wallMs, endMs));
      }
      return this.#cookieActor(user, secret, session.expiresAtMs, address);
    });
  }

  /** Whose API token this is; undefined when it is nobody's any more. */
  async actorOfToken(secret: string, address: string): Promise<Actor | undefined> {
    if (!secret.startsWith(TOKEN_PREFIX)) return undefined;
    return await this.#orRemembered(secretHash(secret), async (hash) => {
      const found = await this.#store.token(hash);
      const wallMs = this.#wallMs();
      if (found === undefined || found.user.disabled) return undefined;
      const { token, user } = found;
      if (token.expiresAtMs > 0 && token.expiresAtMs <= wallMs) return undefined;
      if (wallMs - token.usedAtMs > TOUCH_INTERVAL_MS) {
        await this.#touch(() => this.#store.touchToken(token.id, wallMs));
      }
      const role = lesserRole(user.role, token.role);
      if (role === undefined) return undefined;
      return {
        name: user.name,
        role,
        via: "token",
        title: token.title,
        address,
        session: "",
        csrfToken: null,
        mustChangePassword: false,
        isByLink: false,
        expiresAtMs: token.expiresAtMs === 0 ? null : token.expiresAtMs,
      };
    });
  }

  async logout(actor: Actor): Promise<void> {
    this.#remembered.delete(actor.session);
    this.#linkSessions.delete(actor.session);
    if (actor.session === "") return;
    await this.#store.removeSession(actor.session, this.#audit(actor, "logout", actor.name));
  }

  /** @throws {ControlError} wrong-login, conflict, too-many-requests. */
  async changePassword(
    actor: Actor,
    input: { oldPassword: string; newPassword: string },
  ): Promise<Actor> {
    return await this.#counted(actor.address, (key) => this.#changePassword(actor, input, key));
  }

  async #changePassword(
    actor: Actor,
    input: { oldPassword: string; newPassword: string },
    key: string,
  ): Promise<Actor> {
    const user = await this.#store.user(actor.name);
    if (isByIdentity(user)) {
      throw new ControlError(
        "conflict",
        "You log in by a provider: your password is changed there",
      );
    }
    const byLink = this.#linkSessions.has(actor.session);
    if (!byLink && !await this.#hasher.matches(input.oldPassword, user?.passwordHash)) {
      this.#limiter.failed(key);
      throw new ControlError("wrong-login", "The old password is wrong");
    }
    if (sameText(input.oldPassword, input.newPassword)) {
      throw new ControlError("conflict", "The new password must differ from the old one");
    }
    const passwordHash = await this.#hasher.hash(input.newPassword);
    this.#linkSessions.delete(actor.session);
    this.#remembered.clear();
    await this.#store.patchUser(
      actor.name,
      { passwordHash, mustChange: false },
      this.#audit(actor, "user.password", actor.name),
      actor.session,
    );
    return { ...actor, mustChangePassword: false, isByLink: false };
  }

  async users(): Promise<User[]> {
    return (await this.#store.users()).map(userView);
  }

  async addUser(actor: Actor, input: Pick<User, "name" | "role">): Promise<OneTimePassword> {
    const password = randomPassword();
    const user = await this.#newUser(input.name, input.role, password);
    await this.#store.addUser(user, this.#audit(actor, "user.add", user.name, user.role));
    return { user: userView(user), password };
  }

  async patchUser(
    actor: Actor,
    name: string,
    patch: Patch<Pick<User, "role" | "isDisabled">>,
  ): Promise<User> {
    const change = {
      ...(patch.role === undefined ? {} : { role: patch.role }),
      ...(patch.isDisabled === undefined ? {} : { disabled: patch.isDisabled }),
    };
    const audit = this.#audit(actor, "user.set", name, JSON.stringify(patch));
    this.#remembered.clear();
    return userView(this.#found(await this.#store.patchUser(name, change, audit), name));
  }

  async resetPassword(actor: Actor, name: string): Promise<OneTimePassword> {
    const password = randomPassword();
    const passwordHash = await this.#hasher.hash(password);
    const audit = this.#audit(actor, "user.password", name, "reset");
    this.#remembered.clear();
    const user = await this.#store.patchUser(name, { passwordHash, mustChange: true }, audit);
    return { user: userView(this.#found(user, name)), password };
  }

  async removeUser(actor: Actor, name: string): Promise<void> {
    this.#remembered.clear();
    const done = await this.#store.removeUser(name, this.#audit(actor, "user.remove", name));
    if (!done) throw new ControlError("not-found", `There is no user ${name}`);
  }

  async tokens(actor: Actor): Promise<Token[]> {
    const owner = actor.role === "admin" ? undefined : actor.name;
    return (await this.#store.tokens(owner)).map(tokenView);
  }

  /** @param input `days` until it expires; null: never. */
  async addToken(
    actor: Actor,
    input: Pick<Token, "title" | "role"> & { days: number | null },
  ): Promise<Token & { secret: string }> {
    if (!mayAct(actor.role, input.role)) {
      throw new ControlError("not-allowed", `A token of yours may have at most role ${actor.role}`);
    }
    const secret = TOKEN_PREFIX + randomSecret();
    const wallMs = this.#wallMs();
    const token = {
      title: input.title,
      owner: actor.name,
      role: input.role,
      hash: secretHash(secret),
      createdAtMs: wallMs,
      expiresAtMs: input.days === null ? 0 : wallMs + input.days * DAY_MS,
      usedAtMs: 0,
    };
    const audit = this.#audit(actor, "token.add", input.title, input.role);
    const id = await this.#store.addToken(token, audit);
    return { ...tokenView({ ...token, id }), secret };
  }

  async removeToken(actor: Actor, id: number): Promise<void> {
    const owner = actor.role === "admin" ? undefined : actor.name;
    this.#remembered.clear();
    const done = await this.#store.removeToken(
      id,
      owner,
      this.#audit(actor, "token.remove", String(id)),
    );
    if (!done) throw new ControlError("not-found", `There is no token ${id} of yours`);
  }

  /** Who wrote what, newest first. */
  auditRows(
    { before = 0, limit = 100, who, action }: Patch<BackFilter & { who: string; action: string }>,
  ): Promise<AuditRow[]> {
    return this.#store.auditRows({ before, limit, who, action });
  }

  /** Where nothing is written any more, people can still look. */
  async #touch(touch: () => Promise<unknown>): Promise<void> {
    try {
      await touch();
    } catch (error) {
      if (!(error instanceof NewerSchemaError)) throw error;
    }
  }

  #wallMs(): number {
    return Math.trunc(this.#clock.wallMs());
  }

  #audit(actor: Actor, action: string, target: string, detail = ""): ReturnType<typeof auditOf> {
    return auditOf(actor, this.#wallMs(), action, target, detail);
  }

  #found<T>(user: T | undefined, name: string): T {
    if (user === undefined) throw new ControlError("not-found", `There is no user ${name}`);
    return user;
  }

  async #newUser(name: string, role: UserRole, password: string | undefined): Promise<UserRow> {
    return {
      name,
      role,
      // Nothing hashes to the empty text, so nobody logs in by it.
      passwordHash: password === undefined ? "" : await this.#hasher.hash(password),
      mustChange: true,
      disabled: false,
      createdAtMs: this.#wallMs(),
      loginAtMs: 0,
    };
  }

  /** Somebody at this address has proved to be one of ours. */
  #noteKnown(from: string): void {
    const address = clientKey(from);
    this.#knownAddresses.delete(address);
    this.#knownAddresses.add(address);
    if (this.#knownAddresses.size <= KNOWN_ADDRESSES_MAX) return;
    const [oldest] = this.#knownAddresses;
    this.#knownAddresses.delete(oldest);
  }

  /**
   * Runs what may turn out to be a wrong login, unless as many of its address as may fail have
   * failed or are under way: a look at failures alone would let any number begin at once.
   */
  async #counted<T>(
    address: string,
    attempt: (key: string) => Promise<T>,
    tooMany = (message: string, retryAfterS: number): Error =>
      new ControlError("too-many-requests", message, { retryAfterS }),
  ): Promise<T> {
    const key = clientKey(address);
    const waitS = this.#limiter.begin(key);
    if (waitS > 0) {
      this.#logins.limited++;
      throw tooMany(`Too many logins, wrong or under way: wait ${waitS} s`, waitS);
    }
    try {
      return await attempt(key);
    } finally {
      this.#limiter.ended(key);
    }
  }

  async #refuseLogin(name: string, address: string, message: string): Promise<never> {
    await this.#noteRefusedLogin(name, address, message);
    throw new ControlError("wrong-login", message);
  }

  async #noteRefusedLogin(name: string, address: string, message: string): Promise<void> {
    this.#limiter.failed(clientKey(address));
    this.#logins.refused++;
    const entry = auditOf({ name, address }, this.#wallMs(), "login", name, message);
    await this.#store.audit({ ...entry, outcome: "refused" });
  }

  async #open(
    user: UserRow,
    address: string,
    action: string,
    byLink = false,
  ): Promise<Login> {
    const secret = randomSecret();
    if (byLink) this.#linkSessions.add(secretHash(secret));
    const wallMs = this.#wallMs();
    const expiresAtMs = wallMs + SESSION_IDLE_MS;
    await this.#store.addSession({
      hash: secretHash(secret),
      user: user.name,
      createdAtMs: wallMs,
      seenAtMs: wallMs,
      expiresAtMs,
    }, auditOf({ name: user.name, address }, wallMs, action, user.name));
    this.#logins.done++;
    this.#noteKnown(address);
    return { secret, actor: this.#cookieActor(user, secret, expiresAtMs, address) };
  }

  #cookieActor(user: UserRow, secret: string, expiresAtMs: number, address: string): Actor {
    const isByLink = this.#linkSessions.has(secretHash(secret));
    return {
      name: user.name,
      role: user.role,
      via: "cookie",
      address,
      session: secretHash(secret),
      csrfToken: csrfTokenOf(secret),
      mustChangePassword: user.mustChange && !isByLink,
      isByLink,
      isByProvider: isByIdentity(user),
      expiresAtMs,
    };
  }

  /**
   * Asks the database each time, so that what was taken away is gone at once; only while it is away
   * who was known lately stays known. Writes fail then anyway.
   */
  async #orRemembered(
    hash: string,
    ask: (hash: string) => Promise<Actor | undefined>,
  ): Promise<Actor | undefined> {
    try {
      const actor = await ask(hash);
      this.#remembered.delete(hash);
      if (actor === undefined) return undefined;
      if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
      this.#noteKnown(actor.address);
      this.#remembered.set(hash, { actor, untilMs: this.#clock.nowMs() + REMEMBERED_MS });
      return actor;
    } catch (error) {
      const known = this.#remembered.get(hash);
      const isAway = error instanceof StoreError && error.transient;
      if (!isAway || known === undefined || known.untilMs < this.#clock.nowMs()) throw error;
      return known.actor;
    }
  }
}
