// Shell. Where the connections of a relay come from: the fast path of Linux, or the runtime's sockets.

import { parseIpv4 } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { BatchTcp, batchTcpFault } from "../reactor/fast/batch_tcp.ts";
import { GuestLoop } from "../reactor/fast/guest_loop.ts";
import type { Logger } from "../reactor/log.ts";
import { runtime, type TcpConnector, type TcpTransport } from "../reactor/runtime/mod.ts";
import type { Clock } from "../reactor/time/clock.ts";

/** Connections in, and connections to clients of the original. */
export interface RelayTransport {
  readonly transport: TcpTransport & TcpConnector;
  /** That of those who are served. */
  readonly clock: Clock;
  /** Frees what it holds; its connections must be closed before. */
  close(): void;
}

/** What {@linkcode openRelayTransport} is given. */
export interface RelayTransportOptions {
  /** False: the sockets of the runtime. */
  readonly fast: boolean;
  /** Connections are over TLS, which the sockets of the runtime carry. @default {false} */
  readonly hasTls?: boolean;
  /** Address that is listened on. */
  readonly hostname: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** The fast path has failed: nothing is served any more. */
  onError(error: unknown): void;
}

/** Takes the fast path where it is wanted and this machine has it; the log says which one, and why. */
export function openRelayTransport(options: RelayTransportOptions): RelayTransport {
  const { fast, hasTls = false, clock, log, onError } = options;
  const why = hasTls ? "they speak TLS" : "it is switched off";
  const fault = fast && !hasTls ? fastFault(options) : why;
  if (fault !== undefined) {
    log.info("Clients are served by the sockets of the runtime", { why: fault });
    return { transport: runtime, clock, close: () => {} };
  }
  const guest = new GuestLoop({ clock, onError });
  const transport = new BatchTcp(guest.loop);
  const { ringFault } = transport;
  const alone = ringFault === undefined ? {} : { sends: "one by one", why: ringFault };
  log.info("Clients are served by the fast path", alone);
  return {
    transport,
    clock: guest.clock,
    close(): void {
      transport.close();
      void guest.close();
    },
  };
}

function fastFault({ hostname, clock }: RelayTransportOptions): string | undefined {
  try {
    if (hostname !== "localhost") parseIpv4(hostname);
  } catch (error) {
    return messageOf(error);
  }
  return batchTcpFault(clock);
}
