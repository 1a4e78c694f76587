// Core. Words for kinds of events.

/** `node.overload` as words: `node overload`. */
export function kindText(kind: string): string {
  return kind.replace(/[._-]+/g, " ");
}
