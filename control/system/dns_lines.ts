// Shell. A line to every dns, opened when something is asked and ended when nobody asks any more.

import { type Address, formatAddress } from "../../reactor/address.ts";
import { silentLogger } from "../../reactor/log.ts";
import { type Clock, setRepeating, type Timer } from "../../reactor/time/clock.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import type { SessionTransport } from "../../session/handshake.ts";
import type { Secrets } from "../../session/secrets.ts";
import type { Store } from "../../sql/store.ts";
import { DnsLine } from "./dns_line.ts";
import { liveDns } from "./known_services.ts";

/** A line is kept for so long after the last question, in milliseconds. */
const LINE_KEEP_MS = 30_000;

/** What the lines work with. */
export interface DnsLinesOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly software: string;
  /** Shared with dns, if there are any. */
  readonly secrets: Secrets | undefined;
  /** Makes the connections. @default {without TLS} */
  readonly transport?: SessionTransport | undefined;
  /** Asked besides those that signed in to the database. */
  readonly addresses: readonly Address[];
}

interface Kept {
  readonly line: DnsLine;
  usedAtMs: number;
}

/** The lines; shared by all who ask. */
export class DnsLines {
  readonly #options: DnsLinesOptions;
  readonly #lines = new Map<string, Kept>();
  #sweeper: Timer | undefined;

  constructor(options: DnsLinesOptions) {
    this.#options = options;
  }

  /** One line to each dns that signed in, or was named; those that are gone are left. */
  async open(): Promise<DnsLine[]> {
    const { store, clock, rng, software, secrets, transport, addresses } = this.#options;
    const wanted = new Map(
      [...await liveDns(store, clock), ...addresses].map((one) => [formatAddress(one), one]),
    );
    for (const [name, { line }] of this.#lines) {
      if (wanted.has(name)) continue;
      this.#lines.delete(name);
      void line.close();
    }
    for (const [name, address] of wanted) {
      let kept = this.#lines.get(name);
      if (kept === undefined) {
        const log = silentLogger;
        const line = new DnsLine({ address, secrets, transport, software, clock, rng, log });
        this.#lines.set(name, kept = { line, usedAtMs: 0 });
      }
      kept.usedAtMs = clock.nowMs();
    }
    this.#sweeper ??= setRepeating(clock, LINE_KEEP_MS, () => void this.#sweep());
    return [...this.#lines.values()].map(({ line }) => line);
  }

  /** Ends all lines; questions under way are given up. */
  async close(): Promise<void> {
    this.#sweeper?.cancel();
    this.#sweeper = undefined;
    const kept = [...this.#lines.values()];
    this.#lines.clear();
    await Promise.all(kept.map(({ line }) => line.close()));
  }

  /** Ends lines that nobody needs any more. */
  async #sweep(): Promise<void> {
    const beforeMs = this.#options.clock.nowMs() - LINE_KEEP_MS;
    const old = [...this.#lines].filter(([, { usedAtMs }]) => usedAtMs < beforeMs);
    for (const [name] of old) this.#lines.delete(name);
    if (this.#lines.size === 0) {
      this.#sweeper?.cancel();
      this.#sweeper = undefined;
    }
    await Promise.all(old.map(([, { line }]) => line.close()));
  }
}
