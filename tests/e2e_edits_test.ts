// Whatever writers do to the routes, and whatever happens to a dns meanwhile: subscribers end up with
// the table. The original lost changes in the same second, bare deletes, moves, and half of them all
// with a second dns.

import assert from "node:assert/strict";
import { test } from "node:test";
import { nextInt, type Rng, seededRng } from "../reactor/time/rng.ts";
import { openStore, type Store } from "../sql/mod.ts";
import { agentFlags, hostKey, hostKeys, nodeOf } from "./support/fleet.ts";
import { noTestDatabaseReason, runAdmin, withTestDatabase } from "./support/mariadb.ts";
import { freePort } from "./support/free_port.ts";
import { type TestProcess, withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";
import {
  Id,
  monotonicMs,
  readRoute,
  WireCaller,
  WireConnection,
  type WireHost,
} from "./support/wire_client.ts";

const NEEDS_MYSQL = { skip: noTestDatabaseReason() ?? false } as const;

const MODULES: readonly [number, number][] = [[1, 1], [1, 2], [2, 1], [3, 3]];
/** Edits of the whole history. */
const EDIT_COUNT = 240;
/** Tries of one statement that InnoDB ends to break a deadlock. */
const DEADLOCK_TRIES_MAX = 10;
/** Longest time from the last edit until everybody has it; every full read is 1 s apart here. */
const SETTLE_TIMEOUT_MS = 15_000;

/** The edits that writers make: by our store, by hand with all three statements, and by hand without. */
class Writers {
  readonly #store: Store;
  readonly #url: string;
  readonly #rng: Rng;

  constructor(store: Store, url: string, seed: number) {
    this.#store = store;
    this.#url = url;
    this.#rng = seededRng(seed);
  }

  async edit(): Promise<void> {
    const [modId, cmdId] = MODULES[nextInt(this.#rng, MODULES.length)];
    const [otherMod, otherCmd] = MODULES[nextInt(this.#rng, MODULES.length)];
    const { ip, port } = nodeOf(nextInt(this.#rng, 6));
    const row =
      `modid = ${modId} AND cmdid = ${cmdId} AND serverip = ${ip} AND serverport = ${port}`;
    const insert = `INSERT INTO RouteData(modid, cmdid, serverip, serverport)
      VALUES(${modId}, ${cmdId}, ${ip}, ${port})`;
    const stamp = "UPDATE RouteVersion SET version = UNIX_TIMESTAMP(NOW()) WHERE id = 1";
    const note = `INSERT INTO RouteChange(modid, cmdid, version)
      VALUES(${modId}, ${cmdId}, UNIX_TIMESTAMP(NOW()))`;
    const kinds: (() => Promise<unknown>)[] = [
      () => this.#store.editRoutes([{ op: "add", modId, cmdId, ip, port }]).catch(ignoreConflict),
      () =>
        this.#store.editRoutes([{ op: "remove", modId, cmdId, ip, port }]).catch(ignoreConflict),
      () => this.#run([insert, stamp, note]),
      () => this.#run([insert]),
      () => this.#run([`DELETE FROM RouteData WHERE ${row}`, stamp, note]),
      () => this.#run([`DELETE FROM RouteData WHERE ${row}`]),
      () =>
        this.#run([`UPDATE RouteData SET modid = ${otherMod}, cmdid = ${otherCmd} WHERE ${row}`]),
      () => this.#run([note]),
      // What a dns of the original does after it has read the changes.
      () => this.#run(["DELETE FROM RouteChange"]),
    ];
    await kinds[nextInt(this.#rng, kinds.length)]();
  }

  async #run(statements: readonly string[]): Promise<void> {
    for (const statement of statements) {
      // InnoDB ends one of two transactions that wait for each other and asks for another try.
      for (let tries = 1; !await this.#succeeds(statement, tries < DEADLOCK_TRIES_MAX); tries++);
    }
  }

  async #succeeds(statement: string, mayRepeat: boolean): Promise<boolean> {
    try {
      await runAdmin(this.#url, statement);
      return true;
    } catch (error) {
      const isDeadlock = error instanceof Error && error.message.startsWith("Deadlock found");
      if (isDeadlock && mayRepeat) return false;
      throw error;
    }
  }
}

function ignoreConflict(error: unknown): void {
  if (!(error instanceof Error) || error.name !== "ConflictError") throw error;
}

/** Nodes of each module as the table has them, each once. */
async function table(url: string): Promise<string> {
  const rows = await runAdmin(
    url,
    "SELECT DISTINCT modid, cmdid, serverip, serverport FROM RouteData",
  );
  return MODULES.map(([modId, cmdId]) => {
    const hosts = rows.filter((row) => row.modid === modId && row.cmdid === cmdId)
      .map((row): WireHost => ({ ip: Number(row.serverip), port: Number(row.serverport) }));
    return `${modId}/${cmdId}: ${hostKeys(hosts).join(" ")}`;
  }).join("\n");
}

/** A subscriber that remembers the last route of each module. */
class Subscriber {
  readonly #routes = new Map<string, string>();
  readonly #peer: WireConnection;
  pushes = 0;

  constructor(peer: WireConnection) {
    this.#peer = peer;
    for (const [modId, cmdId] of MODULES) peer.askRoute(modId, cmdId);
  }

  /** Its view, in the shape of {@linkcode table}. */
  view(): string {
    for (const frame of this.#peer.frames.splice(0)) {
      assert.equal(frame.msgId, Id.GetRouteResponse);
      const { modId, cmdId, hosts } = readRoute(frame.body);
      assert.equal(new Set(hosts.map(hostKey)).size, hosts.length, "no node twice");
      this.#routes.set(`${modId}/${cmdId}`, hostKeys(hosts).join(" "));
      this.pushes++;
    }
    return MODULES.map(([modId, cmdId]) =>
      `${modId}/${cmdId}: ${this.#routes.get(`${modId}/${cmdId}`) ?? "never came"}`
    ).join("\n");
  }
}

async function agentView(caller: WireCaller): Promise<string> {
  const lines: string[] = [];
  for (const [modId, cmdId] of MODULES) {
    lines.push(
      `${modId}/${cmdId}: ${hostKeys((await caller.getRoute(modId, cmdId)).hosts).join(" ")}`,
    );
  }
  return lines.join("\n");
}

test(
  "no edit is lost, by several writers and with two dns of which one is killed",
  NEEDS_MYSQL,
  async (t) => {
    await withTestDatabase(t, (url) =>
      withProcesses(async (processes) => {
        const store = await openStore(url);
        await store.migrate();
        const ports = [await freePort(), await freePort()];
        const startDns = (port: number): Promise<TestProcess> =>
          processes.start("dns", [
            `--reactor-port=${port}`,
            `--store=${url}`,
            "--dns-reload-interval=1",
          ]);
        const [first] = await Promise.all(ports.map(startDns));
        // Ours and foreign hands write the same modules here: what the latter remove would be held
        // back for a while, and this is about edits that get lost.
        const agent = await processes.start("agent", [
          ...agentFlags(processes, ports, [ports[0]]),
          "--agent-push-guard=0",
        ]);
        const caller = await WireCaller.open(agent.port());
        await agentView(caller);
        const subscriber = new Subscriber(await WireConnection.open(ports[1]));

        const seed = Math.trunc(monotonicMs() * 1000) >>> 0;
        console.log(`seed of the edits: ${seed}`);
        const writers = [0, 1, 2].map((index) => new Writers(store, url, seed + index));
        const startMs = monotonicMs();
        const write = async (writer: Writers): Promise<void> => {
          for (let i = 0; i < EDIT_COUNT / writers.length; i++) await writer.edit();
        };
        const disturb = async (): Promise<void> => {
          await first.kill9();
          await startDns(ports[0]);
        };
        await Promise.all([...writers.map(write), disturb()]);
        const wroteMs = monotonicMs() - startMs;

        const expected = await table(url);
        const late = new Subscriber(await WireConnection.open(ports[0]));
        const settleMs = monotonicMs();
        let views: string[] = [];
        await until(async () => {
          views = [subscriber.view(), late.view(), await agentView(caller)];
          return views.every((view) => view === expected);
        }, { timeoutMs: SETTLE_TIMEOUT_MS, what: "everybody to have the table" }).catch((error) => {
          throw new Error(`${error.message}\ntable\n${expected}\nviews\n${views.join("\n\n")}`);
        });
        console.log(
          `${EDIT_COUNT} edits in ${Math.round(wroteMs)} ms, ${subscriber.pushes} pushes, ` +
            `everybody equal ${Math.round(monotonicMs() - settleMs)} ms later`,
        );
        caller.close();
        await store.close();
      }));
  },
);
