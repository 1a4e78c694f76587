// Shell. The URL of a database that stands in a file of its own.

import { readFileSync } from "node:fs";
import { ConfigError, messageOf } from "../../reactor/errors.ts";

/**
 * A database's URL, or with `@FILE` the one that this file holds, so that a password need stand
 * neither among arguments nor in a configuration that everybody reads; `key` is who names the file.
 *
 * @throws {ConfigError} when the file cannot be read, or is empty: without a URL another database
 * would be taken.
 */
export function readStoreUrl(text: string, key: string): string {
  if (!text.startsWith("@")) return text;
  const path = text.slice(1);
  let url: string;
  try {
    url = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new ConfigError(`${key} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  if (url === "") throw new ConfigError(`${key} must hold the URL of a database: ${path} is empty`);
  return url;
}
