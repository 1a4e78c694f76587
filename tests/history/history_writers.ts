// Shell. Writers of every kind, each of whom puts one node in the place of his last one, again and again.

import { formatIpv4 } from "../../reactor/address.ts";
import { openStore, type Store } from "../../sql/mod.ts";
import { Client, startTestConsole } from "../support/console_bench.ts";
import { addConsoleEditor } from "../support/console_token.ts";
import type { Processes } from "../support/processes.ts";
import { until } from "../support/until.ts";
import type { WireHost } from "../support/wire_client.ts";
import {
  BARE_WRITER,
  COMMAND_WRITER,
  editedNode,
  type HistoryNotes,
  numbersOfWriter,
} from "./history_notes.ts";

/** A statement of the writers may take so long. */
const QUERY_LIMIT_MS = 3_000;
/** How often the command line tries to take the older node away. */
const REMOVALS_MAX = 10;

/** What the writers work on. */
export interface WritersOptions {
  readonly processes: Processes;
  readonly url: string;
  /** By another way than `url`: what the database has is asked here. */
  readonly store: Store;
  readonly notes: HistoryNotes;
  /** Told what came of edits that went wrong. */
  say(line: string): void;
}

/** How a writer puts one node in the place of another, in one transaction. */
type Replace = (module: number, before: WireHost, next: WireHost) => Promise<void>;

/** One writer, one edit after the other. */
export interface HistoryWriter {
  readonly name: string;
  /** Makes one edit; it is over when it is known what the database has. */
  edit(module: number): Promise<void>;
}

/** The writers, and the end of what they hold. */
export interface OpenWriters {
  readonly writers: readonly HistoryWriter[];
  close(): Promise<void>;
}

/** Opens the writers. */
export async function openWriters(options: WritersOptions): Promise<OpenWriters> {
  const { url, store } = options;
  const console = await startTestConsole(url);
  const own = await openStore(url, { queryTimeoutMs: QUERY_LIMIT_MS });
  const client = new Client(`http://${console.addresses[0]}`, {
    Authorization: `Bearer ${await addConsoleEditor(store)}`,
  });
  return {
    writers: [
      new ReplacingWriter(0, "rest", options, (...what) => replaceByRest(client, ...what)),
      new CommandWriter(options),
      new ReplacingWriter(2, "sql", options, (...what) => replaceBySql(url, ...what)),
      new ReplacingWriter(3, "store", options, (...what) => replaceByStore(own, ...what)),
      new ReplacingWriter(BARE_WRITER, "bare", options, (...what) => replaceBarely(url, ...what)),
    ],
    async close(): Promise<void> {
      await console.stop();
      await own.close();
    },
  };
}

/** Numbers of a writer's nodes that the database has, once it answers. */
async function storedNumbers(store: Store, module: number, writer: number): Promise<number[]> {
  let numbers: number[] = [];
  await until(async () => {
    try {
      const rows = await store.readModules([{ modId: module + 1, cmdId: 1 }]);
      numbers = numbersOfWriter(module, writer, rows);
      return true;
    } catch {
      return false; // It is away: asked again.
    }
  }, { timeoutMs: 120_000, intervalMs: 200, what: "the database to answer" });
  return numbers;
}

class ReplacingWriter implements HistoryWriter {
  /** Number of the node that is there, by module. */
  readonly #present = new Map<number, number>();
  /** Number of the latest edit, by module: one whose fate is not known is not made again. */
  readonly #latest = new Map<number, number>();

  constructor(
    readonly index: number,
    readonly name: string,
    readonly options: WritersOptions,
    readonly replace: Replace,
  ) {}

