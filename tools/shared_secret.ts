// Shell. The secret shared with services, as commands are told it.

import { readSecrets } from "../daemon/daemon.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import type { Secrets } from "../session/secrets.ts";
import { TOKEN_FILE_VARIABLE } from "./cli_errors.ts";

/** Options of commands that may need a secret. */
export interface TokenFlags {
  readonly tokenFile?: string;
}

/** The file of the secret, empty when there is none, and who names it, for what is wrong with it. */
export function tokenFileOf({ tokenFile }: TokenFlags): {
  readonly path: string;
  readonly key: string;
} {
  if (tokenFile !== undefined) return { path: tokenFile, key: "--token-file" };
  return { path: runtime.env(TOKEN_FILE_VARIABLE) ?? "", key: TOKEN_FILE_VARIABLE };
}

/** @throws {ConfigError} when the file cannot be read, or holds no secret. */
export function sharedSecrets(flags: TokenFlags): Promise<Secrets | undefined> {
  const { path, key } = tokenFileOf(flags);
  return readSecrets(path, key);
}
