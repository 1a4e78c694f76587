// Core. The routes being served: a full snapshot, fresher single modules on top, and revisions.

import type { FleetModule } from "../proto/codec.ts";
import type { RouteRow } from "../sql/store.ts";
import {
  isModule,
  MODULE_NAME_LENGTH_MAX,
  type ModuleId,
  moduleId,
  type ModuleKey,
  moduleOf,
} from "../model/module.ts";
import { type DatabaseState, isOlderState, laterState } from "../model/database_state.ts";
import { markNames } from "../model/pickable_nodes.ts";
import { buildSnapshot, RouteSnapshot, sameNodes } from "./route_snapshot.ts";

/**
 * Most modules kept on top of the full snapshot. Beyond it {@linkcode RouteTable.wantsReload} is
 * true, and the poller loads everything anew, which empties the layer. 50,000 modules cost about
 * as much as 10 MB.
 */
export const FRESH_MODULES_MAX = 50_000;

/** Modules and nodes compared between two yields of {@linkcode RouteTable.install}: about 0.1 ms. */
const STEP_COMPARED = 2_048;

/** The route of one module, readable without copying. */
export interface RouteView {
  readonly modId: number;
  readonly cmdId: number;
  /**
   * Grows whenever the nodes of this module change, also across restarts (it starts from the wall
   * clock). A module without nodes carries the newest revision of the whole table.
   */
  readonly revision: number;
  readonly snapshot: RouteSnapshot;
  /** Index of the module in `snapshot`, or -1 when it has no nodes. */
  readonly index: number;
  /** JSON of the module's policy; "" = none. */
  readonly policy: string;
  /** What the module is called; "" = it has no name. */
  readonly name: string;
  /** Somebody means this route, however many nodes it lost. */
  readonly meant: boolean;
  /** Changes of this module are marked when they are meant. */
  readonly guarded: boolean;
  /** The state of the database that it was read from; undefined: not known. */
  readonly plan: DatabaseState | undefined;
}

/** What is stored with a module besides its nodes. */
export interface ModuleExtras {
  /** JSON of its policy; "" = none. */
  readonly policy: string;
  /** What it is called; "" = none. */
  readonly name: string;
  /** The nodes its last change meant, see `meantMark`; "" = none, undefined = nobody marks changes. */
  readonly mark: string | undefined;
}

/** What goes with the nodes that were read: modules that have a row of their own. */
export type RouteExtras = ReadonlyMap<ModuleId, ModuleExtras>;

const NO_EXTRAS: RouteExtras = new Map();

/** The last mark of a module that named the nodes it had. */
interface Honoured {
  readonly mark: string;
  /** The nodes have differed from what the mark names: it says nothing of them any more. */
  readonly spent: boolean;
  /** No node has gone since, but by another mark. */
  readonly holds: boolean;
}

/** A module as it is kept over a restart. */
export interface KeptModule extends ModuleKey {
  readonly rows: readonly RouteRow[];
  readonly extras: ModuleExtras | undefined;
  /** The state of the database that it was read from. */
  readonly plan: DatabaseState | undefined;
}

/** What a full load changed. */
export interface InstallResult {
  /** Modules whose nodes differ, those that vanished included. Empty on the first load. */
  readonly changed: ModuleKey[];
  /** True when nothing was loaded before. */
  readonly first: boolean;
  /** Modules read again while the load ran: their order is unknown, so read them once more. */
  readonly recheck: ModuleKey[];
  readonly nodesBefore: number;
  readonly nodesAfter: number;
}

interface FreshModule {
  readonly snapshot: RouteSnapshot;
  readonly index: number;
  readonly revision: number;
  readonly plan: DatabaseState | undefined;
}

const EMPTY = buildSnapshot([]);

/**
 * The table that answers come from.
 *
 * Full loads and single modules may be read at the same time. Whoever reads calls `beginReload`
 * before a full read, then `install` or `abandonReload`; modules given to `replaceModules` in
 * between win over the full read and are named in `recheck`.
 */
