// Core. Numbers with their noun.

/** `1 node`, `3 nodes`. */
export function quantity(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
