// Core. The configuration keys of the console.

import { authSettings, storeSettings } from "../daemon/settings/common_settings.ts";
import { Section, type SettingsTable } from "../daemon/settings/settings.ts";
import { type Address, formatAddress, parseAddress, plainHost } from "../reactor/address.ts";
import { ConfigError, messageOf } from "../reactor/errors.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";

/** Port of the console unless told otherwise. */
export const CONSOLE_PORT = 8080;

/** Where the console looks for relays unless told otherwise. */
export const DEFAULT_RELAYS = `127.0.0.1:${DEFAULT_PORTS.relay}`;

const web = new Section("web");
const oidc = new Section("oidc");

/** Every key that the console reads. */
export const webSettings = {
  listenIp: web.host("ip", "127.0.0.1")
    .doc("Address to listen on. Any other than loopback needs [auth]."),
  listenPort: web.integer("port", CONSOLE_PORT, [0, 65535])
    .doc("Port to listen on; 0 takes a free one."),
  hostNames: web.text("host_names", "", { shape: "names, separated by commas" })
    .doc(
      "Host names, besides addresses and localhost, under which browsers may reach the " +
        "console.",
    ),
  trustedProxies: web.text("trusted_proxies", "127.0.0.1, ::1", {
    shape: "addresses and ranges, separated by commas",
  })
    .doc(
      "Proxies whose Forwarded and X-Forwarded-For say from which address somebody asks; empty: " +
        "none.",
    ),
  secureCookie: web.boolean("secure_cookie", false)
    .doc("1 behind a proxy that encrypts: browsers send the session over HTTPS only."),
  isSecret: web.boolean("tls", false)
    .doc("1 speaks HTTPS, by TLS 1.2 or newer; browsers then send the session over it only."),
  webCert: web.text("cert", "", { shape: "path" })
    .doc(
      "File with the certificate that browsers are shown, in PEM, and its key; empty: that of [tls].",
    ),
  webKey: web.text("key", "", { shape: "path" })
    .doc("File with its private key, in PEM; empty: it is in the file of cert."),
  url: web.text("url", "", { shape: "https://name:port" })
    .doc("Address of the console for people, for links in messages; empty: that it listens on."),
  webhookAllow: web.text("webhook_allow", "", { shape: "host or host:port, separated by commas" })
    .doc(
      "Hosts that webhooks may reach although they are link-local, a cloud's metadata, or a port " +
        "of our own services.",
    ),
  scaleCommand: web.text("scale_command", "", { shape: "a JSON list: program and arguments" })
    .doc(
      "Program that starts and stops nodes for rules of scaling with driver command; it gets an " +
        "order as JSON on its standard input. The console must be allowed to run it.",
    ),
  agent: web.text("agent", `127.0.0.1:${DEFAULT_PORTS.agent}`, { shape: "host:port" })
    .doc("First port of the agent that is asked why it picks which node."),
  relays: web.text("relays", DEFAULT_RELAYS, {
    shape: "host:port, separated by commas",
  })
    .doc("Relays that the console shows and watches; they share its secret, where there is one."),
  oidcIssuer: oidc.text("issuer", "", { shape: "https://host/path" })
    .doc(
      "OpenID Connect provider that people may log in by, beside users with passwords; empty: " +
        "none. Needs [web] url, and there ADDRESS/oidc/callback as the address to return to.",
    ),
  oidcClientId: oidc.text("client_id", "")
    .doc("What the provider calls this console."),
  oidcSecretFile: oidc.text("client_secret_file", "", { shape: "path" })
    .doc("File with the secret that the provider gave this console; empty: it gave none."),
  oidcScopes: oidc.text("scopes", "openid profile", { shape: "words" })
    .doc("What is asked of the provider."),
  oidcNameClaim: oidc.text("name_claim", "preferred_username")
    .doc("Claim that names the user."),
  oidcGroupsClaim: oidc.text("groups_claim", "groups")
    .doc("Claim with the groups of the user: a list of texts, or one text."),
  oidcRoles: oidc.text("roles", "", { shape: "group=role, separated by commas" })
    .doc(
      "What groups may do: viewer, operator or admin; the strongest counts, at each login. Group " +
        "* is everybody; who is in none of them is not let in.",
    ),
  oidcTitle: oidc.text("title", "single sign-on")
    .doc("What the login page calls it."),
  ...storeSettings,
  ...authSettings,
} as const satisfies SettingsTable;

/** Program and arguments of a JSON list; empty for an empty text. @throws {ConfigError} */
export function commandWords(text: string): string[] {
  if (text.trim() === "") return [];
  try {
    const words: unknown = JSON.parse(text);
    const isList = Array.isArray(words) && words.length > 0 &&
      words.every((word) => typeof word === "string" && word !== "");
    if (isList) return words as string[];
  } catch {
    // Said below.
  }
  throw new ConfigError(
    `[web] scale_command must be a JSON list like ["/usr/bin/fleet", "scale"]: it is ${text}`,
  );
}

/** Most relays that one console shows. */
export const RELAYS_MAX = 64;

/** Addresses of relays, each once. @throws {ConfigError} */
export function relayAddresses(list: string): Address[] {
  const texts = list.split(/[\s,]+/).filter((text) => text !== "");
  const relays = new Map<string, Address>();
  try {
    for (const text of texts) {
      const address = parseAddress(text, DEFAULT_PORTS.relay);
      relays.set(formatAddress(address), address);
    }
  } catch (error) {
    throw new ConfigError(`[web] relays: ${messageOf(error)}`, { cause: error });
  }
  if (relays.size > RELAYS_MAX) {
    throw new ConfigError(`[web] relays must name at most ${RELAYS_MAX}: it names ${relays.size}`);
  }
  return [...relays.values()];
}

/**
 * Names of a list, in lower case.
 *
 * @throws {ConfigError} when one has a scheme or a port: no browser would ever come under it.
 */
export function hostNameList(list: string): string[] {
  const names = list.toLowerCase().split(/[\s,]+/).filter((name) => name !== "");
  const wrong = names.find((name) => name.includes("/") || plainHost(name) === undefined);
  if (wrong === undefined) return names;
  throw new ConfigError(
    "[web] host_names must be names like lars.example.org, without scheme and port: " +
      `it holds ${wrong}`,
  );
}
