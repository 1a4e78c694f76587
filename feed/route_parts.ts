// Core. Puts routes together that came in parts.

import {
  decodeGetRouteResponse,
  decodeRoutePart,
  type GetRouteResponse,
  type HostInfo,
  type RoutePart,
} from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { NODES_MAX } from "../balancer/routes/route_records.ts";
import { type ModuleId, moduleId } from "../model/module.ts";

/** Parts of one route: 65,536 nodes of 290 bytes, the largest our dns writes, take 291. */
export const ROUTE_PARTS_MAX = 512;

/** Routes that may be incomplete at once; dns sends the parts of a route in one go. */
export const ROUTES_INCOMPLETE_MAX = 16;

interface Assembly {
  readonly partCount: number;
  readonly revision: number | undefined;
  readonly hosts: HostInfo[];
  nextPart: number;
}

/** One connection's incomplete routes. Parts come in order, from 0; anything else is dropped. */
export class RouteParts {
  readonly #assemblies = new Map<ModuleId, Assembly>();
  #dropped = 0;

  /** Parts that fitted nothing, and routes given up, since the start. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /**
   * Takes the body of a message that holds a route or a part of one.
   *
   * @returns the route when it is complete, else undefined.
   * @throws {ProtocolError} when the body cannot be read.
   */
  read(msgId: number, body: Uint8Array): GetRouteResponse | undefined {
    if (msgId === MessageId.GetRouteResponse) return decodeGetRouteResponse(body);
    const part = decodeRoutePart(body);
    const hosts = this.take(part);
    return hosts === undefined ? undefined : { ...part, hosts };
  }

  /**
   * Takes one part.
   *
   * @returns all nodes when the route is complete, else undefined. Nodes beyond `NODES_MAX` are
   * kept out of memory.
   */
  take(part: RoutePart): HostInfo[] | undefined {
    const key = moduleId(part.modId, part.cmdId);
    const assembly = part.part === 0 ? this.#begin(key, part) : this.#assemblies.get(key);
    if (
      assembly === undefined || part.part !== assembly.nextPart ||
      part.partCount !== assembly.partCount || part.revision !== assembly.revision
    ) {
      this.#assemblies.delete(key);
      this.#dropped++;
      return undefined;
    }
    // One node over the limit is kept, so that the one who cuts the route sees that it was cut.
    const room = NODES_MAX + 1 - assembly.hosts.length;
    for (const host of part.hosts.slice(0, Math.max(0, room))) assembly.hosts.push(host);
    assembly.nextPart++;
    if (assembly.nextPart < assembly.partCount) return undefined;
    this.#assemblies.delete(key);
    return assembly.hosts;
  }

  /** The connection ended: what is incomplete stays so. */
  clear(): void {
    this.#dropped += this.#assemblies.size;
    this.#assemblies.clear();
  }

  #begin(key: ModuleId, part: RoutePart): Assembly | undefined {
    if (part.partCount < 1 || part.partCount > ROUTE_PARTS_MAX) return undefined;
    if (this.#assemblies.delete(key)) this.#dropped++;
    if (this.#assemblies.size >= ROUTES_INCOMPLETE_MAX) {
      const [oldest] = this.#assemblies.keys();
      this.#assemblies.delete(oldest);
      this.#dropped++;
    }
    const { partCount, revision } = part;
    const assembly = { partCount, revision, hosts: [], nextPart: 0 };
    this.#assemblies.set(key, assembly);
    return assembly;
  }
}
