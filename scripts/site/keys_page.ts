// Core. A page with every key of every service, made from the tables of settings.

import { describeSettings, type SettingsTable } from "../../daemon/settings/settings.ts";

/** A service, and the keys that it reads. */
export interface ServiceKeys {
  readonly name: string;
  readonly summary: string;
  readonly settings: SettingsTable;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll("\n", " ");
}

/** The page: a table for each service, in the order of its help. */
export function keysPage(services: readonly ServiceKeys[]): string {
  const tables = services.map(({ name, summary, settings }) => {
    const rows = describeSettings(settings).map(({ section, key, range, defaultText, doc }) => {
      const fallback = defaultText === "" ? "" : `; default \`${cell(defaultText)}\``;
      return `| \`[${section}] ${key}\` | ${cell(doc)} (${cell(range)}${fallback}) |`;
    });
    return [
      `## lars-${name}`,
      "",
      cell(summary),
      "",
      "| key | meaning (range; default) |",
      "| --- | --- |",
      ...rows,
    ].join("\n");
  });
  return [
    "# Every key",
    "Keys of the configuration files (INI). Each is a flag too, `--SECTION-KEY`, and an environment " +
    "variable, `LARS_SECTION_KEY`; flags win over variables, variables over the file.",
    ...tables,
  ].join("\n\n") + "\n";
}
