// Shell. What a run of edits and faults has noted, in the words of the checker; and which node stands for
// which edit.

import type { EditRecord, LookRecord, SeenNode } from "./history_checker.ts";

/**
 * Who edits: over REST, by the command line, by hand in SQL with care and in one bare statement, by a program
 * with a store of its own; and nobody.
 */
export const WRITERS = ["rest", "command", "sql", "store", "bare", "nobody"] as const;
/** Number of the command line among the writers. */
export const COMMAND_WRITER = 1;
/** Number of the one whose statements raise no version: nobody can tell which state is newer. */
export const BARE_WRITER = 4;
/** Number of the one who never edits: his nodes are always there. */
export const IDLE_WRITER = 5;

/** Modules that are edited. */
export const EDITED_MODULES = 2;

/**
 * Nodes of the one who never edits. They are more than half of a route, whatever the others do: agents
 * hold a route back that lost more, when that was done by hand.
 */
const IDLE_NODES = 8;

/** First port of each writer's nodes; the number of his edit is added. */
const FIRST_PORT = 1000;
const FIRST_IP = 0x0a000001;

/** Longest wait for the answer to one edit, in milliseconds. */
const EDIT_LIMIT_MS = 30_000;

/** A node as it is on the wire. */
interface NodeAddress {
  readonly ip: number;
  readonly port: number;
}

/** The node that an edit of a writer puts into a module. */
export function editedNode(module: number, writer: number, number: number): NodeAddress {
  return { ip: FIRST_IP + (module << 16) + (writer << 8), port: FIRST_PORT + number };
}

/** What a module has at the start. */
export function firstNodes(module: number): NodeAddress[] {
  return WRITERS.flatMap((_, writer) =>
    Array.from(
      { length: writer === IDLE_WRITER ? IDLE_NODES : 1 },
      (_, number) => editedNode(module, writer, number),
    )
  );
}

/** The numbers of a writer's nodes in a route, growing. */
export function numbersOfWriter(
  module: number,
  writer: number,
  hosts: readonly NodeAddress[],
): number[] {
  const { ip } = editedNode(module, writer, 0);
  return hosts.filter((host) => host.ip === ip).map(({ port }) => port - FIRST_PORT)
    .sort((one, other) => one - other);
}

/**
 * Which edit a route shows of each writer. The command line changes one node at a time, so its edits are
 * counted in halves: 2n - 1 when node n is there beside an older one, 2n when it is alone.
 */
export function seenNodes(module: number, hosts: readonly NodeAddress[]): SeenNode[] {
  return WRITERS.flatMap((_, writer): SeenNode[] => {
    const own = numbersOfWriter(module, writer, hosts);
    const last = own.at(-1);
    if (last === undefined) return [];
    if (writer === IDLE_WRITER) return own.length === IDLE_NODES ? [{ writer, number: 0 }] : [];
    if (writer !== COMMAND_WRITER) return own.map((number) => ({ writer, number }));
    return [{ writer, number: own.length === 1 ? 2 * last : 2 * last - 1 }];
  });
}

/** Edits as they were made, and what was seen of them. */
export class HistoryNotes {
  readonly edits: EditRecord[] = [];
  readonly looks: LookRecord[] = [];

  /** @param nowMs A clock that never goes back. */
  constructor(readonly nowMs: () => number) {}

  /** Notes a route that somebody was given. */
  look(
    { observer, mayMove }: Pick<LookRecord, "observer" | "mayMove">,
    module: number,
    askedMs: number,
    hosts: readonly NodeAddress[],
  ): void {
    const nodes = seenNodes(module, hosts);
    this.looks.push({ observer, mayMove, module, askedMs, answeredMs: this.nowMs(), nodes });
  }

  /** Makes an edit and notes what came of it. @returns whether it is known to be done. */
  async edit(
    [module, writer, number]: readonly [module: number, writer: number, number: number],
    make: () => Promise<unknown>,
    onError: (error: unknown) => void,
  ): Promise<boolean> {
    const startMs = this.nowMs();
    let outcome: EditRecord["outcome"] = "done";
    const limit = Promise.withResolvers<never>();
    const timer = setTimeout(() => limit.reject(new Error("no answer in time")), EDIT_LIMIT_MS);
    try {
      await Promise.race([make(), limit.promise]);
    } catch (error) {
      outcome = "unknown";
      onError(error);
    } finally {
      clearTimeout(timer);
    }
    this.edits.push({ module, writer, number, startMs, endMs: this.nowMs(), outcome });
    return outcome === "done";
  }
}
