// Core. The tables of files in READMEs, made from what the first lines of the files say.
import type { SourceFile } from "./import_graph.ts";

/** `<!-- files -->`, or `<!-- files FOLDER/ -->` for what is in one folder beside the README. */
const MARKED = /<!-- files ?([\w./-]*) -->\n[\s\S]*?<!-- \/files -->/g;

/** What the comment at the start of a source says. */
export interface Header {
  /** `test` for tests, which are neither. */
  readonly kind: "core" | "shell" | "test";
  /** The first sentence, without its full stop. */
  readonly text: string;
}

/** The header of a source, undefined when it has none. */
export function headerOf(source: string): Header | undefined {
  const comment = /^(?:\/\/ .*\n)+/.exec(`${source}\n`)?.[0].replace(/^\/\/ /gm, "");
  if (comment === undefined) return undefined;
  const words = comment.trim().replace(/\s+/g, " ");
  const kind = /^(Core|Shell)\. /.exec(words)?.[1];
  const text = (kind === undefined ? words : words.slice(kind.length + 2))
    .replace(/(?<!\.)\.(?: .*)?$/, "");
  return { kind: kind === "Core" ? "core" : kind === "Shell" ? "shell" : "test", text };
}

/**
 * A README with its tables of files made anew. A file belongs to the marker that names the folder it
 * is in, else to the one that names none; folders with a marked README of their own are left to
 * that. Tests beside their sources are not listed.
 *
 * @throws {Error} for a file without a header
 */
export function withFileTables(
  readme: SourceFile,
  sources: readonly SourceFile[],
  documents: readonly SourceFile[],
): string {
  const room = folderOf(readme.path);
  const others = documents.filter(({ path, text }) =>
    path !== readme.path && folderOf(path).startsWith(room) && hasFileTable(text)
  ).map(({ path }) => folderOf(path));
  const named = [...readme.text.matchAll(MARKED)].map((match) => match[1]);
  const paths = new Set(sources.map(({ path }) => path));
  const own = sources
    .filter(({ path }) => path.startsWith(room) && !others.some((other) => path.startsWith(other)))
    .filter(({ path }) => !paths.has(path.replace(/_test(\.tsx?)$/, "$1")) || !isTestFile(path))
    .filter(({ path }) => room === "tests/" || !isTestFile(path));
  return readme.text.replace(MARKED, (_, folder: string) => {
    const files = own.filter(({ path }) => {
      const inside = path.slice(room.length);
      const claim = named.filter((name) => name !== "" && inside.startsWith(name))
        .sort((a, b) => b.length - a.length).at(0);
      return (claim ?? "") === folder;
    });
    const marker = folder === "" ? "<!-- files -->" : `<!-- files ${folder} -->`;
    return `${marker}\n\n${table(files, room + folder)}\n\n<!-- /files -->`;
  });
}

/** True for a document that has a table of files. */
export function hasFileTable(text: string): boolean {
  return text.search(MARKED) >= 0;
}

function isTestFile(path: string): boolean {
  return /_test\.tsx?$/.test(path);
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/** Files of a folder before those of folders in it. */
function table(files: readonly SourceFile[], folder: string): string {
  const depth = (path: string): number => path.split("/").length;
  const sorted = files.toSorted((a, b) =>
    Number(depth(a.path) > depth(folder)) - Number(depth(b.path) > depth(folder))
  );
  const rows = sorted.map(({ path, text }) => {
    const header = headerOf(text);
    if (header === undefined) throw new Error(`${path}: the first line must say what the file is`);
    return [`\`${path.slice(folder.length)}\``, header.kind, header.text.replaceAll("|", "\\|")];
  });
  const all = [["file", "kind", "what"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...all.map((row) => [...row[column]].length)));
  const line = (row: readonly string[]): string =>
    `| ${
      row.map((cell, column) => cell + " ".repeat(widths[column] - [...cell].length)).join(" | ")
    } |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(all[0]), rule, ...all.slice(1).map(line)].join("\n");
}
