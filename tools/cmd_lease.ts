// Shell. `lars lease` and `lars node`: who registered itself, and who took a node out.

import type { Command } from "commander";
import type { NotifyOptions } from "../control/changes/dns_notifier.ts";
import { readTexts } from "../control/changes/change_service.ts";
import { changeLeases } from "../control/changes/lease_changes.ts";
import { auditOf } from "../control/access/actor.ts";
import { softwareName } from "../daemon/daemon.ts";
import { type LeaseResult, planLeases } from "../discovery/lease_plan.ts";
import { stepsSummary } from "../discovery/lease_events.ts";
import { hasHand, type LeaseRow } from "../model/lease.ts";
import { type ModuleId, moduleId, type ModuleKey, moduleText } from "../model/module.ts";
import { moduleLabel, type NamedModule } from "../model/module_name.ts";
import {
  addressText,
  type NodeAddress,
  nodeId,
  type NodeKey,
  nodeText,
  type RouteRow,
} from "../model/node.ts";
import { quantity } from "../model/quantity.ts";
import type { Clock } from "../reactor/time/clock.ts";
import type { Store } from "../sql/store.ts";
import { parseNodeAddress } from "./cli_arguments.ts";
import { CommandError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import {
  type ModuleFilterWord,
  namesIn,
  withModuleFilter,
  withModuleWords,
} from "./module_argument.ts";
import { lookUpModule } from "./module_lookup.ts";
import { whoRuns } from "./system_access.ts";
import { addStoreOptions, type StoreFlags, withStore } from "./store_access.ts";
import { ageText } from "./explain_text.ts";
import { printJson, printLine, printTable } from "./terminal.ts";

/** Leases and nodes that are listed. */
const LISTED_MAX = 100_000;

interface ListFlags extends StoreFlags {
  readonly json?: boolean;
}

/** Adds `lease` and its subcommands. */
export function addTo(parent: Command): void {
  const lease = parent.command("lease")
    .description("Nodes that registered themselves: list them, end a registration, let one go.");
  const list = lease.command("ls")
    .description("List registrations, and what an operator wants of nodes that are gone.")
    .option("--json", "print one JSON array");
  withModuleFilter(
    list,
    async (filter, flags: ListFlags) => listLeases(await filterOf(filter, flags), flags),
  );
  addStoreOptions(list);
  addExamples(list, [["lars lease ls 7 1", "of one module"], [
    "lars lease ls --json",
    "for a program",
  ]]);
  addNodeWord(lease, "end", "End a registration; a program that lives registers again.");
  addNodeWord(lease, "free", "Take back state, weight and zone that an operator gave a node.");
  const confirm = withModuleWords(
    lease.command("confirm")
      .description("Say that nodes of a module which are held in its route are really lost."),
    [],
    async (word, _values, flags: ListFlags) =>
      confirmLosses(await lookUpModule(word, flags), flags),
  );
  addStoreOptions(confirm);
  addExamples(confirm, [["lars lease confirm 7 1", "nodes that are held back go"]]);
  addExamples(lease, [
    ["lars lease ls", "who is registered"],
    ["lars lease free 7 1 10.0.0.7:8080", "the node's own weight and state again"],
    ["lars lease confirm 7 1", "nodes that are held back are lost"],
  ]);
}

/** Adds `node` and its subcommand. */
export function addNodeTo(parent: Command): void {
  const node = parent.command("node").description("Nodes of all modules.");
  const list = node.command("ls")
    .description("List nodes with where they come from, and who took out those that get no calls.")
    .option("--json", "print one JSON array");
  withModuleFilter(
    list,
    async (filter, flags: ListFlags) => listNodes(await filterOf(filter, flags), flags),
  );
  addStoreOptions(list);
  addExamples(list, [["lars node ls 7 1", "nodes of a module"]]);
  addExamples(node, [["lars node ls", "nodes of all modules"]]);
}

function addNodeWord(parent: Command, word: "end" | "free", about: string): void {
  const command = withModuleWords(
    parent.command(word).description(about),
    [{ name: "IP:PORT", about: "the node", parse: parseNodeAddress }],
    async (module, [node], flags: ListFlags) =>
      changeLease(word, await lookUpModule(module, flags), node, flags),
  );
  addStoreOptions(command);
  addExamples(command, [[`lars lease ${word} 7 1 10.0.0.7:8080`, "of this node"]]);
}

async function listLeases(filter: Partial<ModuleKey>, flags: ListFlags): Promise<void> {
  await withStore(flags, async (store, clock) => {
    const rows = (await store.leases.list(filter, LISTED_MAX)).sort(byModule);
    const held = await store.leases.guard();
    const names = namesIn(await readTexts(store));
    if (flags.json === true) {
      return printJson(rows.map((row) => withName(leaseJson(row), row, names)));
    }
    if (rows.length === 0) printLine("no node has registered itself");
    else await printTable(LEASE_HEAD, rows.map((row) => leaseCells(row, names, clock.wallMs())));
    for (const { heldCount, liveCount, isConfirmed, ...module } of held) {
      printLine(
        `held back in ${labelOf(module, names)}: ${heldCount} of ${quantity(liveCount, "node")} ` +
          `seem to be lost${
            isConfirmed ? ", confirmed" : `; lars lease confirm ${module.modId} ` +
              `${module.cmdId} lets them go`
          }`,
      );
    }
  });
}

type Names = ReadonlyMap<ModuleId, string>;

function nameOf({ modId, cmdId }: ModuleKey, names: Names): string {
  return names.get(moduleId(modId, cmdId)) ?? "";
}

function labelOf({ modId, cmdId }: ModuleKey, names: Names): string {
  return moduleLabel({ modId, cmdId, name: nameOf({ modId, cmdId }, names) });
}

/** A row as JSON, with the name of its module where that has one. */
function withName(
  json: Record<string, unknown>,
  key: ModuleKey,
  names: Names,
): Record<string, unknown> {
  const name = nameOf(key, names);
  return name === "" ? json : { ...json, name };
}

function byModule(a: NodeKey, b: NodeKey): number {
  return a.modId - b.modId || a.cmdId - b.cmdId || a.ip - b.ip || a.port - b.port;
}

async function filterOf(
  filter: ModuleFilterWord,
  flags: ListFlags,
): Promise<Partial<ModuleKey>> {
  if (filter === undefined || "modId" in filter) return filter ?? {};
  const { modId, cmdId } = await lookUpModule(filter, flags);
  return { modId, cmdId };
}

const LEASE_HEAD = [
  ...["MODID", "CMDID", "NODE", "PHASE", "WEIGHT", "ZONE", "TTL", "AGE", "BY", "MODULE"],
  ...["OPERATOR", "NOTE"],
];

function leaseCells(row: LeaseRow, names: Names, wallMs: number): (string | number)[] {
  const ageMs = Math.max(0, wallMs - row.sinceS * 1000);
  return [
    ...[row.modId, row.cmdId, addressText(row), row.phase, row.weight, row.zone],
    ...[row.ttlMs === 0 ? "none" : `${row.ttlMs / 1000} s`, ageText(ageMs)],
    ...[`${row.source} ${row.owner}`, nameOf(row, names)],
    ...[hasHand(row) ? handText(row) : "", row.note],
  ];
}

function handText({ hand }: LeaseRow): string {
  return [
    hand.state ?? [],
    hand.weight === undefined ? [] : `weight ${hand.weight}`,
    hand.zone === undefined ? [] : `zone ${hand.zone}`,
  ].flat().join(", ");
}

function leaseJson(row: LeaseRow): Record<string, unknown> {
  const { modId, cmdId, phase, weight, zone, source, owner, ttlMs, sinceS, hand } = row;
  return {
    ...{ modid: modId, cmdid: cmdId, node: addressText(row), phase, weight, zone, source, owner },
    ...{ ttl_ms: ttlMs, since: sinceS, operator: hand },
    note: row.note === "" ? null : JSON.parse(row.note),
  };
}

async function listNodes(filter: Partial<ModuleKey>, flags: ListFlags): Promise<void> {
  const { modId, cmdId } = filter;
  await withStore(flags, async (store) => {
    const leases = await store.leases.list(filter, LISTED_MAX);
    const byNode = new Map(leases.map((row) => [nodeId(row), row]));
    const routes: RouteRow[] = [];
    await store.readRoutes((page) => {
      for (const row of page) {
        if (modId !== undefined && row.modId !== modId) continue;
        if (cmdId === undefined || row.cmdId === cmdId) routes.push(row);
      }
    });
    const names = namesIn(await readTexts(store));
    const nodes = routes.sort(byModule).map((route) => {
      const lease = byNode.get(nodeId(route));
      byNode.delete(nodeId(route));
      return { route, lease };
    });
    if (flags.json === true) {
      return printJson(nodes.map(({ route, lease }) =>
        withName(
          {
            ...{ modid: route.modId, cmdid: route.cmdId, node: addressText(route) },
            ...{ state: route.state, weight: route.weight, zone: route.zone },
            ...{ source: lease?.source ?? "operator", out_by: outBy(route, lease) || null },
          },
          route,
          names,
        )
      ));
    }
    const waiting = [...byNode.values()].filter(({ phase }) => phase === "waiting").sort(byModule);
    if (nodes.length + waiting.length === 0) return printLine("no nodes");
    await printTable(NODE_HEAD, [
      ...nodes.map(({ route, lease }) => [
        ...[route.modId, route.cmdId, addressText(route), route.state, route.weight, route.zone],
        ...[lease?.source ?? "operator", nameOf(route, names), outBy(route, lease)],
      ]),
      ...waiting.map((row) => [
        ...[row.modId, row.cmdId, addressText(row), "waiting", row.weight, row.zone, row.source],
        ...[nameOf(row, names), "it has not said that it is ready"],
      ]),
    ]);
  });
}

const NODE_HEAD = [
  ...["MODID", "CMDID", "NODE", "STATE", "WEIGHT", "ZONE", "FROM", "MODULE", "OUT BY"],
];

/** Who took a node out; empty: nobody. */
function outBy({ state, weight }: RouteRow, lease: LeaseRow | undefined): string {
  if (state === "on" && weight > 0) return "";
  if (lease === undefined || lease.hand.state !== undefined || lease.hand.weight === 0) {
    return "operator";
  }
  if (lease.phase === "doubt") return "its connection to discovery was lost";
  if (lease.phase === "drain") return "the node itself";
  return weight === 0 ? "the node itself" : "operator";
}

async function changeLease(
  op: "end" | "free",
  module: NamedModule,
  { ip, port }: NodeAddress,
  flags: ListFlags,
): Promise<void> {
  await withStore(flags, async (store, clock) => {
    const node = { modId: module.modId, cmdId: module.cmdId, ip, port };
    const label = `${moduleLabel(module)} ${addressText(node)}`;
    const results: LeaseResult[] = [];
    await changeLeases(notifyOf(store, clock), whoRuns(), [node], (stored) => {
      const plan = planLeases({
        leases: stored.leases,
        routes: stored.modules.flatMap(({ nodes }) => nodes),
        named: stored.registered,
        nowS: stored.nowS,
      }, [{ op, node }]);
      const [{ result }] = plan.outcomes;
      results.push(result);
      const what = op === "free" ? `lease.free: ${nodeText(node)}` : stepsSummary(plan.steps);
      return { leases: plan.leases, routes: plan.routes, summary: result === "done" ? what : "" };
    });
    if (results.at(-1) !== "done") throw new CommandError(`${label} is not registered`);
    printLine(op === "end" ? `${label} is out` : `${label} is as it wants to be`);
  });
}

async function confirmLosses(module: NamedModule, flags: ListFlags): Promise<void> {
  await withStore(flags, async (store, clock) => {
    const actor = { name: whoRuns(), address: "" };
    const atMs = Math.trunc(clock.wallMs());
    const audit = auditOf(actor, atMs, "lease.confirm", moduleText(module));
    if (!await store.leases.confirmGuard(module, audit)) {
      throw new CommandError(`No node of ${moduleLabel(module)} is held back`);
    }
    printLine(`nodes of ${moduleLabel(module)} that seem to be lost go out within a second`);
  });
}

function notifyOf(store: Store, clock: Clock): NotifyOptions {
  return { store, clock, software: softwareName(), secrets: undefined, addresses: [] };
}
