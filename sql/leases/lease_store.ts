// Core. What discovery asks of the database: leases, who holds them, and what the guard holds back.

import type { LeasePhase, LeaseRow } from "../../model/lease.ts";
import type { ModuleChange, ModuleKey } from "../../model/module.ts";
import type { NodeKey, RouteEdit } from "../../model/node.ts";
import type { AuditEntry, StoredModule } from "../console/console_store.ts";

/** What a change of leases finds; everything is locked until it is written. */
export interface StoredLeases {
  /** Leases of the nodes that were named, those that are over included. */
  readonly leases: readonly LeaseRow[];
  /** The modules with all their nodes, names and policies. */
  readonly modules: readonly StoredModule[];
  /** Of these, modules in which some node ever registered. */
  readonly registered: readonly ModuleKey[];
  /** Time by the database, in unix seconds. */
  readonly nowS: number;
  /** Number of the last change of leases. */
  readonly seq: number;
}

/** What is to be written. */
export interface LeaseEdits {
  readonly leases: readonly LeaseRow[];
  readonly routes: readonly RouteEdit[];
  readonly modules: readonly ModuleChange[];
  /** Undefined: nothing that an audit should know. */
  readonly audit: AuditEntry | undefined;
}

/** A change of leases and of the routes that they become. */
export interface LeaseChangeWish {
  readonly nodes: readonly NodeKey[];
  decide(stored: StoredLeases): LeaseEdits;
}

/** What it did. */
export interface LeaseChangeOutcome {
  /** Modules whose route differs now. */
  readonly changed: readonly ModuleKey[];
  /** RouteVersions that it wrote. */
  readonly versions: readonly number[];
  /** Number of this change of leases; that of the last one when none was written. */
  readonly seq: number;
}

/** What others did to routes. */
export interface ForeignChanges {
  readonly changeIdMax: number;
  readonly modules: readonly ModuleKey[];
}

/** Leases that were written after a change, and the number of the last one. */
export interface LeasePage {
  readonly rows: readonly LeaseRow[];
  /** To be asked from next time. Less than was asked for: the database was set back. */
  readonly seq: number;
  /** True: there are more. */
  readonly isCut: boolean;
}

/** Which leases are wanted. */
export interface LeaseFilter extends Partial<ModuleKey> {
  readonly phase?: LeasePhase | undefined;
  /** An address, with or without its port, or a part of owner, zone or note. */
  readonly text?: string | undefined;
}

/** Some of the leases that a filter finds. */
export interface LeaseList {
  readonly rows: readonly LeaseRow[];
  /** How many it finds, by phase, whichever phase it asks for. */
  readonly counts: ReadonlyMap<LeasePhase, number>;
}

/** A discovery that holds leases. It lives while its beat changes: no clock is compared. */
export interface LeaseHolder {
  readonly id: number;
  readonly address: string;
  readonly beat: number;
}

/** A module of which a discovery holds nodes in the route that seem to be lost. */
export interface GuardRow extends ModuleKey {
  readonly holder: number;
  readonly heldCount: number;
  readonly liveCount: number;
  /** Unix seconds by the database. */
  readonly sinceS: number;
  /** Somebody said that the losses are real. */
  readonly isConfirmed: boolean;
}

/** The part of the store that discovery uses. A schema before migration 14 has none of it. */
export interface NodeLeaseStore {
  /**
   * Reads leases and modules, and writes what `decide` makes of them, in one transaction in which
   * nobody else changes routes. `decide` may be called again after a deadlock.
   */
  change(wish: LeaseChangeWish): Promise<LeaseChangeOutcome>;
  /** Leases written after a change, in order of it, those that are over included. */
  since(seq: number, limit: number): Promise<LeasePage>;
  /** Modules that others changed after a RouteChange id; changes with one of our versions are ours. */
  foreignChanges(afterChangeId: number, ownVersions: readonly number[]): Promise<ForeignChanges>;
  /** Leases that are not over or in which an operator has a hand, of all or some modules. */
  list(filter: Partial<ModuleKey>, limit: number): Promise<LeaseRow[]>;
  /** The same by more than the module, a part of them, with how many there are. */
  find(filter: LeaseFilter, offset: number, limit: number): Promise<LeaseList>;
  /** Says that a discovery lives. @returns all that ever did, this one included. */
  beat(holder: LeaseHolder): Promise<LeaseHolder[]>;
  /** A discovery ended, or its leases are another's now. */
  forgetHolder(id: number): Promise<void>;
  /** Replaces what a discovery holds back; confirmations of modules that stay are kept. */
  putGuard(holder: number, rows: readonly GuardRow[]): Promise<void>;
  /** What is held back, by one discovery or by all. */
  guard(holder?: number): Promise<GuardRow[]>;
  /** Says that the losses of a module are real. @returns false when nothing of it is held back. */
  confirmGuard(module: ModuleKey, audit: AuditEntry): Promise<boolean>;
  /** Forgets leases that have been over for a while and in which no operator has a hand. */
  prune(): Promise<void>;
}
