// Core. What is wrong with a value that has not the shape it should have, in words for people.

import type * as z from "zod";

type RawIssue = z.core.$ZodRawIssue;

/** What a value should be, by the names that shapes have for it. */
const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
  null: "null",
  ipv4: "an IPv4 address, as in 10.0.0.1",
  url: "a URL",
  datetime: "an instant, as in 2030-01-31T12:00:00Z",
};

/** What the size of a value counts; a number is its own size. */
const UNITS: Readonly<Record<string, readonly [one: string, many: string]>> = {
  string: ["character", "characters"],
  array: ["entry", "entries"],
};

/** Names of values nobody knows that are said, and how much of each. */
const NAMES_SHOWN = 4;
const NAME_CHARS_SHOWN = 40;

function boundText(words: string, bound: number | bigint, origin: string): string {
  const unit = UNITS[origin];
  if (unit === undefined) return `must be ${words} ${bound}`;
  return `must have ${words} ${bound} ${Number(bound) === 1 ? unit[0] : unit[1]}`;
}

function tooSmallText(
  { minimum, inclusive, exact, origin }: RawIssue & { code: "too_small" },
): string {
  if (exact === true) return boundText("exactly", minimum, origin);
  if (origin in UNITS && Number(minimum) === 1) return "must not be empty";
  return boundText(inclusive === false ? "more than" : "at least", minimum, origin);
}

function tooBigText({ maximum, inclusive, exact, origin }: RawIssue & { code: "too_big" }): string {
  if (exact === true) return boundText("exactly", maximum, origin);
  return boundText(inclusive === false ? "less than" : "at most", maximum, origin);
}

/** Names that somebody gave, and how many more: there may be as many, and as long, as a body holds. */
function quoted(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN).map((name) => {
    const isLong = name.length > NAME_CHARS_SHOWN;
    return JSON.stringify(isLong ? `${name.slice(0, NAME_CHARS_SHOWN)}…` : name);
  });
  const more = names.length - shown.length;
  return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
}

/**
 * Says what would be right, to be put behind the name of the value: `must be at least 1`. Words that
 * a shape has of its own win. Given as `error` to whatever checks a value.
 */
export function shapeWords(issue: RawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "must be given";
      return `must be ${KINDS[issue.expected] ?? `of kind ${issue.expected}`}`;
    case "too_small":
      return tooSmallText(issue);
    case "too_big":
      return tooBigText(issue);
    case "invalid_format":
      return `must be ${KINDS[issue.format] ?? `of format ${issue.format}`}`;
    case "invalid_value": {
      const values = issue.values.map(String);
      return values.length === 1 ? `must be ${values[0]}` : `must be one of ${values.join(", ")}`;
    }
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "unrecognized_keys":
      return `must not have ${quoted(issue.keys)}: nobody here knows ` +
        (issue.keys.length === 1 ? "it" : "them");
    case "invalid_union": {
      const { options } = issue;
      if (!Array.isArray(options) || options.length === 0) return "must be another value";
      return `must be one of ${options.map(String).join(", ")}`;
    }
    default:
      return "must be another value";
  }
}
