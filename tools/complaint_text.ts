// Core. What the command line parser complains of, as it is printed.

import { visibleLines, visibleText } from "../reactor/visible_text.ts";

/** The parser's own words about a wrong value, before those of whoever read the value. */
const WRONG_OPTION = /^error: option '([^']*)' argument '(.*?)' is invalid\. (.*)$/s;
const WRONG_ARGUMENT =
  /^error: command-argument value '(.*?)' is invalid for argument '([^']*)'\. (.*)$/s;

/** `place` is what the value was given for, `why` says what would be right. */
function wrongValueText(place: string, value: string, why: string): string {
  // An empty value is in every text: only as the words that name values is it shown.
  const isShown = value === "" ? why.includes('""') : why.includes(value);
  const shown = value === "" ? why : why.replaceAll(value, visibleText(value));
  const current = isShown ? "" : `: current value is "${visibleText(value)}"`;
  return `error: ${place}: ${visibleLines(shown.trimEnd().replace(/\.$/, ""))}${current}\n`;
}

/** A complaint of the parser that names a wrong value once, and shows what would steer a terminal. */
export function complaintText(text: string): string {
  const option = WRONG_OPTION.exec(text);
  if (option !== null) return wrongValueText(`option '${option[1]}'`, option[2], option[3]);
  const argument = WRONG_ARGUMENT.exec(text);
  if (argument !== null) {
    return wrongValueText(`argument '${argument[2]}'`, argument[1], argument[3]);
  }
  return visibleLines(text);
}
