// Core. The examples of a Markdown page: its fenced blocks, and the commands typed in them.

/** A fenced block. */
export interface CodeBlock {
  /** The word after the fence: `console`, `ts`. */
  readonly language: string;
  readonly text: string;
  /** Title of the section it stands in. */
  readonly section: string;
}

/** A command that is typed, and the lines that the page prints below it. */
export interface TypedCommand {
  readonly command: string;
  readonly printed: readonly string[];
}

/** The fenced blocks of a page, in order. */
export function codeBlocksOf(markdown: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let section = "";
  let open: { language: string; lines: string[] } | undefined;
  for (const line of markdown.split("\n")) {
    const fence = /^```(\w*)\s*$/.exec(line);
    if (open !== undefined) {
      if (fence === null) {
        open.lines.push(line);
        continue;
      }
      blocks.push({ language: open.language, text: `${open.lines.join("\n")}\n`, section });
      open = undefined;
    } else if (fence !== null) {
      open = { language: fence[1], lines: [] };
    } else {
      section = /^#+ (.*)$/.exec(line)?.[1] ?? section;
    }
  }
  return blocks;
}

/** The commands of a `console` block: lines after `$ `, and what is printed below each. */
export function typedCommandsOf(text: string): TypedCommand[] {
  const commands: { command: string; printed: string[] }[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("$ ")) commands.push({ command: line.slice(2), printed: [] });
    else if (line.trim() !== "") commands.at(-1)?.printed.push(line);
  }
  return commands;
}

/**
 * What output has to look like that a page shows: the same words, with any numbers and any space
 * between words. `…` stands for anything.
 */
export function printedPattern(line: string): RegExp {
  const pattern = line.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
    .replace(/\d+/g, "\\d+").replace(/\s+/g, "\\s+").replaceAll("…", ".*");
  return new RegExp(`^\\s*${pattern}\\s*$`, "m");
}
