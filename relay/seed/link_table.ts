// Core. Who is linked, from where, and how many links each address may have.

import type { TransitTarget } from "./relay_frame.ts";

/** What the table knows of a link. */
export interface TableLink {
  readonly hostname: string;
  /** First port of its L0, by which other clients name it. */
  readonly port1: number;
}

/** Bounds of the links of clients of the original. */
export interface LinkLimits {
  readonly linksMax: number;
  /** Of one address; 0: no bound but `linksMax`. */
  readonly linksPerHostMax: number;
}

/** Links by address, those that are being made included in what is counted. */
export class LinkTable<L extends TableLink> {
  readonly #hosts = new Map<string, { count: number; readonly links: Set<L> }>();
  #count = 0;

  /** Places that are taken. */
  get count(): number {
    return this.#count;
  }

  /** Takes a place for a link of this address; false: there is none. */
  take(hostname: string, { linksMax, linksPerHostMax }: LinkLimits): boolean {
    const host = this.#hosts.get(hostname) ?? { count: 0, links: new Set<L>() };
    if (this.#count >= linksMax) return false;
    if (linksPerHostMax > 0 && host.count >= linksPerHostMax) return false;
    this.#count++;
    host.count++;
    this.#hosts.set(hostname, host);
    return true;
  }

  /** Gives a place back. */
  give(hostname: string): void {
    const host = this.#hosts.get(hostname);
    if (host === undefined) return;
    this.#count--;
    if (--host.count <= 0) this.#hosts.delete(hostname);
  }

  /** A link of a taken place stands, and can be found. */
  add(link: L): void {
    this.#hosts.get(link.hostname)?.links.add(link);
  }

  /** A link can be found no more; its place is still taken. */
  remove(link: L): void {
    this.#hosts.get(link.hostname)?.links.delete(link);
  }

  /** The link that a client means: of several the one that has stood longest. */
  find({ hostname, port1 }: TransitTarget): L | undefined {
    for (const link of this.#hosts.get(hostname)?.links ?? []) {
      if (port1 === undefined || link.port1 === port1) return link;
    }
    return undefined;
  }

  /** All links that stand. */
  *links(): IterableIterator<L> {
    for (const { links } of this.#hosts.values()) yield* links;
  }
}
