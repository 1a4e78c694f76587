// Core. How relays reach each other: messages by subject, that may be lost and are never late for long.

/** Subject of what all relays hear. */
export const ALL_RELAYS = "all";

/** Subject of what one relay is told or asked. */
export function relaySubject(relay: string, what: "ask" | "pass" | "passed"): string {
  return `relay.${relay}.${what}`;
}

/** Messages between relays: each to all who hear its subject, in order of one sender, at most once. */
export interface RelayBus {
  readonly connected: boolean;
  /** @returns false when it cannot leave now. */
  publish(subject: string, body: Uint8Array): boolean;
  /** Hears a subject from now on, over any break. `body` is not kept beyond the call. */
  subscribe(subject: string, onMessage: (body: Uint8Array) => void): void;
  /** Is told of each change of `connected`. */
  onState(hear: (connected: boolean) => void): void;
}
