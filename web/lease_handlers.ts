// Shell. What the routes of leases do: reads and edits by the database, registrations by a discovery.

import { type Actor, mayAct } from "../control/access/actor.ts";
import { parseNode } from "../control/changes/change_edits.ts";
import type { LeaseRequest } from "../control/schemas.ts";
import type { LeaseAdmin } from "../discovery/lease_admin.ts";
import type { LeaseClient, NamedLease } from "../discovery/lease_client.ts";
import { LEASE_TTL_MS_DEFAULT } from "../model/lease.ts";
import type { ModuleKey } from "../model/module.ts";
import { WEIGHT_DEFAULT } from "../model/node.ts";
import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import type { ApiHandlers } from "./api_context.ts";
import type { leaseRoutes, ResponseOf } from "./contract.ts";
import { ApiProblem } from "./problem.ts";

/** What the handlers of leases work with. */
export interface LeaseHandlerParts {
  readonly leases: LeaseAdmin;
  /** Who asks a discovery. */
  readonly registrar: LeaseClient;
}

/** A handler for every route of leases. */
export function leaseHandlers(
  { leases, registrar }: LeaseHandlerParts,
): Pick<ApiHandlers, keyof typeof leaseRoutes> {
  return {
    listLeases: ({ query }) => leases.find(query),
    async registerLease({ actor, body, address }): Promise<ResponseOf<"registerLease">> {
      const ip = parseIpv4(body.ip ?? addressOf(address));
      const { modId, cmdId, port, ttlMs = LEASE_TTL_MS_DEFAULT } = body;
      const incarnation = await registrar.register({
        ...{ modId, cmdId, ip, port, ttlMs, ...saidOf(body), detached: true },
        terms: { check: body.check ?? "", owner: nameOf(actor), forHost: address },
      });
      return { modId, cmdId, ip: formatIpv4(ip), port, incarnation, ttlMs };
    },
    async beatLeases({ actor, body }): Promise<ResponseOf<"beatLeases">> {
      const named = body.leases.map((one) => ({ ...one, ip: parseIpv4(one.ip) }));
      const lost = await registrar.beat(named, ownerOf(actor));
      return {
        lost: lost.map(({ modId, cmdId, ip, port, incarnation }) => ({
          ...{ modId: modId >>> 0, cmdId: cmdId >>> 0, ip: formatIpv4(ip), port, incarnation },
        })),
      };
    },
    async patchLease({ actor, params, body }): Promise<undefined> {
      const { incarnation, weight, zone, note, isReady } = body;
      await registrar.change(leaseOf(params, incarnation), {
        ...(weight === undefined ? {} : { weight }),
        ...(zone === undefined ? {} : { zone }),
        ...(note === undefined ? {} : { note: JSON.stringify(note) }),
        ...(isReady === undefined ? {} : { ready: isReady ? 1 : 0 }),
      }, ownerOf(actor));
    },
    async leaveLease({ actor, params, query }): Promise<undefined> {
      await registrar.leave(leaseOf(params, query.incarnation), ownerOf(actor));
    },
    async endLease({ actor, params }): Promise<ModuleKey> {
      await leases.end(actor, nodeOf(params));
      return keyOf(params);
    },
    async freeLease({ actor, params }): Promise<ModuleKey> {
      await leases.free(actor, nodeOf(params));
      return keyOf(params);
    },
    async confirmLosses({ actor, params }): Promise<ModuleKey> {
      await leases.confirm(actor, keyOf(params));
      return keyOf(params);
    },
  };
}

interface NodeParams extends ModuleKey {
  readonly node: string;
}

function keyOf({ modId, cmdId }: ModuleKey): ModuleKey {
  return { modId, cmdId };
}

function nodeOf({ modId, cmdId, node }: NodeParams): ModuleKey & ReturnType<typeof parseNode> {
  return { modId, cmdId, ...parseNode(node) };
}

function leaseOf(params: NodeParams, incarnation: number): NamedLease {
  return { ...nodeOf(params), incarnation };
}

/** Who registers, for the lease: each token by itself, as each is a program or a team. */
function nameOf({ name, title }: Actor): string {
  return title === undefined ? name : `${name}/${title}`;
}

/** Whose leases may be changed; empty: anybody's, as an operator may. */
function ownerOf(actor: Actor): string {
  return mayAct(actor.role, "operator") ? "" : nameOf(actor);
}

function addressOf(address: string): string {
  if (/^[0-9.]+$/.test(address)) return address;
  throw new ApiProblem("invalid", "ip: must be given, as the request does not come by IPv4");
}

/** What a program says of itself, with what holds where it says nothing. */
function saidOf(
  { weight = WEIGHT_DEFAULT, zone = "", note, isReady = true, ...body }: LeaseRequest,
): Pick<
  Parameters<LeaseClient["register"]>[0],
  "weight" | "zone" | "note" | "waiting" | "incarnation" | "makesModule"
> {
  return {
    ...{ weight, zone, note: note === undefined ? "" : JSON.stringify(note) },
    ...{ waiting: !isReady, incarnation: body.incarnation ?? 0 },
    makesModule: body.createModule ?? false,
  };
}
