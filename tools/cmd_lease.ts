// Shell. `lars lease` and `lars node`: who registered itself, and who took a node out.

import type { Command } from "commander";
import type { LeaseView } from "../control/schemas.ts";
import { type ModuleId, moduleId, type ModuleKey } from "../model/module.ts";
import { moduleLabel, type NamedModule } from "../model/module_name.ts";
import {
  addressText,
  type NodeAddress,
  nodeId,
  type NodeKey,
  type RouteRow,
} from "../model/node.ts";
import { quantity } from "../model/quantity.ts";
import { parseIpv4 } from "../reactor/address.ts";
import { parseNodeAddress } from "./cli_arguments.ts";
import { CommandError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { ageText } from "./explain_text.ts";
import { allLeases, withLeases } from "./lease_access.ts";
import {
  type ModuleFilterWord,
  namesOf,
  withModuleFilter,
  withModuleWords,
} from "./module_argument.ts";
import { lookUpModule } from "./module_lookup.ts";
import { addStoreOptions } from "./store_access.ts";
import { addServerOption, type SystemFlags, withSystem } from "./system_access.ts";
import { printJson, printLine, printTable } from "./terminal.ts";

interface ListFlags extends SystemFlags {
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
  addServerOption(addStoreOptions(list));
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
  addServerOption(addStoreOptions(confirm));
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
  addServerOption(addStoreOptions(list));
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
  addServerOption(addStoreOptions(command));
  addExamples(command, [[`lars lease ${word} 7 1 10.0.0.7:8080`, "of this node"]]);
}

async function listLeases(filter: Partial<ModuleKey>, flags: ListFlags): Promise<void> {
  const { leases, held, atMs } = await withLeases(flags, (access) => allLeases(access, filter));
  const names = await withSystem(flags, namesOf);
  if (flags.json === true) {
    return printJson(leases.map((lease) => withName(leaseJson(lease), lease, names)));
  }
  if (leases.length === 0) printLine("no node has registered itself");
  else await printTable(LEASE_HEAD, leases.map((lease) => leaseCells(lease, names, atMs)));
  for (const { heldCount, liveCount, isConfirmed, ...module } of held) {
    printLine(
      `held back in ${labelOf(module, names)}: ${heldCount} of ${quantity(liveCount, "node")} ` +
        `seem to be lost${
          isConfirmed ? ", confirmed" : `; lars lease confirm ${module.modId} ` +
            `${module.cmdId} lets them go`
        }`,
    );
  }
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
  ...["OPERATOR", "CHECK", "NOTE"],
];

function addressOf({ ip, port }: LeaseView): string {
  return `${ip}:${port}`;
}

function leaseCells(lease: LeaseView, names: Names, atMs: number): (string | number)[] {
  const { modId, cmdId, phase, weight, zone, ttlMs, source, owner, sinceMs, note } = lease;
  return [
    ...[modId, cmdId, addressOf(lease), phase, weight, zone],
    ...[ttlMs === 0 ? "none" : `${ttlMs / 1000} s`, ageText(Math.max(0, atMs - sinceMs))],
    ...[`${source} ${owner}`, nameOf(lease, names), operatorText(lease), lease.check],
    note === null ? "" : JSON.stringify(note),
  ];
}

function operatorText({ operator: { state, weight, zone } }: LeaseView): string {
  return [
    state ?? [],
    weight === undefined ? [] : `weight ${weight}`,
    zone === undefined ? [] : `zone ${zone}`,
  ].flat().join(", ");
}

function leaseJson(lease: LeaseView): Record<string, unknown> {
  const { modId, cmdId, phase, weight, zone, source, owner, ttlMs, sinceMs } = lease;
  return {
    ...{ modid: modId, cmdid: cmdId, node: addressOf(lease), phase, weight, zone, source, owner },
    ...{ ttl_ms: ttlMs, since: sinceMs / 1000, check: lease.check, operator: lease.operator },
    ...{ out_by: lease.outBy, note: lease.note },
  };
}

/** Nodes of the routes that a filter names. */
async function routesOf(
  { modId, cmdId }: Partial<ModuleKey>,
  flags: ListFlags,
): Promise<RouteRow[]> {
  const module = modId === undefined || cmdId === undefined ? undefined : { modId, cmdId };
  const rows = await withSystem(flags, (system) => system.read(module));
  return rows.filter((row) => modId === undefined || row.modId === modId).sort(byModule);
}

async function listNodes(filter: Partial<ModuleKey>, flags: ListFlags): Promise<void> {
  const { leases } = await withLeases(flags, (access) => allLeases(access, filter));
  const byNode = new Map(
    leases.map((lease) => [nodeId({ ...lease, ip: parseIpv4(lease.ip) }), lease]),
  );
  const names = await withSystem(flags, namesOf);
  const nodes = (await routesOf(filter, flags)).map((route) => {
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
  const waiting = [...byNode.values()].filter(({ phase }) => phase in WAITING);
  if (nodes.length + waiting.length === 0) return printLine("no nodes");
  await printTable(NODE_HEAD, [
    ...nodes.map(({ route, lease }) => [
      ...[route.modId, route.cmdId, addressText(route), route.state, route.weight, route.zone],
      ...[lease?.source ?? "operator", nameOf(route, names), outBy(route, lease)],
    ]),
    ...waiting.map((lease) => [
      ...[lease.modId, lease.cmdId, addressOf(lease), lease.phase, lease.weight, lease.zone],
      ...[lease.source, nameOf(lease, names), WAITING[lease.phase as keyof typeof WAITING]],
    ]),
  ]);
}

/** Why a node that is registered is in no route yet. */
const WAITING = {
  waiting: "it has not said that it is ready",
  checking: "it has not answered the check of discovery",
} as const;

const NODE_HEAD = [
  ...["MODID", "CMDID", "NODE", "STATE", "WEIGHT", "ZONE", "FROM", "MODULE", "OUT BY"],
];

const OUT_BY = {
  operator: "operator",
  lease: "its connection to discovery was lost",
  node: "the node itself",
  check: "it does not answer the check of discovery",
  calls: "",
} as const;

/** Who took a node out; empty: nobody. */
function outBy({ state, weight }: RouteRow, lease: LeaseView | undefined): string {
  if (state === "on" && weight > 0) return "";
  const by = lease?.outBy ?? null;
  return by === null ? "operator" : OUT_BY[by];
}

async function changeLease(
  op: "end" | "free",
  module: NamedModule,
  { ip, port }: NodeAddress,
  flags: ListFlags,
): Promise<void> {
  const node = { modId: module.modId, cmdId: module.cmdId, ip, port };
  const label = `${moduleLabel(module)} ${addressText(node)}`;
  const isDone = await withLeases(flags, (access) => access[op](node));
  if (!isDone) throw new CommandError(`${label} is not registered`);
  printLine(op === "end" ? `${label} is out` : `${label} is as it wants to be`);
}

async function confirmLosses(module: NamedModule, flags: ListFlags): Promise<void> {
  const { modId, cmdId } = module;
  const isDone = await withLeases(flags, (access) => access.confirm({ modId, cmdId }));
  if (!isDone) throw new CommandError(`No node of ${moduleLabel(module)} is held back`);
  printLine(`nodes of ${moduleLabel(module)} that seem to be lost go out within a second`);
}
