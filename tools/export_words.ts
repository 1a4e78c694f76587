// Core. `lars export haproxy` and its siblings: the words of the export service, with short flags.

import { daemonFlags } from "../daemon/settings/flags.ts";
import type { SettingsTable } from "../daemon/settings/settings.ts";

/** Words behind `lars export` that run the service, and the section of the configuration of each. */
export const EXPORT_WORDS: Readonly<Record<string, string>> = {
  run: "",
  names: "nameserver",
  xds: "xds",
  haproxy: "haproxy",
  nginx: "nginx",
  file: "file",
};

/**
 * The command line of the service: `--socket PATH` after `haproxy` is `--haproxy-socket PATH`.
 *
 * @param argv Behind `lars export`: a word, and flags.
 */
export function exportArguments(table: SettingsTable, argv: readonly string[]): string[] {
  const [word, ...rest] = argv;
  const section = EXPORT_WORDS[word];
  const known = new Set(daemonFlags(table).map(({ long }) => long));
  return rest.map((argument) => {
    const [flag, ...value] = argument.split("=");
    const long = flag.replace(/^--/, `--${section}-`);
    if (section === "" || !flag.startsWith("--") || known.has(flag) || !known.has(long)) {
      return argument;
    }
    return [long, ...value].join("=");
  });
}
