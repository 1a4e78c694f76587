// Core. What an application sees of its connection to a service, whatever carries it.

import type { Address } from "../reactor/address.ts";

/** What is told of a {@linkcode Link} to the one who opened it. */
export interface LinkEvents {
  /** Messages may be sent over a new connection, which knows nothing of the one before. */
  onReady(): void;
  /** The service turns out to speak our extensions after messages had been sent to it. */
  onExtended?(): void;
  /** A connection that was ready is lost; nothing can be sent until `onReady`. */
  onLost(): void;
  /** Any frame but Hello has come, before its handler runs: the service lives. */
  onHeard?(msgId: number): void;
}

/** What a link that chooses among several servers tells of it. */
export interface LinkChoice {
  /** 0: the server in use is the one that suits this client best. */
  readonly rank: number;
  /** Changes to a better server that was back, or away from one that said it stops. */
  readonly returns: number;
  /** Connections made anew because they were old. */
  readonly renewals: number;
  /** Changes away from a server whose data was behind. */
  readonly fresher: number;
  /** For how long the server in use has had no new data, in milliseconds; undefined: it has it. */
  readonly behindMs: number | undefined;
}

/** One lasting connection to the first of several addresses that answers. */
export interface Link {
  /** Handlers of what the service sends; `body` is valid during the call. Added before `start`. */
  readonly router: { add(msgId: number, handler: (body: Uint8Array) => void): unknown };
  /** True when messages may be sent. */
  readonly ready: boolean;
  /** True while connected to a service that speaks our extensions. */
  readonly extended: boolean;
  /** The service in use, or tried next. */
  readonly address: Address;
  /** This side of the connection; undefined without one. */
  readonly local: Address | undefined;
  /** Why the last attempt failed or the last connection ended; undefined while ready. */
  readonly fault: string | undefined;
  /** What is wrong with the secret of either side, and what to do; undefined when nothing is known to be. */
  readonly secretFault: string | undefined;
  /** Connections made since the start. */
  readonly connectCount: number;
  /** Where it chooses among several servers: how the one in use ranks (0 suits best), and how often it changed. */
  readonly choice?: LinkChoice;
  /** Bytes that wait to be taken by the system. */
  readonly pendingBytes: number;
  /** Begins to connect. */
  start(): void;
  /** Sends a message; false when it is not ready, or when too much waits already. */
  send(msgId: number, body: Uint8Array): boolean;
  /** Says that this side stops because it was asked to; to be followed by `close`. */
  sayGoodbye(reason: string): void;
  /** Leaves this service for the next one. */
  failOver(reason: string): void;
  /** Replaces the addresses; a connection to one that is still listed stays. @throws {RangeError} when there are none. */
  setAddresses(addresses: readonly Address[]): void;
  /** Ends the connection after what waits has left, at most a second. */
  close(): Promise<void>;
}
