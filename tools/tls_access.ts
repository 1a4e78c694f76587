// Shell. The certificate that commands show to dns, from the variables that services read too.

import { ConfigError, messageOf } from "../reactor/errors.ts";
import { authSettings } from "../daemon/settings/common_settings.ts";
import { readSettings } from "../daemon/settings/settings.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import type { ClientTls } from "../api/tls_option.ts";
import type { TlsMaterial } from "../session/tls/tls_identity.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { SessionTransport } from "../session/handshake.ts";

/** Role that the certificate of whoever edits must hold. */
const TOOL_ROLE = "editor";

/** The files that the variables name; undefined: there is no TLS. @throws {ConfigError} */
async function materialOfEnvironment(): Promise<TlsMaterial | undefined> {
  if ((runtime.env("LARS_TLS_CERT") ?? "") === "") return undefined;
  const { tlsCert, tlsKey, tlsCa, tlsRefused, tlsPlain } = authSettings;
  const table = { tlsCert, tlsKey, tlsCa, tlsRefused, tlsPlain };
  const { readTlsMaterial } = await import("../daemon/tls_files.ts");
  return await readTlsMaterial(readSettings(table, { env: runtime.envAll() }));
}

/**
 * What makes connections over TLS where `LARS_TLS_CERT` is set; undefined: there is no TLS.
 *
 * @throws {ConfigError} when the certificate or its key cannot be used.
 */
export async function transportOfEnvironment(): Promise<SessionTransport | undefined> {
  const material = await materialOfEnvironment();
  if (material === undefined) return undefined;
  const { tlsTransport } = await import("../daemon/tls_files.ts");
  const { checkMaterial } = await import("../session/tls/certificate_check.ts");
  const { TlsIdentity } = await import("../session/tls/tls_identity.ts");
  try {
    checkMaterial(material, TOOL_ROLE, systemClock.wallMs());
  } catch (error) {
    throw new ConfigError(messageOf(error), { cause: error });
  }
  return tlsTransport(new TlsIdentity(material));
}

/** The same for clients of the api. @throws {ConfigError} when a file cannot be read. */
export async function clientTlsOfEnvironment(): Promise<{ readonly tls?: ClientTls }> {
  const material = await materialOfEnvironment();
  if (material === undefined || material.plain === "use") return {};
  const { ca, cert, key, plain } = material;
  return { tls: { ca, cert, key, plain: plain === "loopback" ? plain : "off" } };
}
