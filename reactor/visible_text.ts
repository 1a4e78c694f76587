// Core. Text of others as a message may show it: nothing in it steers a terminal.

/**
 * What a terminal obeys instead of showing it, or shows as another line or another order of letters.
 * The two joiners belong to how some scripts and emoji are written.
 */
const STEERING = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escaped(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/** Text of one line, what would steer a terminal written as `\u001b`. */
export function visibleText(text: string): string {
  return text.replace(STEERING, escaped);
}

/** As {@linkcode visibleText}, for text that may have several lines. */
export function visibleLines(text: string): string {
  return text.split("\n").map(visibleText).join("\n");
}
