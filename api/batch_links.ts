// Core. The way to the agent that a table names, where that is another than the one that is asked.

import type { AgentLink } from "./link.ts";

/**
 * One link at most: a table names one agent, and another only after that was started elsewhere. What
 * links before it could not send stays counted.
 */
export class BatchLinks {
  readonly #open: (hostname: string, port: number) => AgentLink;
  #current: { readonly address: string; readonly link: AgentLink } | undefined;
  /** Are sending what they were given. */
  readonly #closing = new Set<AgentLink>();
  #droppedBefore = 0;

  constructor(open: (hostname: string, port: number) => AgentLink) {
    this.#open = open;
  }

  /** Datagrams that could not be sent, to whichever agent. */
  get droppedCount(): number {
    const links = [...this.#closing, ...(this.#current === undefined ? [] : [this.#current.link])];
    return links.reduce((sum, { droppedCount }) => sum + droppedCount, this.#droppedBefore);
  }

  /** The link to an agent; one to another is closed. */
  to(hostname: string, port: number): AgentLink {
    const address = `${hostname}:${port}`;
    if (this.#current?.address === address) return this.#current.link;
    void this.close();
    this.#current = { address, link: this.#open(hostname, port) };
    return this.#current.link;
  }

  /** Ends when what was given to be sent has left. */
  async close(): Promise<void> {
    const link = this.#current?.link;
    this.#current = undefined;
    if (link === undefined) return;
    this.#closing.add(link);
    try {
      await link.close();
    } finally {
      this.#closing.delete(link);
      this.#droppedBefore += link.droppedCount;
    }
  }
}
