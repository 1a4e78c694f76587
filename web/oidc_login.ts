// Shell. Login of people by an OpenID Connect provider: authorization code with PKCE.

import * as client from "openid-client";
import { isLoopback } from "../reactor/address.ts";
import { messageOf, StoreError } from "../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { AccessService } from "../control/access/access_service.ts";
import { LOGIN_DONE, type LoginFault, LoginFaultError } from "../control/access/login_faults.ts";
import {
  type Identity,
  identityOf,
  type IdentityRules,
  safeReturnPath,
} from "../control/access/oidc_identity.ts";
import { cookieOf, sessionCookie } from "./session_cookie.ts";

/** Where a login begins, and where the provider sends the browser back to. */
export const OIDC_LOGIN_PATH = "/oidc/login";
export const OIDC_RETURN_PATH = "/oidc/callback";

/** Holds what the return must fit to, in the browser that began. */
const STATE_COOKIE = "lars_oidc";
/** How long somebody may take at the provider, in seconds. */
const LOGIN_AGE_MAX_S = 600;
/** Longest wait for one answer of the provider, in seconds. */
const ANSWER_TIMEOUT_S = 10;

/** What the login works with. */
export interface OidcLoginOptions {
  readonly access: AccessService;
  readonly clock: Clock;
  readonly log: Logger;
  readonly issuer: URL;
  readonly clientId: string;
  /** Undefined for a client without a secret. */
  readonly clientSecret: string | undefined;
  readonly scopes: string;
  readonly rules: IdentityRules;
  /** The console as browsers reach it. */
  readonly consoleUrl: URL;
  /** True sends cookies over encrypted connections only. */
  readonly secureCookie: boolean;
}

/** What a browser keeps while somebody is at the provider. */
interface Begun {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  /** Where to go afterwards. */
  readonly to: string;
  readonly untilMs: number;
}

/** A login by a provider. It keeps nothing of logins under way, so they cannot become too many. */
export class OidcLogin {
  readonly #options: OidcLoginOptions;
  readonly #returnUrl: URL;
  readonly #logLimiter: LogRateLimiter;
  #provider: Promise<client.Configuration> | undefined;

  constructor(options: OidcLoginOptions) {
    this.#options = options;
    this.#returnUrl = new URL(OIDC_RETURN_PATH, options.consoleUrl);
    this.#logLimiter = new LogRateLimiter(options.clock);
  }

  /** Answers a request below `/oidc/`; undefined where there is nothing. */
  async answer(request: Request, address: string): Promise<Response | undefined> {
    const { pathname } = new URL(request.url);
    if (pathname !== OIDC_LOGIN_PATH && pathname !== OIDC_RETURN_PATH) return undefined;
    try {
      return pathname === OIDC_LOGIN_PATH
        ? await this.#begin(request)
        : await this.#finish(request, address);
    } catch (error) {
      return this.#refused(error, address);
    }
  }

