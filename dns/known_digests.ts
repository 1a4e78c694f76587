// Core. Which routes peers say they have already, until the first answer to their question.

import type { ModuleId } from "../model/module.ts";

/** Questions of one peer that are open at once and name a digest; further ones get whole routes. */
export const DIGESTS_PER_PEER_MAX = 20_000;

/** Bytes of a digest. */
const DIGEST_BYTES = 8;

/** What was said with questions. Bounded by {@linkcode DIGESTS_PER_PEER_MAX} for each peer. */
export class KnownDigests<P> {
  readonly #byPeer = new Map<P, Map<ModuleId, Uint8Array>>();

  /** A peer asks for a module, and has a route of this digest; undefined: it has none, any more. */
  note(peer: P, key: ModuleId, digest: Uint8Array | undefined): void {
    this.#take(peer, key);
    if (digest?.length !== DIGEST_BYTES) return;
    const known = this.#byPeer.get(peer) ?? new Map<ModuleId, Uint8Array>();
    if (known.size >= DIGESTS_PER_PEER_MAX) return;
    known.set(key, digest.slice());
    this.#byPeer.set(peer, known);
  }

  /** True when what is about to be sent is what the peer said it has; asked once for each question. */
  isKnown(peer: P, key: ModuleId, digest: () => Uint8Array): boolean {
    const given = this.#take(peer, key);
    if (given === undefined) return false;
    const right = digest();
    return given.every((byte, at) => byte === right[at]);
  }

  #take(peer: P, key: ModuleId): Uint8Array | undefined {
    const known = this.#byPeer.get(peer);
    const given = known?.get(key);
    if (known?.delete(key) === true && known.size === 0) this.#byPeer.delete(peer);
    return given;
  }

  /** A peer is gone. */
  closed(peer: P): void {
    this.#byPeer.delete(peer);
  }
}
