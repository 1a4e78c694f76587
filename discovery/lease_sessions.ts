// Shell. Our own messages about leases: what nodes say over a connection, and what they are answered.

import { LEASE_BEAT_NAMES_MAX } from "../model/lease.ts";
import type { NodeKey } from "../model/node.ts";
import {
  decodeLeaseBeat,
  decodeLeaseChange,
  decodeLeaseLeave,
  decodeLeaseRegister,
  decodeLeaseSafeRequest,
  encodeLeaseBeaten,
  encodeLeaseDone,
  encodeLeaseRegistered,
  encodeLeaseSafe,
  type LeaseName,
  type LeaseRegister,
} from "../proto/codec.ts";
import { LeaseCode, MessageId } from "../proto/message_ids.ts";
import type { ModuleKey } from "../model/module.ts";
import { formatAddress } from "../reactor/address.ts";
import { messageOf, ProtocolError } from "../reactor/errors.ts";
import { type Logger, LogRateLimiter } from "../reactor/log.ts";
import type { MessageRouter } from "../reactor/message_router.ts";
import type { Connection } from "../reactor/tcp/tcp_server.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { LeaseValues, LeaseWish } from "./lease_plan.ts";
import { LeaseBusyError, type LeaseRegistry } from "./lease_registry.ts";
import {
  answerOf,
  changeFault,
  hostBehind,
  LEASE_DONE,
  type LeaseAnswer,
  ownerText,
  reasonText,
  registerFault,
  type RegisterRequest,
  specOf,
} from "./lease_requests.ts";
import type { Keeper, LeaseTable } from "./lease_table.ts";
import type { ModuleFinder } from "./module_finder.ts";
import type { SafeStops } from "./safe_stops.ts";

/**
 * Registrations that one LeaseBeat may name, as older programs do; more are a fault of the peer. The
 * answer names {@linkcode LEASE_BEAT_NAMES_MAX} at most, as it is longer than what was asked where
 * numbers are written in another way.
 */
const BEAT_NAMES_TAKEN_MAX = 2_000;

/**
 * Nodes that are heard through one connection; a further one is refused. A program has 2,000 at most,
 * and each costs up to half a KB and its note.
 */
export const CONNECTION_LEASES_MAX = 10_000;

/** What {@linkcode LeaseSessions} work with. */
export interface LeaseSessionsOptions {
  readonly registry: LeaseRegistry;
  readonly table: LeaseTable;
  readonly holder: number;
  /** Modules that nobody made may be made by any registration. */
  readonly makesModules: boolean;
  /** Nodes that ask for it are checked. */
  readonly checksNodes: boolean;
  /** A number from 1 to 2^52, by chance. */
  newIncarnation(): number;
  /** Modules by their names. */
  readonly modules: ModuleFinder;
  /** Who knows when a node is safe to stop. */
  readonly stops: SafeStops;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The leases that come over our own sessions. */
export class LeaseSessions {
  readonly #options: LeaseSessionsOptions;
  readonly #keepers = new WeakMap<Connection, Keeper>();
  readonly #logLimiter: LogRateLimiter;

  constructor(options: LeaseSessionsOptions) {
    this.#options = options;
    this.#logLimiter = new LogRateLimiter(options.clock);
  }

  /** Adds the handlers to a router. */
  addTo(router: MessageRouter<Connection>): void {
    router
      .add(MessageId.LeaseRegister, (body, peer) => {
        this.#run(this.#register(decodeLeaseRegister(body), peer), peer);
      })
      .add(MessageId.LeaseChange, (body, peer) => {
        const { seq, lease, ready, owner, ...values } = decodeLeaseChange(body);
        const change = { ...values, ...(ready === undefined ? {} : { isReady: ready === 1 }) };
        this.#run(this.#change(seq, named(lease, owner), change, peer), peer);
      })
      .add(MessageId.LeaseLeave, (body, peer) => {
        const { seq, lease, owner } = decodeLeaseLeave(body);
        this.#run(this.#leave(seq, named(lease, owner), peer), peer);
      })
      .add(MessageId.LeaseSafeRequest, (body, peer) => {
        const { seq, lease, quietMs } = decodeLeaseSafeRequest(body);
        this.#run(this.#askSafe(seq, named(lease), quietMs, peer), peer);
      })
      .add(MessageId.LeaseBeat, (body, peer) => this.#beat(body, peer));
  }

  /** What fails costs the connection that it was for and no other, as where a handler throws. */
  #run(work: Promise<void>, peer: Connection): void {
    work.catch((error: unknown) => {
      const held = this.#logLimiter.admit("failed");
      if (held !== undefined) {
        const fields = { remote: formatAddress(peer.remote), error: messageOf(error), ...held };
        this.#options.log.error("Request of a node failed, its connection is closed", fields);
      }
      peer.close("its request failed");
    });
  }

