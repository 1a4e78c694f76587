// Shell. Opens the login by an OpenID Connect provider as it is configured; loads it only then.

import { readToken } from "../daemon/daemon.ts";
import type { SettingsOf } from "../daemon/settings/settings.ts";
import { isLoopback } from "../reactor/address.ts";
import { ConfigError } from "../reactor/errors.ts";
import { groupRoles } from "../control/access/oidc_identity.ts";
import { isOwnHost } from "./api_server.ts";
import { hostNameList, type webSettings } from "./config.ts";
import type { OidcLogin, OidcLoginOptions } from "./oidc_login.ts";

type WebSettings = SettingsOf<typeof webSettings>;

/** What the login works with besides its configuration. */
type Surroundings = Pick<OidcLoginOptions, "access" | "clock" | "log">;

/**
 * The login by a provider; undefined where `[oidc] issuer` is empty. The provider is first asked
 * when somebody logs in, so that it may be away now.
 *
 * @throws {ConfigError} when nobody could log in as it is configured.
 */
export async function openOidcLogin(
  settings: WebSettings,
  surroundings: Surroundings,
): Promise<OidcLogin | undefined> {
  if (settings.oidcIssuer === "") return undefined;
  const options = {
    ...surroundings,
    issuer: issuerOf(settings),
    consoleUrl: consoleUrlOf(settings),
    clientId: settings.oidcClientId,
    clientSecret: await secretOf(settings),
    scopes: settings.oidcScopes,
    rules: {
      nameClaim: settings.oidcNameClaim,
      groupsClaim: settings.oidcGroupsClaim,
      roles: groupRoles(settings.oidcRoles),
    },
    secureCookie: settings.secureCookie || settings.isSecret,
  };
  if (options.clientId === "") {
    throw new ConfigError("[oidc] client_id is needed with [oidc] issuer");
  }
  if (options.rules.roles.size === 0) {
    throw new ConfigError(
      "[oidc] roles is needed with [oidc] issuer, such as lars-admins=admin, *=viewer: nobody " +
        "could log in",
    );
  }
  const { OidcLogin } = await import("./oidc_login.ts");
  return new OidcLogin(options);
}

function urlOf(text: string): URL | undefined {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) ? url : undefined;
}

function issuerOf({ oidcIssuer }: WebSettings): URL {
  const url = urlOf(oidcIssuer);
  if (url?.protocol === "https:" || isLoopback(url?.hostname ?? "")) return url as URL;
  throw new ConfigError(
    `[oidc] issuer must begin with https://, or with http:// on this machine: it is ${oidcIssuer}`,
  );
}

function consoleUrlOf({ url: text, hostNames }: WebSettings): URL {
  const url = urlOf(text);
  if (url === undefined) {
    throw new ConfigError(
      "[web] url is needed with [oidc] issuer: the provider sends people back to it. It must be " +
        `like https://lars.example.org: it is ${text === "" ? "empty" : text}`,
    );
  }
  if (isOwnHost(url.hostname, hostNameList(hostNames))) return url;
  throw new ConfigError(
    `[web] host_names must hold ${url.hostname}, which is the host of [web] url`,
  );
}

async function secretOf({ oidcSecretFile }: WebSettings): Promise<string | undefined> {
  const bytes = await readToken(oidcSecretFile, "[oidc] client_secret_file");
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
