// Core. A link whose datagrams are sealed, for an agent on another host that wants a secret.

import { Sealer } from "../session/datagram_seal.ts";
import type { Prove } from "../session/handshake.ts";
import type { AgentLink, AgentLinkEvents } from "./link.ts";

/** What a {@linkcode SealedLink} works with. */
export interface SealedLinkOptions {
  readonly secret: Uint8Array;
  readonly prove: Prove;
  /** At least 8 random bytes. */
  readonly sender: Uint8Array;
  readonly wallMs: () => number;
}

/** Seals what is sent; answers without a good seal count as those of strangers. */
export class SealedLink implements AgentLink {
  readonly #link: AgentLink;
  readonly #secret: Uint8Array;
  readonly #sealer: Sealer;
  #foreignCount = 0;

  /** `open` makes the link to the agent, with the events it is to tell. */
  constructor(
    open: (events: AgentLinkEvents) => AgentLink,
    events: AgentLinkEvents,
    { secret, prove, sender, wallMs }: SealedLinkOptions,
  ) {
    this.#secret = secret;
    this.#sealer = new Sealer(sender, prove, wallMs);
    this.#link = open({
      ...events,
      onDatagram: (datagram) => {
        if (this.#sealer.isAnswer(datagram, secret)) events.onDatagram(datagram);
        else this.#foreignCount++;
      },
    });
  }

  get foreignCount(): number {
    return this.#foreignCount + this.#link.foreignCount;
  }

  get droppedCount(): number {
    return this.#link.droppedCount;
  }

  send(portIndex: number, datagram: Uint8Array): void {
    this.#link.send(portIndex, this.#sealer.seal(datagram, this.#secret));
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