export class RouteTable {
  #base = EMPTY;
  #baseRevisions = new Float64Array(0);
  #fresh = new Map<ModuleId, FreshModule>();
  #extras = new Map<ModuleId, ModuleExtras>();
  /** Of modules with extras, so that the most rows of Module bound it. */
  readonly #honoured = new Map<ModuleId, Honoured>();
  #touched: Set<ModuleId> | undefined;
  /** The state that is being taken over: nothing older is put on top of it meanwhile. */
  #coming: DatabaseState | undefined;
  #revision: number;
  #plan: DatabaseState | undefined;
  #loaded = false;
  #installCount = 0;
  #moduleCount = 0;
  #nodeCount = 0;

  /** `firstRevision`: where revisions start; milliseconds since 1970 by the wall clock. */
  constructor(firstRevision: number) {
    this.#revision = firstRevision;
  }

  /** False until the first full load: an empty route then means "not known", not "no nodes". */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Full loads so far. */
  get installCount(): number {
    return this.#installCount;
  }

  /** Revision of the newest change of any module. */
  get revision(): number {
    return this.#revision;
  }

  /** All routes are as new as this, at least; undefined: not known. */
  get plan(): DatabaseState | undefined {
    return this.#plan;
  }

  /** Modules with at least one node. */
  get moduleCount(): number {
    return this.#moduleCount;
  }

  get nodeCount(): number {
    return this.#nodeCount;
  }

  /** Rows the last full load could not use. */
  get skipped(): RouteSnapshot["skipped"] {
    return this.#base.skipped;
  }

  /** True when too many modules lie on top of the last full load. */
  get wantsReload(): boolean {
    return this.#fresh.size > FRESH_MODULES_MAX;
  }

  /** The route of a module as it is now; stays valid, but does not follow later changes. */
  route(modId: number, cmdId: number): RouteView {
    const id = moduleId(modId, cmdId);
    const extras = this.#extras.get(id);
    const { policy = "", name = "" } = extras ?? {};
    const guarded = extras?.mark !== undefined;
    const meant = this.#honoured.get(id)?.holds ?? false;
    const fresh = this.#fresh.get(id);
    if (fresh !== undefined) {
      const { snapshot, index } = fresh;
      const revision = index < 0 ? this.#revision : fresh.revision;
      const { plan } = fresh;
      return { modId, cmdId, revision, snapshot, index, policy, name, meant, guarded, plan };
    }
    const index = this.#base.find(modId, cmdId);
    const revision = index < 0 ? this.#revision : this.#baseRevisions[index];
    const snapshot = this.#base;
    const plan = this.#plan;
    return { modId, cmdId, revision, snapshot, index, policy, name, meant, guarded, plan };
  }

