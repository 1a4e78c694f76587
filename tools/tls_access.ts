// Shell. The certificate that commands show to dns, from the variables that services read too.

import { ConfigError, messageOf } from "../reactor/errors.ts";
import { authSettings } from "../daemon/settings/common_settings.ts";
import { readSettings } from "../daemon/settings/settings.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import type { SessionTransport } from "../session/handshake.ts";

/** Role that the certificate of whoever edits must hold. */
const TOOL_ROLE = "editor";

/**
 * What makes connections over TLS where `LARS_TLS_CERT` is set; undefined: there is no TLS.
 *
 * @throws {ConfigError} when the certificate or its key cannot be used.
 */
export async function transportOfEnvironment(): Promise<SessionTransport | undefined> {
  if ((runtime.env("LARS_TLS_CERT") ?? "") === "") return undefined;
  const { tlsCert, tlsKey, tlsCa, tlsRefused, tlsPlain } = authSettings;
  const table = { tlsCert, tlsKey, tlsCa, tlsRefused, tlsPlain };
  const { readTlsMaterial, tlsTransport } = await import("../daemon/tls_files.ts");
  const { checkMaterial } = await import("../session/tls/certificate_check.ts");
  const { TlsIdentity } = await import("../session/tls/tls_identity.ts");
  const material = await readTlsMaterial(readSettings(table, { env: runtime.envAll() }));
  try {
    checkMaterial(material, TOOL_ROLE, systemClock.wallMs());
  } catch (error) {
    throw new ConfigError(messageOf(error), { cause: error });
  }
  return tlsTransport(new TlsIdentity(material));
}
