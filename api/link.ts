// Core. What the client wants of its way to the agent, so that tests can stand in for it.

/** What a link tells its owner. */
export interface AgentLinkEvents {
  /** A datagram of the agent; the bytes may be kept. */
  onDatagram(datagram: Uint8Array): void;
  /** A datagram was refused: nobody listens on this port (known in Node and Bun only). */
  onRefused(portIndex: number): void;
  /** The socket failed and was closed; the next datagram opens a new one. */
  onFault(portIndex: number, error: unknown): void;
}

/** The way to the agent. */
export interface AgentLink {
  /** Sends one datagram, or loses it: UDP promises nothing. Never throws. */
  send(portIndex: number, datagram: Uint8Array): void;
  /** Closes the sockets after what was given to `send` has left. */
  close(): Promise<void>;
  /** Datagrams that came from somewhere else than the agent. */
  readonly foreignCount: number;
  /** Datagrams that could not be sent. */
  readonly droppedCount: number;
}
