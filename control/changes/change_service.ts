// Shell. Every change of routes, names and policies: one transaction with its history, then dns is told.

import { isModule, type ModuleKey, moduleText } from "../../model/module.ts";
import { quantity } from "../../model/quantity.ts";
import { type NodeState, nodeText, rowsThatCount } from "../../model/node.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import {
  differencesOf,
  fingerprintOf,
  groupModules,
  revisionOf,
} from "../../sql/console/route_difference.ts";
import type {
  BackFilter,
  ChangeContent,
  ChangeDifferences,
  ChangeEdits,
  ChangeOutcome,
  ChangeRow,
  ChangeVia,
  StoredModule,
} from "../../sql/console/console_store.ts";
import type { ModuleRow, RouteRow, Store } from "../../sql/store.ts";
import { type Actor, auditOf } from "../access/actor.ts";
import { ControlError } from "../control_error.ts";
import type { ChangeOptions, ModuleFilter } from "./change.ts";
import {
  changedSince,
  differenceView,
  editedModules,
  parseNode,
  requirePolicy,
  storeEdits,
  touchedModules,
  undoEdits,
  withPresets,
} from "./change_edits.ts";
import { renamedModules } from "../../sql/routes/route_edits.ts";
import { judgeZones, type LeftNodes, leftNodes } from "./left_nodes.ts";
import { leftSentences } from "./left_text.ts";
import { judgeNames } from "./module_names.ts";
import { moduleLabel } from "../../model/module_name.ts";
import { type NotifyOptions, tellingDns } from "./dns_notifier.ts";
import { formatRouteFile, parseRouteFile, type RouteFormat } from "./route_file.ts";
import { editsOfPlan, planRoutes } from "./route_plan.ts";
import { CALLERS_SHOWN, trafficShift } from "./traffic_shift.ts";
import type {
  ChangeDetail,
  ChangePreview,
  ChangeResult,
  ChangeSummary,
  ClientEdit,
  TrafficShift,
} from "../schemas.ts";

/** Modules whose callers a preview names; of further ones only shares are shown. */
const CALLERS_LOOKED_UP_MAX = 20;
/** Modules whose shift a preview shows. */
const SHIFTS_SHOWN = 200;
/** Edits from which on a preview waits for the one before it. */
const LARGE_EDITS = 1_000;
/** A caller that reported within this time counts as one, in seconds. */
const CALLER_RECENT_S = 300;

/** Schema from which on changes are kept in a history. */
const HISTORY_SCHEMA_VERSION = 6;

/** What the service works with. */
export interface ChangeServiceOptions extends NotifyOptions {
  /** Calls/s of a module, for previews. @default not known: 0 */
  callsPerSecond?(module: ModuleKey): number;
  /** A change was made: what is shown should be read again at once. */
  onChanged?(): void;
}

/** What a writer may say besides what is to be changed. */
export interface WriteOptions {
  readonly why?: string | undefined;
  /** Revision the module must have; `*`: any. */
  readonly ifMatch?: string | undefined;
}

/** A file of routes. */
export interface ImportWish extends Omit<ChangeOptions, "meant"> {
  readonly format: RouteFormat;
  readonly text: string;
  /** True removes nodes that the file lacks. @default {false} */
  readonly prune?: boolean | undefined;
}

interface Wish {
  readonly modules: readonly ModuleKey[];
  readonly action: string;
  readonly target?: string;
  readonly why?: string | undefined;
  readonly via?: ChangeVia;
  readonly undoes?: number;
  readonly meant?: boolean | undefined;
  decide(stored: readonly StoredModule[]): ChangeEdits;
}

function viaOf(actor: Actor): ChangeVia {
  return actor.via === "cookie" ? "console" : actor.via;
}

/** Names and policies of the modules that have one, of all or some. */
export async function readTexts(
  store: Store,
  { modId, cmdId }: ModuleFilter = {},
): Promise<ModuleRow[]> {
  const keys = modId === undefined || cmdId === undefined ? undefined : [{ modId, cmdId }];
  return (await store.moduleRows(keys)).filter((row) =>
    isModule(row) && (modId === undefined || row.modId === modId) &&
    (cmdId === undefined || row.cmdId === cmdId)
  );
}

