// Core. What is said of modules that a change leaves without nodes to call, or with those of zones taken out.

import type { ModuleKey } from "../../model/module.ts";
import type { LeftNodes } from "./left_nodes.ts";

/** Whether a change was made, or is looked at before. */
export type LeftTense = "now" | "will";

/**
 * A sentence for each module, without its point.
 *
 * @param label Names a module.
 */
export function leftTexts(
  { emptied, returned }: LeftNodes,
  tense: LeftTense,
  label: (module: ModuleKey & { readonly name: string }) => string,
): string[] {
  const will = tense === "will";
  return [
    ...emptied.map((module) =>
      `module ${label(module)} ${
        will ? "will have no node that takes calls" : "has no node that takes calls now"
      }`
    ),
    ...returned.map((module) => {
      const { zones } = module;
      const named = `zone${zones.length === 1 ? "" : "s"} ${zones.join(", ")}`;
      return `calls of module ${label(module)} ${will ? "will go" : "go"} to ${named} again, ` +
        `although evacuated: no other node ${will ? "will take" : "takes"} calls`;
    }),
  ];
}

/** The same as sentences that stand alone. */
export function leftSentences(...args: Parameters<typeof leftTexts>): string[] {
  return leftTexts(...args).map((text) => text[0].toUpperCase() + text.slice(1));
}
