// Core. What a program says to be found, and where its registration stands.

import type { AddressWish } from "./own_address.ts";

/** Nothing to say. */
export const NO_REASON = "";

/**
 * `connecting`: not registered just now, and trying. `registered`: discovery knows the node.
 * `superseded`: another program has registered it since; this one does not fight. `refused`: it
 * cannot be. `closed`: it has left.
 */
export type RegistrationState = "connecting" | "registered" | "superseded" | "refused" | "closed";

/** What a node is and wants. */
export interface RegisterValues extends AddressWish {
  /** The module that it serves, by its numbers, 0 to 4294967295. @default {by its name} */
  readonly modId?: number;
  readonly cmdId?: number;
  /** The module by its name, which discovery looks up. @default {by its numbers} */
  readonly module?: string;
  /** Port on which it serves, 1 to 65535. */
  readonly port: number;
  /** Share of the calls, 0 to 10000. @default {100} */
  readonly weight?: number;
  /** Where it stands. @default {none} */
  readonly zone?: string;
  /** Tags and metadata, at most 4096 bytes as JSON. @default {none} */
  readonly note?: Readonly<Record<string, unknown>>;
  /** Time after which it is out when nothing was heard of it, 1000 to 86400000 ms. @default {15000} */
  readonly ttlMs?: number;
  /** False: it gets no calls until `setReady(true)`. @default {true} */
  readonly isReady?: boolean;
  /** What discovery checks besides, where it does so: `tcp` or `http:/path`. @default {nothing} */
  readonly check?: string;
  /** True: the module may be one that nobody has made. @default {false} */
  readonly createModule?: boolean;
  /** Hears each change of the state. */
  readonly onState?: (state: RegistrationState, reason: string) => void;
}