  /** A connection has ended; without a goodbye its nodes are in doubt. */
  closed(peer: Connection): void {
    const keeper = this.#keepers.get(peer);
    if (keeper === undefined) return;
    this.#keepers.delete(peer);
    this.#options.table.lose(keeper);
    this.#options.registry.poke();
  }

  /** A peer takes its leave: what it registered lives on until its time is over. */
  saidGoodbye(peer: Connection): void {
    const keeper = this.#keepers.get(peer);
    if (keeper === undefined) return;
    this.#keepers.delete(peer);
    this.#options.table.leave(keeper);
  }

  async #register(message: LeaseRegister, peer: Connection): Promise<void> {
    const { seq } = message;
    const { reason, incarnation, code, modId, cmdId } = await this.#tryRegister(message, peer);
    const answer = { seq, code, reason: reasonText(reason), incarnation, modId, cmdId };
    peer.send(MessageId.LeaseRegistered, encodeLeaseRegistered(answer));
  }

  async #tryRegister(
    message: LeaseRegister,
    peer: Connection,
  ): Promise<LeaseAnswer & ModuleKey & { incarnation: number }> {
    const module = await this.#moduleOf(message);
    if ("code" in module) return { ...module, modId: 0, cmdId: 0, incarnation: 0 };
    const { modId, cmdId } = module;
    return { modId, cmdId, ...await this.#registerIn({ ...message, modId, cmdId }, peer) };
  }

  /** The module that is meant, by its numbers or its name. */
  async #moduleOf({ terms, modId, cmdId }: LeaseRegister): Promise<ModuleKey | LeaseAnswer> {
    const { module = "" } = terms ?? {};
    if (module === "") return { modId, cmdId };
    try {
      const found = await this.#options.modules.find(module);
      if ("fault" in found) return { code: LeaseCode.NoModule, reason: found.fault };
      return found.module;
    } catch (error) {
      return { code: LeaseCode.Busy, reason: messageOf(error) };
    }
  }

  async #registerIn(
    message: LeaseRegister,
    peer: Connection,
  ): Promise<LeaseAnswer & { incarnation: number }> {
    const { table, holder, makesModules, checksNodes } = this.#options;
    const { detached, terms } = message;
    const request = requestOf(message);
    const owner = ownerOf(terms?.owner ?? "");
    // A console asks on behalf of somebody else.
    const { hostname } = peer.remote;
    const host = owner === undefined ? hostname : hostBehind(hostname, terms?.forHost ?? "");
    const fault = registerFault(request, host, checksNodes);
    if (fault !== undefined) return { ...fault, incarnation: 0 };
    const { node, previous } = request;
    if (!detached && !this.#hasRoom(node, peer)) {
      const reason = `One connection may keep ${CONNECTION_LEASES_MAX} nodes: it has them already`;
      return { code: LeaseCode.Invalid, reason, incarnation: 0 };
    }
    const spec = specOf(request, owner === undefined ? "lars" : "rest", owner ?? host);
    const wish: LeaseWish = {
      ...{ op: "register", node, owner, spec, previous, holder },
      incarnation: this.#options.newIncarnation(),
      makesModule: request.makesModule || makesModules || previous !== 0,
    };
    const answer = await this.#ask(wish);
    const incarnation = answer.incarnation;
    if (answer.code !== LeaseCode.Done) return { ...answer, incarnation: 0 };
    // The connection may have ended while it was written: then it is in doubt at once.
    const keeper = detached ? undefined : this.#keeperOf(peer);
    table.heard(node, incarnation, keeper);
    if (keeper !== undefined && peer.closed) this.closed(peer);
    return answer;
  }

  async #ask(wish: LeaseWish): Promise<LeaseAnswer & { incarnation: number }> {
    try {
      const { result, row } = await this.#options.registry.ask(wish);
      return { ...answerOf(result, wish.node), incarnation: row?.incarnation ?? 0 };
    } catch (error) {
      const isBusy = error instanceof LeaseBusyError;
      const reason = isBusy ? error.message : "The database refuses it";
      return { code: isBusy ? LeaseCode.Busy : LeaseCode.Invalid, reason, incarnation: 0 };
    }
  }

  async #change(
    seq: number,
    name: Named,
    change: LeaseValues,
    peer: Connection,
  ): Promise<void> {
    const fault = changeFault(change);
    const { code, reason } = fault ?? await this.#ask({ op: "change", ...name, change });
    const answer = { seq, code, reason: reasonText(reason) };
    peer.send(MessageId.LeaseDone, encodeLeaseDone(answer));
  }

  async #leave(seq: number, name: Named, peer: Connection): Promise<void> {
    const asked = await this.#ask({ op: "leave", ...name });
    // To be gone already is what was wanted.
    const { code, reason } = asked.code === LeaseCode.Unknown ? LEASE_DONE : asked;
    const answer = { seq, code, reason: reasonText(reason) };
    peer.send(MessageId.LeaseDone, encodeLeaseDone(answer));
  }

  async #askSafe(
    seq: number,
    { node, incarnation }: Named,
    quietMs: number,
    peer: Connection,
  ): Promise<void> {
    const lease = this.#options.table.get(node);
    const isAnother = lease === undefined || lease.row.incarnation !== incarnation;
    const { safe, waitsFor } = isAnother
      ? { safe: true, waitsFor: "" } // Nobody is told of it any more.
      : await this.#options.stops.ask(lease, quietMs);
    peer.send(MessageId.LeaseSafe, encodeLeaseSafe({ seq, safe, waitsFor }));
  }

  #beat(body: Uint8Array, peer: Connection): void {
    const { table } = this.#options;
    const { seq, lease, owner } = decodeLeaseBeat(body);
    if (lease.length > BEAT_NAMES_TAKEN_MAX) {
      throw new ProtocolError(
        `LeaseBeat must name at most ${BEAT_NAMES_TAKEN_MAX}: current value is ${lease.length}`,
      );
    }
    const keeper = this.#keepers.get(peer);
    if (keeper !== undefined) table.heardKeeper(keeper);
    const lost = lease.filter((one) => {
      const { node, incarnation } = named(one);
      const isForeign = owner !== "" && table.get(node)?.row.owner !== ownerText(owner);
      return isForeign || table.heard(node, incarnation) !== "heard";
    }).slice(0, LEASE_BEAT_NAMES_MAX);
    const count = keeper?.leases.size ?? 0;
    peer.send(MessageId.LeaseBeaten, encodeLeaseBeaten({ seq, count, lost }));
  }

  /** One that it keeps already may be registered again. */
  #hasRoom(node: NodeKey, peer: Connection): boolean {
    const kept = this.#keepers.get(peer)?.leases;
    if (kept === undefined || kept.size < CONNECTION_LEASES_MAX) return true;
    const known = this.#options.table.get(node);
    return known !== undefined && kept.has(known);
  }

  #keeperOf(peer: Connection): Keeper {
    const keeper = this.#keepers.get(peer) ?? this.#options.table.openKeeper();
    this.#keepers.set(peer, keeper);
    return keeper;
  }
}

interface Named {
  readonly node: NodeKey;
  readonly incarnation: number;
  /** Whose it must be. */
  readonly owner: string | undefined;
}

function ownerOf(owner: string): string | undefined {
  return owner === "" ? undefined : ownerText(owner);
}

function named(name: LeaseName | undefined, owner = ""): Named {
  if (name === undefined) throw new ProtocolError("A registration must be named");
  const { incarnation, modId, cmdId, ip, port } = name;
  const node = { modId: modId >>> 0, cmdId: cmdId >>> 0, ip: ip >>> 0, port };
  return { node, incarnation, owner: ownerOf(owner) };
}

function requestOf(message: LeaseRegister): RegisterRequest {
  const { modId, cmdId, ip, port, ttlMs, weight, zone, note, waiting } = message;
  return {
    node: { modId: modId >>> 0, cmdId: cmdId >>> 0, ip: ip >>> 0, port },
    ...{ ttlMs, weight, zone, note, check: message.terms?.check ?? "", isReady: !waiting },
    previous: message.incarnation,
    makesModule: message.makesModule,
  };
}