function requireRevision(module: StoredModule, ifMatch: string | undefined): void {
  if (ifMatch === undefined || ifMatch === "*") return;
  const revision = revisionOf(module);
  if (revision === ifMatch) return;
  throw new ControlError(
    "changed-meanwhile",
    `Module ${moduleText(module)} was changed meanwhile: read it again`,
    { revision },
  );
}

function requireFingerprint(stored: readonly StoredModule[], expect: string | undefined): void {
  if (expect === undefined || fingerprintOf(stored) === expect) return;
  throw new ControlError(
    "changed-meanwhile",
    "Modules were changed since the preview: look at it again",
  );
}

function changeView(row: ChangeRow): ChangeSummary {
  return {
    ...row,
    modules: row.modules.map(plainKey),
    undoes: row.undoes === 0 ? null : row.undoes,
    undoneBy: row.undoneBy === 0 ? null : row.undoneBy,
  };
}

/** Changes of routes, for REST and command line alike. */
export class ChangeService {
  readonly #options: ChangeServiceOptions;
  #hasHistory = false;
  /** The last look at large edits; it never fails. */
  #largeLook: Promise<unknown> = Promise.resolve();

  constructor(options: ChangeServiceOptions) {
    this.#options = options;
  }

  /** A module as it is stored now, with its revision. */
  async stored(key: ModuleKey): Promise<{ module: StoredModule; revision: string }> {
    const [module] = await this.#read([key]);
    return { module, revision: revisionOf(module) };
  }