  async #begin(request: Request): Promise<Response> {
    const config = await this.#configuration();
    const begun: Begun = {
      state: client.randomState(),
      nonce: client.randomNonce(),
      verifier: client.randomPKCECodeVerifier(),
      to: safeReturnPath(new URL(request.url).searchParams.get("to")),
      untilMs: this.#options.clock.wallMs() + LOGIN_AGE_MAX_S * 1000,
    };
    const location = client.buildAuthorizationUrl(config, {
      redirect_uri: this.#returnUrl.href,
      scope: this.#options.scopes,
      state: begun.state,
      nonce: begun.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(begun.verifier),
      code_challenge_method: "S256",
    });
    return redirect(location.href, [this.#stateCookie(encodeBegun(begun))]);
  }

  async #finish(request: Request, address: string): Promise<Response> {
    const begun = begunOf(cookieOf(request, STATE_COOKIE));
    if (begun === undefined || begun.untilMs < this.#options.clock.wallMs()) {
      throw new LoginFaultError("begun-elsewhere", "The browser brought no login that it began");
    }
    const { access, secureCookie } = this.#options;
    const { secret } = await access.loginByIdentity(() => this.#prove(request, begun), address);
    return redirect(`${begun.to}#login=${LOGIN_DONE}`, [
      sessionCookie(secret, secureCookie),
      this.#stateCookie(undefined),
    ]);
  }

  /** Who came back, by the word of the provider. */
  async #prove(request: Request, begun: Begun): Promise<Identity> {
    const config = await this.#configuration();
    // Behind a proxy the request names another host than the one that the provider knows.
    const returned = new URL(this.#returnUrl);
    returned.search = new URL(request.url).search;
    const { rules } = this.#options;
    try {
      const tokens = await client.authorizationCodeGrant(config, returned, {
        pkceCodeVerifier: begun.verifier,
        expectedState: begun.state,
        expectedNonce: begun.nonce,
        idTokenExpected: true,
      });
      const claims: Record<string, unknown> = { ...tokens.claims() };
      const isWhole = rules.nameClaim in claims && rules.groupsClaim in claims;
      if (!isWhole && config.serverMetadata().userinfo_endpoint !== undefined) {
        const more = await client.fetchUserInfo(config, tokens.access_token, String(claims.sub));
        return identityOf(config.serverMetadata().issuer, { ...more, ...claims }, rules);
      }
      return identityOf(config.serverMetadata().issuer, claims, rules);
    } catch (error) {
      if (error instanceof LoginFaultError) throw error;
      throw new LoginFaultError(isAway(error) ? "unreachable" : "refused", faultText(error), {
        cause: error,
      });
    }
  }

  /** What the provider says of itself: asked once, and again after a failure. */
  #configuration(): Promise<client.Configuration> {
    this.#provider ??= this.#discover().catch((error: unknown) => {
      this.#provider = undefined;
      const { issuer } = this.#options;
      throw new LoginFaultError("unreachable", `${issuer.href}: ${faultText(error)}`, {
        cause: error,
      });
    });
    return this.#provider;
  }

  async #discover(): Promise<client.Configuration> {
    const { issuer, clientId, clientSecret } = this.#options;
    const proof = clientSecret === undefined ? client.None() : undefined;
    // Within this machine nobody listens; everywhere else the library demands https.
    const isPlain = issuer.protocol === "http:" && isLoopback(issuer.hostname);
    const config = await client.discovery(issuer, clientId, clientSecret, proof, {
      timeout: ANSWER_TIMEOUT_S,
      execute: isPlain ? [client.allowInsecureRequests] : [],
    });
    config.timeout = ANSWER_TIMEOUT_S;
    return config;
  }

  #stateCookie(value: string | undefined): string {
    const attributes = `; Path=/oidc; HttpOnly; SameSite=Lax${
      this.#options.secureCookie ? "; Secure" : ""
    }`;
    return value === undefined
      ? `${STATE_COOKIE}=; Max-Age=0${attributes}`
      : `${STATE_COOKIE}=${value}; Max-Age=${LOGIN_AGE_MAX_S}${attributes}`;
  }

  /** Back to the login page, which says why by a word that it knows. */
  #refused(error: unknown, address: string): Response {
    const isKnown = error instanceof LoginFaultError;
    const unknown = error instanceof StoreError ? "store-away" : "refused";
    const fault: LoginFault = isKnown ? error.fault : unknown;
    // Anybody may come back with anything, as often as they like.
    const held = this.#logLimiter.admit(fault);
    if (held !== undefined) {
      this.#options.log[isKnown ? "warn" : "error"]("A login by the provider was not let in", {
        ...{ fault, address, ...held },
        error: isKnown ? error.message : faultText(error),
      });
    }
    return redirect(`/#login=${fault}`, [this.#stateCookie(undefined)]);
  }
}

function redirect(location: string, cookies: readonly string[]): Response {
  const headers = new Headers({ Location: location });
  for (const cookie of cookies) headers.append("Set-Cookie", cookie);
  return new Response(null, { status: 302, headers });
}

function encodeBegun(begun: Begun): string {
  return btoa(JSON.stringify(begun)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What a browser brings back; undefined for anything that was not made here. */
function begunOf(cookie: string | undefined): Begun | undefined {
  if (cookie === undefined) return undefined;
  try {
    const value = JSON.parse(atob(cookie.replaceAll("-", "+").replaceAll("_", "/")));
    const { state, nonce, verifier, to, untilMs } = value as Record<keyof Begun, unknown>;
    if (typeof untilMs !== "number" || typeof to !== "string") return undefined;
    if (typeof state !== "string" || typeof nonce !== "string") return undefined;
    if (typeof verifier !== "string") return undefined;
    return { state, nonce, verifier, to: safeReturnPath(to), untilMs };
  } catch {
    return undefined; // Not ours.
  }
}

/** True when the provider did not answer, or said that it cannot now. */
function isAway(error: unknown): boolean {
  if (error instanceof client.ResponseBodyError) return error.status >= 500;
  if (error instanceof client.AuthorizationResponseError) {
    return ["server_error", "temporarily_unavailable"].includes(error.error);
  }
  if (error instanceof client.ClientError) return error.code === "OAUTH_TIMEOUT";
  return error instanceof TypeError;
}

/** What an error and its cause say; neither holds a secret of ours. */
function faultText(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const said = error instanceof client.AuthorizationResponseError
    ? `${error.error} ${error.error_description ?? ""}`.trim()
    : messageOf(error);
  return cause instanceof Error ? `${said}: ${cause.message}` : said;
}
