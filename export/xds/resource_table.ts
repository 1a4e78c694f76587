// Core. The resources of all names, each encoded once for all streams that are told of it.

import type { ExportModule, FleetView } from "../fleet_view.ts";
import { findModule } from "../module_name.ts";
import { XdsType } from "./messages.ts";
import { clusterOf, endpointsOf, listenerOf, routeOf, type XdsResource } from "./resources.ts";

/** Resources that are kept encoded; when there are more all begin anew. */
export const ENCODED_MAX = 50_000;

/** Names that were gone once and whose return is told; when there are more all begin anew. */
export const RETURNS_MAX = 50_000;

const NOTHING: ReadonlySet<string> = new Set();

interface Encoded {
  /** What it was made of; undefined: a name of no module. */
  readonly module: ExportModule | undefined;
  readonly resource: XdsResource;
}

/** Names as resources, by the view of the system. */
export class XdsResources {
  readonly #view: FleetView;
  /** Listeners, route tables and clusters by type and name. */
  readonly #lasting = new Map<string, XdsResource>();
  /** Endpoints by name and zone. */
  readonly #endpoints = new Map<string, Map<string, Encoded>>();
  #endpointCount = 0;
  /** Every module by the name under which those follow it who follow all. */
  #all: ReadonlySet<string> = new Set();
  /** How often a name was gone from them. */
  readonly #generations = new Map<string, number>();

  constructor(view: FleetView) {
    this.#view = view;
  }

  /** Names of who follows all of a type: clusters, since listeners are its own then. */
  everything(typeUrl: string): ReadonlySet<string> {
    return typeUrl === XdsType.cluster ? this.#all : NOTHING;
  }

  /** A resource as it is now; undefined: its module is known, its route is not yet. */
  resource(typeUrl: string, name: string, zone: string): XdsResource | undefined {
    if (typeUrl === XdsType.endpoints) return this.#endpointsOf(name, zone);
    const key = `${typeUrl}\n${name}`;
    let resource = this.#lasting.get(key);
    if (resource === undefined) {
      resource = this.#make(typeUrl, name);
      if (this.#lasting.size >= ENCODED_MAX) this.#lasting.clear();
      this.#lasting.set(key, resource);
    }
    return resource;
  }

  /** True when the endpoints of a name that somebody was told are still what they are. */
  isCurrent(name: string): boolean {
    const meant = this.#meantBy(name);
    const zones = this.#endpoints.get(name);
    if (zones === undefined || meant === "coming") return false;
    for (const { module } of zones.values()) if (module !== meant) return false;
    return true;
  }

  /**
   * There are other modules or names.
   *
   * @returns the names that have come or gone among all of them.
   */
  listed(): string[] {
    const all = new Set<string>();
    for (const { modId, cmdId, name } of this.#view.modules()) {
      all.add(name === "" ? `${modId}.${cmdId}` : name);
    }
    const touched = [...all].filter((name) => !this.#all.has(name));
    for (const name of this.#all) {
      if (all.has(name)) continue;
      touched.push(name);
      if (this.#generations.size >= RETURNS_MAX) this.#generations.clear();
      this.#generations.set(name, (this.#generations.get(name) ?? 0) + 1);
      this.#lasting.delete(`${XdsType.cluster}\n${name}`);
    }
    this.#all = all;
    return touched;
  }

  #make(typeUrl: string, name: string): XdsResource {
    if (typeUrl === XdsType.listener) return listenerOf(name);
    if (typeUrl === XdsType.route) return routeOf(name);
    return clusterOf(name, this.#generations.get(name) ?? 0);
  }

  /** The module of a name; undefined: it is none; "coming": its route is on its way. */
  #meantBy(name: string): ExportModule | "coming" | undefined {
    const key = findModule(this.#view, name);
    if (key === undefined || !this.#view.has(key)) return undefined;
    return this.#view.module(key) ?? "coming";
  }

  #endpointsOf(name: string, zone: string): XdsResource | undefined {
    const module = this.#meantBy(name);
    // No endpoints for a moment would make calls fail.
    if (module === "coming") return undefined;
    let zones = this.#endpoints.get(name);
    const known = zones?.get(zone);
    if (known !== undefined && known.module === module) return known.resource;
    const resource = endpointsOf(name, module, zone);
    if (known === undefined && ++this.#endpointCount > ENCODED_MAX) {
      this.#endpoints.clear();
      this.#endpointCount = 1;
      zones = undefined;
    }
    if (zones === undefined) this.#endpoints.set(name, zones = new Map());
    zones.set(zone, { module, resource });
    return resource;
  }
}
