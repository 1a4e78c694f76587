// Shell. The command that lets somebody in who has no password, or has lost it.

import { resolve } from "node:path";

/** Stands where the password of the database belongs: it is shown to nobody. */
const PASSWORD_PLACE = "PASSWORD";

/** A word of a command line, in quotes where a shell needs them. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * The option of `lars user reset` that names a database, so that it works in any folder.
 *
 * @param label The database without its password, as stores call themselves.
 * @param folder What its path is relative to.
 */
export function storeOption(label: string, folder: string): string {
  if (label.startsWith("sqlite:")) {
    return `--store ${quoted(`sqlite:${resolve(folder, label.slice("sqlite:".length))}`)}`;
  }
  return `--store ${quoted(label.replace(/^(\w+:\/\/[^@/]+)@/, `$1:${PASSWORD_PLACE}@`))}`;
}
