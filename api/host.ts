// Core. A node as callers see it.

import { formatIpv4 } from "../reactor/address.ts";
import type { LarsError } from "../reactor/errors.ts";
import type { HostInfo } from "../proto/codec.ts";

/** A node of a module. */
export interface Host {
  /** Dotted IPv4 address. */
  readonly ip: string;
  /** 1 to 65535. */
  readonly port: number;
  /** 0 to 10000; absent when the agent does not say. */
  readonly weight?: number;
  /** Absent when the node is in none. */
  readonly zone?: string;
  /**
   * Present and true when the agent did not answer in time and this is a node it named earlier:
   * it may be overloaded or gone by now.
   */
  readonly stale?: true;
}

/** Answer of `LarsClient.tryGetHost`. */
export interface HostAnswer {
  /** 0 success, 1 overload, 2 system error, 3 does not exist. */
  readonly retcode: number;
  /** Present when `retcode` is 0. */
  readonly host?: Host;
  /** Why no answer of the agent was had; beside `retcode` 2, or beside a `stale` host. */
  readonly error?: LarsError;
}

/** A node off the wire; undefined when its port cannot be one. */
export function toHost(info: HostInfo): Host | undefined {
  if (info.port < 1 || info.port > 65535) return undefined;
  const host: { ip: string; port: number; weight?: number; zone?: string } = {
    ip: formatIpv4(info.ip),
    port: info.port,
  };
  if (info.weight !== undefined) host.weight = info.weight;
  if (info.zone !== undefined) host.zone = info.zone;
  return host;
}
