// Core. The secrets that our programs share: up to two at once, replaced while they run.

import { equalSecrets } from "../reactor/equal_secrets.ts";

/** Secrets that are valid at once: while one takes the place of the other. */
export const SECRETS_MAX = 2;

/**
 * What a program proves itself with, and accepts of others. Those who hold connections listen for
 * changes, and end the ones that rest on a secret which is none any more.
 */
export class Secrets {
  #all: readonly Uint8Array[];
  readonly #listeners = new Set<() => void>();

  /** @throws {RangeError} when there is none, or more than {@linkcode SECRETS_MAX}. */
  constructor(all: readonly Uint8Array[]) {
    this.#all = checkCount(all);
  }

  /** `token` of an option as secrets; undefined stays so. */
  static ofToken(token: Uint8Array | undefined): Secrets | undefined {
    return token === undefined ? undefined : new Secrets([token]);
  }

  /** All that are valid now, the first one first. */
  get all(): readonly Uint8Array[] {
    return this.#all;
  }

  /** The one to prove oneself with to somebody of whom nothing is known. */
  get first(): Uint8Array {
    return this.#all[0];
  }

  /** True when `secret` is valid now. */
  has(secret: Uint8Array): boolean {
    return this.#all.some((one) => equalSecrets(one, secret));
  }

  /**
   * Takes these from now on, and tells the listeners if they are others.
   *
   * @returns false when nothing has changed.
   * @throws {RangeError} as the constructor does; the old ones stay.
   */
  replace(all: readonly Uint8Array[]): boolean {
    const same = all.length === this.#all.length &&
      all.every((one, index) => equalSecrets(one, this.#all[index]));
    if (same) return false;
    this.#all = checkCount(all);
    for (const listener of [...this.#listeners]) listener();
    return true;
  }

  /** @returns what ends the listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}

function checkCount(all: readonly Uint8Array[]): readonly Uint8Array[] {
  if (all.length >= 1 && all.length <= SECRETS_MAX) return [...all];
  throw new RangeError(`Secrets must be 1 to ${SECRETS_MAX}: current number is ${all.length}`);
}
