// Core. Files for programs that read the nodes of modules from one: nginx upstreams, and any text by
// a template.

// @ts-types="./mustache.d.ts"
import mustache from "mustache";
import { hashText } from "../../balancer/picking/murmur3.ts";
import { isPrintable } from "../../model/module.ts";
import { addressText } from "../../model/node.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { ExportModule, ExportNode } from "../fleet_view.ts";

/** Longest template, in characters. */
export const TEMPLATE_CHARS_MAX = 1_000_000;

/** An upstream of nginx and the module that fills it. */
export interface NginxUpstream {
  readonly name: string;
  readonly module: ExportModule;
}

/** What nginx is given for an upstream without nodes: it takes none that is empty. */
const NOBODY = "127.0.0.1:1";

/**
 * The upstreams as a file that nginx includes inside of `http`. Nodes that get no calls are written
 * as `down`: it takes neither a weight of 0 nor an empty upstream, and refuses the whole file. Each
 * host has another order of nodes, because nginx begins at the first again with each reload.
 *
 * @param host Name of this host, from which the order comes.
 */
export function renderNginx(upstreams: readonly NginxUpstream[], host: string): string {
  const blocks = upstreams.map(({ name, module }) => {
    const nodes = [...module.nodes].sort((a, b) =>
      hashText(host + addressText(a)) - hashText(host + addressText(b))
    );
    const lines = nodes.map((node) => {
      const suffix = node.state === "up" ? `weight=${node.weight}` : "down";
      return `    server ${addressText(node)} ${suffix};\n`;
    });
    if (lines.length === 0) lines.push(`    server ${NOBODY} down;\n`);
    return `upstream ${name} {\n${lines.join("")}}\n`;
  });
  return `# Written by lars export; changes by hand are lost.\n\n${blocks.join("\n")}`;
}

/**
 * Reads a template once, so that a wrong one is found at the start.
 *
 * @throws {RangeError} when it is too long or cannot be read.
 */
export function checkTemplate(template: string): void {
  if (template.length > TEMPLATE_CHARS_MAX) {
    throw new RangeError(
      `Template must have at most ${TEMPLATE_CHARS_MAX} characters: it has ${template.length}`,
    );
  }
  try {
    mustache.parse(template);
  } catch (error) {
    throw new RangeError(`Template cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** What a template knows of a node. */
function nodeValues(node: ExportNode, index: number, all: readonly ExportNode[]): unknown {
  return {
    ip: addressText(node).split(":")[0],
    port: node.port,
    address: addressText(node),
    weight: node.weight,
    share: Math.max(1, node.weight),
    zone: node.zone,
    state: node.state,
    up: node.state === "up",
    drain: node.state === "drain",
    out: node.state === "out",
    last: index === all.length - 1,
  };
}

/**
 * Fills a template: `{{#modules}}{{name}} {{#up}}{{address}} {{/up}}{{/modules}}`. A module has
 * `modid`, `cmdid`, `name`, `target` (its name, or `MODID.CMDID`), `nodes`, `up` (those that get
 * calls) and `kept` (those that are not out); a node `ip`, `port`, `address`, `weight`, `share`
 * (`weight`, at least 1), `zone`, `state`, `up`, `drain`, `out`; either `last`, for commas between.
 */
export function renderTemplate(template: string, modules: readonly ExportModule[]): string {
  const values = modules.map((module, index) => {
    const up = module.nodes.filter(({ state }) => state === "up");
    const kept = module.nodes.filter(({ state }) => state !== "out");
    const name = isPrintable(module.name) ? module.name : "";
    return {
      modid: module.modId,
      cmdid: module.cmdId,
      name,
      // Nothing is escaped, so what could end a text is not let through.
      target: /^[\w.:-]+$/.test(name) ? name : `${module.modId}.${module.cmdId}`,
      nodes: module.nodes.map(nodeValues),
      up: up.map(nodeValues),
      kept: kept.map(nodeValues),
      last: index === modules.length - 1,
    };
  });
  return mustache.render(template, { modules: values }, undefined, { escape: String });
}

/** Smallest change of a weight, as a share of it, that is worth a reload by itself. */
const WEIGHT_STEP = 0.1;

/** How soon a change has to be in force. */
export type Urgency = "none" | "later" | "soon";

/**
 * How much differs for callers: `soon` when a node gets no calls any more that got some, `none` when
 * only weights differ, by little.
 */
export function urgencyOf(
  before: readonly ExportModule[] | undefined,
  after: readonly ExportModule[],
): Urgency {
  if (before === undefined || before.length !== after.length) return "soon";
  let urgency: Urgency = "none";
  for (let i = 0; i < after.length; i++) {
    const one = moduleUrgency(before[i], after[i]);
    if (one === "soon") return one;
    if (one === "later") urgency = one;
  }
  return urgency;
}

function moduleUrgency(before: ExportModule, after: ExportModule): Urgency {
  const olds = new Map(before.nodes.map((node) => [addressText(node), node]));
  let urgency: Urgency = before.name === after.name ? "none" : "later";
  for (const node of after.nodes) {
    const old = olds.get(addressText(node));
    olds.delete(addressText(node));
    if (old?.state === "up" && node.state !== "up") return "soon";
    const isNear = old !== undefined && old.state === node.state && old.zone === node.zone &&
      Math.abs(node.weight - old.weight) <= old.weight * WEIGHT_STEP;
    if (!isNear) urgency = "later";
  }
  for (const gone of olds.values()) if (gone.state === "up") return "soon";
  return olds.size > 0 ? "later" : urgency;
}
