// Core. Comparing secrets.

/**
 * True when both have the same bytes. Takes a time that tells the lengths and nothing else.
 *
 * Own code, because it runs in the agent's workers, whose start `node:crypto` makes longer.
 */
export function equalSecrets(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}
