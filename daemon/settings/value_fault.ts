// Core. A wrong value as complaints name it: once, and whole.

const CURRENT = ": current value is ";

/**
 * `why` with the value that it is about behind it, unless it names the value already. Where it names
 * a part of it, as one address of a list, the whole is named as that which the part stands in.
 *
 * @param value the value as it was given; "" is named by `""`.
 * @param shown the same as it may be printed.
 */
export function withValue(why: string, value: string, shown: string): string {
  // As a value and not as letters of other words: "1" is in "1 to 64" too.
  if (why.includes(`"${value}"`) || why.endsWith(`${CURRENT}${value}`)) return why;
  return why.includes(CURRENT) ? `${why}, in ${shown}` : `${why}${CURRENT}${shown}`;
}