  /** Names a module or chooses its policy. */
  putModule(
    actor: Actor,
    key: ModuleKey,
    { name, policy }: { name?: string | undefined; policy?: string | undefined },
    options: WriteOptions,
  ): Promise<ChangeResult> {
    requirePolicy(policy);
    return this.#changeOne(actor, key, "module.set", "", options, () => ({
      routes: [],
      modules: [{
        ...key,
        ...(name === undefined ? {} : { name }),
        ...(policy === undefined ? {} : { policy }),
      }],
    }));
  }

  /** Removes a module with all its nodes. */
  deleteModule(actor: Actor, key: ModuleKey, options: WriteOptions): Promise<ChangeResult> {
    return this.#changeOne(actor, key, "module.remove", "", options, (module) => {
      if (!isModule(module, module.nodes.length)) {
        throw new ControlError("not-found", `There is no module ${moduleText(key)}`);
      }
      return {
        routes: module.nodes.map(({ ip, port }) => ({ op: "remove", ...key, ip, port })),
        modules: [{ ...key, name: "", policy: "" }],
      };
    });
  }

  /** Says that a route is meant as it is. It is no change of routes, so it has no history. */
  async confirm(actor: Actor, key: ModuleKey, why = ""): Promise<ChangeResult> {
    const { store } = this.#options;
    // A module that lost its last node is held back too, and is none of those that are stored.
    const { version, changed, told } = await tellingDns(
      this.#options,
      () => store.confirmRoutes([key]),
    );
    if (await this.#keepsHistory()) {
      await store.console.audit(
        auditOf(actor, this.#wallMs(), "module.confirm", moduleText(key), why),
      );
    }
    const { revision } = await this.stored(key);
    const left = { emptied: [], returned: [] };
    return { changeId: null, version, changed: changed.map(plainKey), told, ...left, revision };
  }

  /** Adds a node. */
  addNode(
    actor: Actor,
    key: ModuleKey,
    node: { ip: string; port: number; weight?: number; zone?: string; state?: NodeState },
    options: WriteOptions,
  ): Promise<ChangeResult> {
    const name = `${node.ip}:${node.port}`;
    const { routes } = storeEdits([{ op: "add", ...key, ...node }]);
    return this.#changeOne(actor, key, "node.add", name, options, () => ({ routes }));
  }

  /** Changes weight, zone or state of a node. */
  patchNode(
    actor: Actor,
    key: ModuleKey,
    name: string,
    values: { weight?: number; zone?: string; state?: NodeState },
    options: WriteOptions,
    action = "node.set",
  ): Promise<ChangeResult> {
    const node = parseNode(name);
    return this.#changeOne(actor, key, action, name, options, (module) => {
      requireNode(module, name);
      return { routes: [{ op: "set", ...key, ...node, ...values }] };
    });
  }

  /** Removes a node. */
  removeNode(
    actor: Actor,
    key: ModuleKey,
    name: string,
    options: WriteOptions,
  ): Promise<ChangeResult> {
    const node = parseNode(name);
    return this.#changeOne(actor, key, "node.remove", name, options, (module) => {
      requireNode(module, name);
      return { routes: [{ op: "remove", ...key, ...node }] };
    });
  }

  /** Applies all edits of a client or none. @throws {ControlError} changed-meanwhile, invalid. */
  apply(
    actor: Actor,
    edits: readonly ClientEdit[],
    options: ChangeOptions = {},
  ): Promise<ChangeResult> {
    return this.change(actor, storeEdits(edits), options);
  }

  /** The same of edits as the database takes them. */
  change(
    actor: Actor,
    { routes, modules = [] }: ChangeEdits,
    { why, meant, expect }: ChangeOptions = {},
  ): Promise<ChangeResult> {
    for (const { policy } of modules) requirePolicy(policy);
    const wanted = { routes, modules };
    return this.#change(actor, {
      meant,
      modules: touchedModules(wanted),
      action: actor.via === "command" ? "route.command" : "route.change",
      why,
      decide(stored): ChangeEdits {
        requireFingerprint(stored, expect);
        return wanted;
      },
    });
  }

  /** What edits would do. Of large ones only one is looked at at a time: each takes a second or two. */
  preview(edits: readonly ClientEdit[]): Promise<ChangePreview> {
    const look = async (): Promise<ChangePreview> => {
      const wanted = storeEdits(edits);
      const stored = await this.#read(touchedModules(wanted));
      return await this.#preview(stored, withPresets(stored, wanted), []);
    };
    if (edits.length < LARGE_EDITS) return look();
    const looking = this.#largeLook.then(look);
    this.#largeLook = looking.catch(() => {});
    return looking;
  }

  /** Makes the routes say what a file says. */
  async importFile(actor: Actor, input: ImportWish): Promise<ChangeResult> {
    const { modules, decide } = await this.#importPlan(input);
    return await this.#change(actor, {
      modules,
      action: "route.import",
      why: input.why,
      via: "import",
      decide(stored): ChangeEdits {
        requireFingerprint(stored, input.expect);
        return decide(stored);
      },
    });
  }

  /** What importing a file would do. */
  async previewImport(input: ImportWish): Promise<ChangePreview> {
    const { modules, decide, nodeCount } = await this.#importPlan(input);
    const stored = await this.#read(modules);
    const edits = withPresets(stored, decide(stored));
    const preview = await this.#preview(stored, edits, []);
    const touched = edits.routes.filter(({ op }) => op !== "remove").length;
    return { ...preview, unchangedCount: nodeCount - touched };
  }

  /** All routes, or those of one module number or module, as a file. */
  async exportFile(query: ModuleFilter & { format?: RouteFormat | undefined }): Promise<string> {
    const { modId, cmdId, format = "csv" } = query;
    const rows = (await this.#allRoutes()).filter((row) =>
      (modId === undefined || row.modId === modId) && (cmdId === undefined || row.cmdId === cmdId)
    );
    rows.sort((a, b) => a.modId - b.modId || a.cmdId - b.cmdId);
    return formatRouteFile(rows, format);
  }

  /** The history, newest first. */
  async changes(
    { before = 0, limit = 100, modId, cmdId, who }:
      & Partial<Record<keyof BackFilter, number | undefined>>
      & ModuleFilter
      & { who?: string | undefined },
  ): Promise<ChangeSummary[]> {
    if (!await this.#keepsHistory()) return [];
    const filter = { before, limit, modId, cmdId, who };
    return (await this.#options.store.console.changes(filter)).map(changeView);
  }

  /** One change. */
  async detail(id: number): Promise<ChangeDetail> {
    const { differences, ...row } = await this.#content(id);
    return {
      ...changeView(row),
      nodes: differences.nodes.map(differenceView),
      moduleTexts: differences.modules,
    };
  }

  /** What undoing a change would do. */
  async previewRollback(id: number): Promise<ChangePreview> {
    const { differences } = await this.#content(id);
    const stored = await this.#read(modulesIn(differences));
    const since = changedSince(differences, stored);
    const warnings = since.slice(0, 20).map((name) => `Node ${name} was changed again since`);
    return await this.#preview(stored, undoEdits(differences, stored), warnings);
  }

  /** Puts everything a change touched back as it was before it. */
  async rollback(
    actor: Actor,
    id: number,
    options: Omit<ChangeOptions, "meant">,
  ): Promise<ChangeResult> {
    const { differences } = await this.#content(id);
    return await this.#change(actor, {
      modules: modulesIn(differences),
      action: "route.rollback",
      target: `change ${id}`,
      why: options.why,
      via: "rollback",
      undoes: id,
      decide(stored): ChangeEdits {
        requireFingerprint(stored, options.expect);
        return undoEdits(differences, stored);
      },
    });
  }

  #changeOne(
    actor: Actor,
    key: ModuleKey,
    action: string,
    node: string,
    options: WriteOptions,
    decide: (module: StoredModule) => ChangeEdits,
  ): Promise<ChangeResult> {
    return this.#change(actor, {
      modules: [key],
      action,
      target: `${moduleText(key)}${node === "" ? "" : ` ${node}`}`,
      why: options.why,
      decide([module]): ChangeEdits {
        requireRevision(module, options.ifMatch);
        return decide(module);
      },
    });
  }

  async #change(actor: Actor, wish: Wish): Promise<ChangeResult> {
    const { id, version, changed, stored, left, told } = await tellingDns(
      this.#options,
      () => this.#commit(actor, wish),
    );
    if (changed.length > 0) this.#options.onChanged?.();
    return {
      changeId: id ?? null,
      version,
      changed: changed.map(plainKey),
      told,
      emptied: [...left.emptied],
      returned: left.returned.map((one) => ({ ...one, zones: [...one.zones] })),
      revision: stored.length === 1 ? revisionOf(stored[0]) : null,
    };
  }

  /** Writes a change with its record in the history, or without on a schema that keeps none. */
  async #commit(
    actor: Actor,
    { modules, decide, via, why = "", undoes = 0, meant = true, action, target }: Wish,
  ): Promise<
    & Pick<ChangeOutcome, "id" | "version" | "changed" | "stored">
    & { left: LeftNodes }
  > {
    const { store } = this.#options;
    if (await this.#keepsHistory()) {
      const outcome = await store.console.change({
        modules,
        decide(stored): ChangeEdits {
          const edits = decide(stored);
          judgeZones(stored, edits);
          // What is undone gets back what it had.
          return undoes > 0 ? edits : withPresets(stored, edits);
        },
        via: via ?? viaOf(actor),
        why,
        undoes,
        judgeNames,
        meant, // Pages and clients show in a preview what it empties.
        audit: auditOf(actor, this.#wallMs(), action, target),
      });
      return { ...outcome, left: leftNodes(outcome.before, outcome.stored) };
    }
    const stored = await this.#read(modules);
    const { routes, modules: texts = [] } = decide(stored);
    judgeZones(stored, { routes, modules: texts });
    const renamed = renamedModules(stored, texts);
    if (renamed.length > 0) judgeNames(renamed, await store.moduleRows());
    const { version, changed } = routes.length > 0
      ? await store.editRoutes(routes, { meant })
      : await store.setModules(texts);
    const left = leftNodes(stored, await this.#read(modules));
    return { id: undefined, version, changed, stored: [], left };
  }

  /** Once a schema keeps a history it always will. */
  async #keepsHistory(): Promise<boolean> {
    this.#hasHistory ||= await this.#options.store.schemaVersion() >= HISTORY_SCHEMA_VERSION;
    return this.#hasHistory;
  }

  async #preview(
    stored: readonly StoredModule[],
    edits: ChangeEdits,
    warnings: readonly string[],
  ): Promise<ChangePreview> {
    const renamed = renamedModules(stored, edits.modules ?? []);
    if (renamed.length > 0) judgeNames(renamed, await this.#options.store.moduleRows());
    judgeZones(stored, edits);
    const { after, unchangedCount } = editedModules(stored, edits);
    const differences = differencesOf(stored, after);
    const touched = new Set(differences.nodes.map(moduleText));
    // A policy may shift calls too: that of a zone taken out, say.
    const repoliced = new Set(differences.modules.map(moduleText));
    const traffic: TrafficShift[] = [];
    for (const [index, before] of stored.entries()) {
      const id = moduleText(before);
      if (!touched.has(id) && !repoliced.has(id)) continue;
      if (traffic.length >= SHIFTS_SHOWN) break;
      const callers = traffic.length < CALLERS_LOOKED_UP_MAX
        ? await this.#callers(before)
        : { callers: [], count: 0 };
      const calls = this.#options.callsPerSecond?.(before) ?? 0;
      const shift = trafficShift(before, after[index], calls, callers);
      if (touched.has(id) || shift.nodes.length > 0) traffic.push(shift);
    }
    const left = leftSentences(leftNodes(stored, after), "will", moduleLabel)
      .slice(0, SHIFTS_SHOWN);
    return {
      fingerprint: fingerprintOf(stored),
      nodes: differences.nodes.map(differenceView),
      modules: differences.modules,
      unchangedCount,
      traffic,
      warnings: [...left, ...warnings],
    };
  }

  async #callers({ modId, cmdId }: ModuleKey): Promise<{ callers: string[]; count: number }> {
    const { store, clock } = this.#options;
    const sinceTs = Math.floor(clock.wallMs() / 1000 - CALLER_RECENT_S);
    const query = { modId, cmdId, sinceTs, limit: CALLERS_SHOWN };
    const { callers, count } = await store.recentCallers(query);
    return { callers: callers.map(({ caller }) => formatIpv4(caller)), count };
  }

  async #read(modules: readonly ModuleKey[]): Promise<StoredModule[]> {
    const { store } = this.#options;
    const [rows, texts] = await Promise.all([
      store.readModules(modules),
      store.moduleRows(modules),
    ]);
    return groupModules(modules, rows, texts);
  }

  async #allRoutes(): Promise<RouteRow[]> {
    const rows: RouteRow[] = [];
    await this.#options.store.readRoutes((page) => void rows.push(...page));
    return rowsThatCount(rows);
  }

  #wallMs(): number {
    return Math.trunc(this.#options.clock.wallMs());
  }

  async #content(id: number): Promise<ChangeContent> {
    const content = await this.#options.store.console.changeContent(id);
    if (content === undefined) throw new ControlError("not-found", `There is no change ${id}`);
    return content;
  }

  /** Which modules a file touches, and the edits for what they hold then. */
  async #importPlan(input: ImportWish): Promise<{
    modules: ModuleKey[];
    nodeCount: number;
    decide(stored: readonly StoredModule[]): ChangeEdits;
  }> {
    const { nodes, problems } = parseRouteFile(input.text, input.format, "file");
    if (problems.length > 0) {
      // The faults themselves follow, one by one: said once.
      throw new ControlError("invalid", `The file has ${quantity(problems.length, "fault")}`, {
        errors: problems.map((message) => ({ path: "text", message })),
      });
    }
    const prune = input.prune === true;
    const edits = editsOfPlan(planRoutes(await this.#allRoutes(), nodes), { prune });
    const modules = touchedModules({ routes: edits });
    const isTouched = new Set(modules.map(moduleText));
    const wanted = nodes.filter((node) => isTouched.has(moduleText(node)));
    return {
      modules,
      nodeCount: nodes.length,
      decide: (stored) => ({
        routes: editsOfPlan(planRoutes(stored.flatMap((module) => module.nodes), wanted), {
          prune,
        }),
      }),
    };
  }
}

function plainKey({ modId, cmdId }: ModuleKey): ModuleKey {
  return { modId, cmdId };
}

function requireNode(module: StoredModule, name: string): void {
  const found = module.nodes.some((node) => nodeText(node).endsWith(` ${name}`));
  if (found) return;
  throw new ControlError(
    "not-found",
    `Module ${moduleText(module)} has no node ${name}`,
  );
}

function modulesIn({ nodes, modules }: ChangeDifferences): ModuleKey[] {
  return touchedModules({
    routes: nodes.map((node) => ({ op: "remove", ...node })),
    modules: modules.map(({ modId, cmdId }) => ({ modId, cmdId })),
  });
}
