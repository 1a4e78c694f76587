// Core. The modules that a new embedded database starts with, whose nodes `lars up` runs itself.

import type { ModuleKey } from "../model/module.ts";
import { formatIpv4, parseIpv4 } from "../reactor/address.ts";
import type { ChangeEdits } from "../sql/console/console_store.ts";

/** A node that `lars up` runs. */
export interface SampleNode extends ModuleKey {
  /** Port on 127.0.0.1. */
  readonly port: number;
  /** How much later than at once it answers while it is well, 0 to 60000 ms. */
  readonly delayMs: number;
}

/** Where sample nodes listen; nothing beyond this machine is ever meant. */
export const SAMPLE_HOST = "127.0.0.1";

/** A sample module. */
export interface SampleModule extends ModuleKey {
  readonly name: string;
  readonly nodes: readonly SampleNode[];
}

function sampleModule(
  modId: number,
  cmdId: number,
  name: string,
  ports: readonly number[],
): SampleModule {
  const nodes = ports.map((port) => ({ modId, cmdId, port, delayMs: port === SLOW_PORT ? 10 : 0 }));
  return { modId, cmdId, name, nodes };
}

/** The node that is slower than the others, by less than what keeps a node out. */
const SLOW_PORT = 9004;

/** The ports are those wished for; one that is taken is replaced by a free one. */
export const SAMPLE_MODULES: readonly SampleModule[] = [
  sampleModule(1, 1, "hello", [9001]),
  sampleModule(1, 2, "shop", [9002, 9003, SLOW_PORT]),
  sampleModule(2, 1, "stock", [9005, 9006, 9007]),
];

/** `127.0.0.1:9001` */
export function sampleAddress({ port }: { readonly port: number }): string {
  return `${SAMPLE_HOST}:${port}`;
}

/** The edits that put sample modules with these nodes into an empty route table. */
export function sampleEdits(nodes: readonly SampleNode[]): ChangeEdits {
  return {
    routes: nodes.map(({ modId, cmdId, port }) => ({
      op: "add",
      modId,
      cmdId,
      ip: parseIpv4(SAMPLE_HOST),
      port,
    })),
    modules: SAMPLE_MODULES.map(({ modId, cmdId, name }) => ({ modId, cmdId, name })),
  };
}

/** Sample nodes as the file that remembers them. */
export function sampleFileText(nodes: readonly SampleNode[]): string {
  const rows = nodes.map(({ modId, cmdId, port, delayMs }) => ({
    modid: modId,
    cmdid: cmdId,
    node: sampleAddress({ port }),
    delay_ms: delayMs,
  }));
  return `${JSON.stringify({ samples: rows }, undefined, 2)}\n`;
}

/**
 * Reads what {@linkcode sampleFileText} wrote.
 *
 * @throws {RangeError} for a file that says anything else.
 */
export function parseSampleFile(text: string): SampleNode[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RangeError("A file of sample nodes must be JSON", { cause: error });
  }
  const rows = value !== null && typeof value === "object" && "samples" in value
    ? value.samples
    : undefined;
  if (!Array.isArray(rows)) throw new RangeError("A file of sample nodes must have `samples`");
  return rows.map((row) => {
    const { modid, cmdid, node, delay_ms: delayMs } = Object(row) as Record<string, unknown>;
    const port = Number(/^127\.0\.0\.1:(\d{1,5})$/.exec(String(node))?.[1]);
    if (!isId(modid) || !isId(cmdid) || !(port >= 1 && port <= 65535) || !isDelay(delayMs)) {
      throw new RangeError(
        "A sample node must have modid, cmdid, node (127.0.0.1:PORT) and delay_ms (0 to 60000): " +
          `current value is ${JSON.stringify(row)}`,
      );
    }
    return { modId: modid, cmdId: cmdid, port, delayMs };
  });
}

function isId(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 4_294_967_295;
}

function isDelay(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 60_000;
}

/** True for the row of the route table that stands for a sample node. */
export function isRowOf(node: SampleNode, row: ModuleKey & { ip: number; port: number }): boolean {
  return row.modId === node.modId && row.cmdId === node.cmdId && row.port === node.port &&
    formatIpv4(row.ip) === SAMPLE_HOST;
}