  async edit(module: number): Promise<void> {
    const { index, options } = this;
    const next = (this.#latest.get(module) ?? 0) + 1;
    this.#latest.set(module, next);
    const before = editedNode(module, index, this.#present.get(module) ?? 0);
    const isDone = await options.notes.edit(
      [module, index, next],
      () => this.replace(module, before, editedNode(module, index, next)),
      (error) => options.say(`edit by ${this.name}: ${error}`),
    );
    const present = isDone ? next : Math.max(...await storedNumbers(options.store, module, index));
    this.#present.set(module, present);
  }
}

/** Adds a node and then removes the one before: two edits, as the command line makes them. */
class CommandWriter implements HistoryWriter {
  readonly name = "command";
  readonly #latest = new Map<number, number>();

  constructor(readonly options: WritersOptions) {}

  async edit(module: number): Promise<void> {
    const { notes, say } = this.options;
    const onError = (error: unknown): void => say(`edit by ${this.name}: ${error}`);
    const next = (this.#latest.get(module) ?? 0) + 1;
    this.#latest.set(module, next);
    await notes.edit(
      [module, COMMAND_WRITER, 2 * next - 1],
      () => this.#run("add", module, next),
      onError,
    );
    if (!(await this.#stored(module)).includes(next)) return;
    await notes.edit(
      [module, COMMAND_WRITER, 2 * next],
      () => this.#leaveAlone(module, next),
      onError,
    );
  }

  async #leaveAlone(module: number, number: number): Promise<void> {
    for (let tries = 0; tries < REMOVALS_MAX; tries++) {
      const older = (await this.#stored(module)).find((one) => one !== number);
      if (older === undefined) return;
      await this.#run("rm", module, older).catch((error) => this.options.say(`${error}`));
    }
    throw new Error("The older node could not be removed");
  }

  #stored(module: number): Promise<number[]> {
    return storedNumbers(this.options.store, module, COMMAND_WRITER);
  }

  async #run(what: "add" | "rm", module: number, number: number): Promise<void> {
    const { processes, url } = this.options;
    const { ip, port } = editedNode(module, COMMAND_WRITER, number);
    const words = ["route", what, `${module + 1}`, "1", `${formatIpv4(ip)}:${port}`];
    const env = { LARS_STORE_URL: url };
    const { code, stderr } = await processes.run("tools/lars.ts", words, { env });
    if (code !== 0) throw new Error(`lars route ${what}: ${stderr.trim()}`);
  }
}

async function replaceByRest(
  client: Client,
  module: number,
  before: WireHost,
  next: WireHost,
): Promise<void> {
  const edit = (op: "add" | "remove", { ip, port }: WireHost): unknown => ({
    ...{ op, modId: module + 1, cmdId: 1, ip: formatIpv4(ip), port },
  });
  await client.get("POST /changes", {
    body: { edits: [edit("remove", before), edit("add", next)] },
  });
}

async function replaceByStore(
  store: Store,
  module: number,
  before: WireHost,
  next: WireHost,
): Promise<void> {
  const key = { modId: module + 1, cmdId: 1 };
  await store.editRoutes([{ op: "remove", ...key, ...before }, { op: "add", ...key, ...next }]);
}

type RunSql = (sql: string, values?: readonly unknown[]) => Promise<{ affectedRows: number }>;

/** Somebody at the database, with a connection for one edit. */
async function byHand(url: string, edit: (run: RunSql) => Promise<unknown>): Promise<void> {
  const { createConnection } = await import("mysql2/promise");
  const connection = await createConnection({ uri: url, connectTimeout: QUERY_LIMIT_MS });
  connection.on("error", () => undefined); // also told to whoever waits for a statement
  try {
    await edit(async (sql, values = []) => {
      const [result] = await connection.query({
        sql,
        values: [...values],
        timeout: QUERY_LIMIT_MS,
      });
      return result as unknown as { affectedRows: number };
    });
  } finally {
    connection.destroy();
  }
}

async function moveNode(
  run: RunSql,
  module: number,
  before: WireHost,
  next: WireHost,
): Promise<void> {
  const { affectedRows } = await run(
    "UPDATE RouteData SET serverport = ? " +
      "WHERE modid = ? AND cmdid = ? AND serverip = ? AND serverport = ?",
    [next.port, module + 1, 1, before.ip, before.port],
  );
  if (affectedRows !== 1) throw new Error("The node is not there");
}

/** One statement and nothing else: dns finds it when it compares the whole table, or reads the module. */
function replaceBarely(
  url: string,
  module: number,
  before: WireHost,
  next: WireHost,
): Promise<void> {
  return byHand(url, (run) => moveNode(run, module, before, next));
}

/** As a careful hand writes it: one transaction, with a version above the one before. */
function replaceBySql(
  url: string,
  module: number,
  before: WireHost,
  next: WireHost,
): Promise<void> {
  return byHand(url, async (run) => {
    await run("START TRANSACTION");
    await run("SELECT version FROM RouteVersion WHERE id = 1 FOR UPDATE");
    await moveNode(run, module, before, next);
    await run(
      "UPDATE RouteVersion SET version = GREATEST(version + 1, UNIX_TIMESTAMP()) WHERE id = 1",
    );
    await run(
      "INSERT INTO RouteChange(modid, cmdid, version) " +
        "SELECT ?, ?, version FROM RouteVersion WHERE id = 1",
      [module + 1, 1],
    );
    await run("COMMIT");
  });
}