  /** Every module that may have a node: those of the last full load first, in its order. */
  *modules(): Generator<ModuleKey> {
    const { modIds, cmdIds } = this.#base.columns;
    for (let i = 0; i < modIds.length; i++) yield { modId: modIds[i], cmdId: cmdIds[i] };
    for (const { modId, cmdId } of [...this.#fresh.keys()].map(moduleOf)) {
      if (this.#base.find(modId, cmdId) < 0) yield { modId, cmdId };
    }
  }

  /** Every module there is, with its name: those of `modules()`, and those of a name or a policy. */
  *listed(): Generator<FleetModule> {
    for (const { modId, cmdId } of this.modules()) {
      const module = this.listing(modId, cmdId);
      if (!module.gone) yield module;
    }
    for (const id of this.#extras.keys()) {
      const { modId, cmdId } = moduleOf(id);
      if (this.route(modId, cmdId).index >= 0) continue;
      const module = this.listing(modId, cmdId);
      if (!module.gone) yield module;
    }
  }

  /** A module as a list of modules names it; `gone`: there is none. */
  listing(modId: number, cmdId: number): FleetModule {
    const { index, snapshot, name, policy } = this.route(modId, cmdId);
    const gone = !isModule({ name, policy }, snapshot.nodeCountOf(index));
    return { modId, cmdId, name: listedName(name), gone };
  }

  /** Every module, with what it takes to have it again after a restart. */
  *kept(): Generator<KeptModule> {
    const ids = new Set(this.#extras.keys());
    // Also those that have just lost their last node: how new that is must not be forgotten.
    for (const id of this.#fresh.keys()) ids.add(id);
    for (const { modId, cmdId } of this.modules()) ids.add(moduleId(modId, cmdId));
    for (const id of ids) {
      const { modId, cmdId } = moduleOf(id);
      const { snapshot, index, plan } = this.route(modId, cmdId);
      const rows = [...snapshot.rowsOf(index)];
      yield { modId, cmdId, rows, extras: this.#extras.get(id), plan };
    }
  }

  /**
   * Takes the modules of an earlier run, before anything is read; all are as new as `plan`, and some
   * newer, as they say.
   */
  restore(modules: readonly KeptModule[], plan: DatabaseState | undefined): void {
    const extras = new Map<ModuleId, ModuleExtras>();
    for (const { modId, cmdId, extras: one } of modules) {
      if (one !== undefined) extras.set(moduleId(modId, cmdId), one);
    }
    const steps = this.install(buildSnapshot(modules.flatMap(({ rows }) => rows)), extras, plan);
    while (steps.next().done !== true);
    for (const module of modules) {
      if (module.plan === undefined || plan === undefined) continue;
      if (!isOlderState(plan, module.plan)) continue;
      const { snapshot, index, revision } = this.route(module.modId, module.cmdId);
      const id = moduleId(module.modId, module.cmdId);
      this.#fresh.set(id, { snapshot, index, revision, plan: module.plan });
    }
  }

  /** Marks the start of a full read. */
  beginReload(): void {
    this.#touched = new Set();
  }

  /** Ends a full read that failed; what is served stays as it was. */
  abandonReload(): void {
    this.#touched = undefined;
    this.#coming = undefined;
  }

  /**
   * Replaces everything by a full read, in steps of about 0.1 ms; lookups see the old
   * routes until the last step.
   */
  *install(
    next: RouteSnapshot,
    extras: RouteExtras = NO_EXTRAS,
    plan?: DatabaseState,
  ): Generator<void, InstallResult> {
    const nodesBefore = this.#nodeCount;
    const touched = this.#newerThan(plan);
    this.#coming = plan;
    const first = !this.#loaded;
    const changed: ModuleKey[] = [];
    // 0 marks a module that changed; it gets the new revision at the swap.
    const revisions = new Float64Array(next.moduleCount);
    if (!first) {
      yield* this.#compareNext(next, extras, revisions, touched, changed);
      yield* this.#findRemoved(next, touched, changed);
      yield* this.#compareNodeless(next, extras, touched, changed);
    }
    const honoured = yield* this.#honour(changed, next, extras, touched);
    const revision = ++this.#revision;
    for (let i = 0; i < revisions.length; i++) if (revisions[i] === 0) revisions[i] = revision;
    const kept = new Map<ModuleId, FreshModule>();
    for (const id of touched) {
      const fresh = this.#fresh.get(id);
      if (fresh !== undefined) kept.set(id, fresh);
    }
    const all = new Map(extras);
    for (const id of touched) setExtras(all, id, this.#extras.get(id));
    this.#extras = all;
    for (const [id, one] of honoured) this.#honoured.set(id, one);
    for (const id of this.#honoured.keys()) if (!all.has(id)) this.#honoured.delete(id);
    this.#base = next;
    const isKnown = [...kept.values()].every((fresh) => fresh.plan !== undefined);
    this.#plan = isKnown ? plan : undefined;
    this.#baseRevisions = revisions;
    this.#fresh = kept;
    this.#touched = undefined;
    this.#coming = undefined;
    this.#loaded = true;
    this.#installCount++;
    this.#count();
    const recheck = [...touched].map(moduleOf);
    return { changed, first, recheck, nodesBefore, nodesAfter: this.#nodeCount };
  }

  /**
   * Sets the routes of `keys` to what `rows` hold of them (nothing = no nodes), and their policies
   * and names to those of `extras`. `plan`: the state of the database that they were read from.
   *
   * @returns the modules whose nodes, policies or names differ from before, or that are meant now.
   */
  replaceModules(
    keys: readonly ModuleKey[],
    rows: readonly RouteRow[],
    extras: RouteExtras = NO_EXTRAS,
    plan?: DatabaseState,
  ): ModuleKey[] {
    const snapshot = buildSnapshot(rows);
    const changed: ModuleKey[] = [];
    let revision = 0;
    for (const { modId, cmdId } of keys) {
      const id = moduleId(modId, cmdId);
      const old = this.route(modId, cmdId);
      // An answer that was long on its way.
      const known = laterState(old.plan, this.#coming);
      if (plan !== undefined && known !== undefined && isOlderState(plan, known)) continue;
      const index = snapshot.find(modId, cmdId);
      const same = this.#isSame(old, snapshot, index, extras);
      const judged = extras.get(id)?.mark === this.#extras.get(id)?.mark;
      if (same && judged && this.#touched === undefined) continue;
      if (!same) {
        if (revision === 0) revision = ++this.#revision;
        changed.push({ modId, cmdId });
        this.#nodeCount += snapshot.nodeCountOf(index) - old.snapshot.nodeCountOf(old.index);
        this.#moduleCount += Number(index >= 0) - Number(old.index >= 0);
      }
      const honoured = this.#judge(old, snapshot, index, extras.get(id)?.mark);
      if (honoured !== undefined) this.#honoured.set(id, honoured);
      setExtras(this.#extras, id, extras.get(id));
      this.#fresh.set(id, { snapshot, index, revision: same ? old.revision : revision, plan });
      this.#touched?.add(id);
    }
    return changed;
  }

  /** Modules that were read while everything was, unless they are known to be older than that. */
  #newerThan(plan: DatabaseState | undefined): ReadonlySet<ModuleId> {
    const touched = this.#touched ?? new Set<ModuleId>();
    for (const id of touched) {
      const fresh = this.#fresh.get(id)?.plan;
      if (plan !== undefined && fresh !== undefined && isOlderState(fresh, plan)) {
        touched.delete(id);
      }
    }
    return touched;
  }

  *#compareNext(
    next: RouteSnapshot,
    extras: RouteExtras,
    revisions: Float64Array,
    touched: ReadonlySet<ModuleId>,
    changed: ModuleKey[],
  ): Generator<void, void> {
    const { modIds, cmdIds } = next.columns;
    let compared = 0;
    for (let index = 0; index < modIds.length; index++) {
      compared += 1 + next.nodeCountOf(index);
      if (compared >= STEP_COMPARED) {
        compared = 0;
        yield;
      }
      const modId = modIds[index];
      const cmdId = cmdIds[index];
      const old = this.route(modId, cmdId);
      if (old.index >= 0 && this.#isSame(old, next, index, extras)) {
        revisions[index] = old.revision;
      } else if (touched.size === 0 || !touched.has(moduleId(modId, cmdId))) {
        changed.push({ modId, cmdId });
      }
    }
  }

  *#findRemoved(
    next: RouteSnapshot,
    touched: ReadonlySet<ModuleId>,
    changed: ModuleKey[],
  ): Generator<void, void> {
    const { modIds, cmdIds } = this.#base.columns;
    for (let index = 0; index < modIds.length; index++) {
      if (index % STEP_COMPARED === STEP_COMPARED - 1) yield;
      const modId = modIds[index];
      const cmdId = cmdIds[index];
      if (next.find(modId, cmdId) >= 0) continue;
      if (this.#fresh.size > 0 && this.#fresh.has(moduleId(modId, cmdId))) continue;
      changed.push({ modId, cmdId });
    }
    for (const [id, fresh] of this.#fresh) {
      const { modId, cmdId } = moduleOf(id);
      if (fresh.index < 0 || touched.has(id) || next.find(modId, cmdId) >= 0) continue;
      changed.push({ modId, cmdId });
    }
  }

  /** Modules without nodes before and after, of which the policy, the name or the mark has changed. */
  *#compareNodeless(
    next: RouteSnapshot,
    extras: RouteExtras,
    touched: ReadonlySet<ModuleId>,
    changed: ModuleKey[],
  ): Generator<void, void> {
    const ids = new Set([...this.#extras.keys(), ...extras.keys()]);
    let compared = 0;
    for (const id of ids) {
      if (++compared % STEP_COMPARED === 0) yield;
      const { modId, cmdId } = moduleOf(id);
      if (touched.has(id) || next.find(modId, cmdId) >= 0) continue;
      const old = this.route(modId, cmdId);
      if (old.index < 0 && !this.#isSame(old, next, -1, extras)) changed.push({ modId, cmdId });
    }
  }

  /** True when nodes, policy, name and guard stay, and nothing is meant now that was not before. */
  #isSame(old: RouteView, next: RouteSnapshot, index: number, extras: RouteExtras): boolean {
    const id = moduleId(old.modId, old.cmdId);
    const { policy = "", name = "", mark } = extras.get(id) ?? {};
    if (policy !== old.policy || name !== old.name) return false;
    if ((mark !== undefined) !== old.guarded) return false;
    if (!sameNodes(old.snapshot, old.index, next, index)) return false;
    // Naming nodes takes time: a mark that was judged with these nodes is not judged again.
    if (old.meant || mark === this.#extras.get(id)?.mark) return true;
    return this.#judge(old, next, index, mark)?.holds !== true;
  }

  /** Judges the marks of modules that changed, and marks that have not been judged before. */
  *#honour(
    changed: readonly ModuleKey[],
    next: RouteSnapshot,
    extras: RouteExtras,
    touched: ReadonlySet<ModuleId>,
  ): Generator<void, Map<ModuleId, Honoured>> {
    const ids = new Set(changed.map(({ modId, cmdId }) => moduleId(modId, cmdId)));
    const honoured = new Map<ModuleId, Honoured>();
    let named = 0;
    for (const [id, { mark }] of extras) {
      if (mark !== this.#extras.get(id)?.mark && !touched.has(id)) ids.add(id);
      if (++named % STEP_COMPARED === 0) yield;
    }
    for (const id of ids) {
      const { modId, cmdId } = moduleOf(id);
      const index = next.find(modId, cmdId);
      named += 1 + next.nodeCountOf(index);
      if (named >= STEP_COMPARED) {
        named = 0;
        yield;
      }
      const one = this.#judge(this.route(modId, cmdId), next, index, extras.get(id)?.mark);
      if (one !== undefined) honoured.set(id, one);
    }
    return honoured;
  }

  /**
   * A mark is honoured when it names the nodes that the module has, and holds until nodes go. So an
   * agent that was away hears that the route is meant, also when harmless changes came after the
   * one that removed the nodes. Once the nodes have differed from what the mark names, only a new
   * mark can say again that they are meant.
   */
  #judge(
    old: RouteView,
    next: RouteSnapshot,
    index: number,
    mark: string | undefined,
  ): Honoured | undefined {
    const known = this.#honoured.get(moduleId(old.modId, old.cmdId));
    const isSpent = known !== undefined && known.spent && known.mark === mark;
    if (mark !== undefined && !isSpent && markNames(mark, next.pickableNodesOf(index).name)) {
      return { mark, spent: false, holds: true };
    }
    if (known === undefined) return undefined;
    const isLess = next.pickableCountOf(index) < old.snapshot.pickableCountOf(old.index);
    return { mark: known.mark, spent: true, holds: known.holds && !isLess };
  }

  #count(): void {
    this.#moduleCount = this.#base.moduleCount;
    this.#nodeCount = this.#base.nodeCount;
    for (const [id, fresh] of this.#fresh) {
      const { modId, cmdId } = moduleOf(id);
      const index = this.#base.find(modId, cmdId);
      this.#nodeCount += fresh.snapshot.nodeCountOf(fresh.index) - this.#base.nodeCountOf(index);
      this.#moduleCount += Number(fresh.index >= 0) - Number(index >= 0);
    }
  }
}

function setExtras(
  all: Map<ModuleId, ModuleExtras>,
  id: ModuleId,
  extras: ModuleExtras | undefined,
): void {
  if (extras === undefined) all.delete(id);
  else all.set(id, extras);
}

/** A foreign table may hold longer names than ours, of which a hundred have to fit a frame. */
function listedName(name: string): string {
  if (name.length <= MODULE_NAME_LENGTH_MAX) return name;
  // As the column counts them: a character may be two units.
  return [...name].slice(0, MODULE_NAME_LENGTH_MAX).join("");
}
