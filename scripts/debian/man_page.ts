// Core. Manual pages, made from the commands and flags that `--help` shows.

/** One flag of a page. */
export interface ManFlag {
  /** As it is typed: `-c, --config <FILE>`. */
  readonly term: string;
  readonly doc: string;
}

/** A command below the page's own. */
export interface ManCommand {
  /** As it is typed, without options: `lars route add`. */
  readonly usage: string;
  readonly doc: string;
  readonly flags: readonly ManFlag[];
}

/** What a page says. */
export interface ManPage {
  readonly name: string;
  /** 1 for what people type, 8 for what runs as a service. */
  readonly section: 1 | 8;
  readonly version: string;
  /** One line. */
  readonly summary: string;
  readonly flags: readonly ManFlag[];
  readonly commands: readonly ManCommand[];
  /** Files that belong to it, with what they are. */
  readonly files: readonly ManFlag[];
  /** Other pages, as `lars(1)`. */
  readonly seeAlso: readonly string[];
}

/** Text as the formatter of manual pages wants it: nothing in it is a request. */
export function manText(text: string): string {
  const plain = text.replaceAll("\\", "\\e").replaceAll("-", "\\-");
  // Anything else than ASCII by its number: the formatter need not know how the file is encoded.
  const named = plain.replace(
    /[\u0080-\uffff]/g,
    (char) => `\\[u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`,
  );
  return named.split("\n")
    .map((line) => /^[.']/.test(line) ? `\\&${line}` : line).join("\n");
}

function flagLines(flags: readonly ManFlag[]): string[] {
  return flags.flatMap(({ term, doc }) => [".TP", `.B ${manText(term)}`, manText(doc)]);
}

/** The page as roff, section by section as man-pages(7) orders them. */
export function manPage(page: ManPage): string {
  const { name, section, version, summary, flags, commands, files, seeAlso } = page;
  const words = commands.length > 0 ? "\\fICOMMAND\\fR [\\fIOPTIONS\\fR]" : "[\\fIOPTIONS\\fR]";
  const lines = [
    `.TH ${name.toUpperCase().replaceAll("-", "\\-")} ${section} "" "Lars ${version}"`,
    ".SH NAME",
    `${manText(name)} \\- ${manText(summary)}`,
    ".SH SYNOPSIS",
    `.B ${manText(name)}`,
    words,
    ...flags.length === 0 ? [] : [".SH OPTIONS", ...flagLines(flags)],
    ...commands.length === 0 ? [] : [".SH COMMANDS"],
    ...commands.flatMap(({ usage, doc, flags: own }) => [
      `.SS ${manText(usage)}`,
      manText(doc),
      ...flagLines(own),
    ]),
    ".SH EXIT STATUS",
    "0 all went well, 1 it failed, 2 wrong usage or configuration.",
    ...files.length === 0 ? [] : [".SH FILES", ...flagLines(files)],
    ...seeAlso.length === 0 ? [] : [".SH SEE ALSO", seeAlso.map(manText).join(",\n")],
  ];
  return lines.join("\n") + "\n";
}
