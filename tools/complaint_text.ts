// Core. What the command line parser complains of, as it is printed.

import { withValue } from "../daemon/settings/value_fault.ts";
import { visibleLines, visibleText } from "../reactor/visible_text.ts";

/** The parser's own words about a wrong value, before those of whoever read the value. */
const WRONG_OPTION = /^error: option '([^']*)' argument '(.*?)' is invalid\. (.*)$/s;
const WRONG_ARGUMENT =
  /^error: command-argument value '(.*?)' is invalid for argument '([^']*)'\. (.*)$/s;

/** `place` is what the value was given for, `why` says what would be right. */
function wrongValueText(place: string, value: string, why: string): string {
  const shown = visibleText(value);
  // The value first: a line break in it is no line of the complaint.
  const words = value === "" ? why : why.replaceAll(value, shown);
  const said = visibleLines(words.trimEnd().replace(/\.$/, ""));
  return `error: ${place}: ${withValue(said, shown, `"${shown}"`)}\n`;
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
