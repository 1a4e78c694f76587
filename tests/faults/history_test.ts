// Every edit that a console acknowledged is in its history, however often the console is killed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIpv4 } from "../../reactor/address.ts";
import type { ResponseOf } from "../../web/contract.ts";
import { Client } from "../support/console_bench.ts";
import { addConsoleToken } from "../support/console_token.ts";
import { faultSeconds, figure } from "../support/figure.ts";
import { sqliteTestStore } from "../support/fleet.ts";
import { freePort } from "../support/free_port.ts";
import { type TestProcess, withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";

/** The promise is of 10,000; an edit with its notice takes some ms, most of them on the disk. */
const EDITS = Math.round(40 * faultSeconds());
const WRITERS = 3;
const KILLS = 3;

type Detail = ResponseOf<"getChange">;

/** Replays the history from an empty table; each change must begin where the ones before ended. */
function replayed(details: readonly Detail[]): Set<string> {
  const nodes = new Map<string, string>();
  for (const { nodes: differences } of details) {
    for (const { modId, cmdId, ip, port, before, after } of differences) {
      const key = `${modId}/${cmdId} ${ip}:${port}`;
      assert.equal(nodes.get(key) ?? "null", JSON.stringify(before), `before, of ${key}`);
      if (after === null) nodes.delete(key);
      else nodes.set(key, JSON.stringify(after));
    }
  }
  return new Set(nodes.keys());
}

test("every edit is in the history, with who, before and after", {
  timeout: 120_000 + 4000 * faultSeconds(),
}, () =>
  withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    const port = await freePort();
    const start = (): Promise<TestProcess> =>
      processes.start("web", [`--web-port=${port}`, `--store=${url}`, "--metrics-port=0"]);
    let web = await start();
    await store.console.addUser({
      ...{ name: "editor", role: "admin", passwordHash: "none", mustChange: false },
      ...{ disabled: false, createdAtMs: 1, loginAtMs: 0 },
    }, {
      ...{ atMs: 1, who: "test", action: "user.add", target: "editor", outcome: "done" },
      ...{ detail: "", address: "" },
    });
    const token = await addConsoleToken(store, "editor", "admin");
    const client = new Client(`http://127.0.0.1:${port}`, { Authorization: `Bearer ${token}` });
    const acknowledged = new Set<string>();
    let [tried, broken] = [0, 0];
    const edit = async (writer: number, index: number): Promise<void> => {
      const why = `edit ${writer} ${index}`;
      tried++;
      const module = `/modules/${writer}/1`;
      try {
        if (index % 4 === 3) {
          const { nodes, revision } = await client.get<ResponseOf<"getModule">>(`GET ${module}`);
          const [{ ip, port: nodePort }] = nodes;
          const path = `${module}/nodes/${ip}:${nodePort}?why=${encodeURIComponent(why)}`;
          await client.get(`DELETE ${path}`, { ifMatch: revision });
        } else {
          const body = { ip: formatIpv4(0x0a000000 + index), port: 80, why };
          await client.get(`POST ${module}/nodes`, { body });
        }
        acknowledged.add(why);
      } catch (error) {
        // The console was killed: whether it made the edit, the history says.
        if (!(error instanceof TypeError)) throw error;
        broken++;
        await until(() => web.alive, { what: "the console" });
      }
    };
    const perWriter = Math.ceil(EDITS / WRITERS);
    const writing = Promise.all(Array.from({ length: WRITERS }, async (_, writer) => {
      for (let index = 0; index < perWriter; index++) await edit(writer + 1, index);
    }));
    for (let kill = 1; kill <= KILLS; kill++) {
      const goal = kill * perWriter * WRITERS / (KILLS + 1);
      await until(() => tried >= goal, { timeoutMs: 600_000, what: "edits" });
      await web.kill9();
      web = await start();
    }
    await writing;
    const details: Detail[] = [];
    for (let before = 0;;) {
      const path = `/changes?limit=100${before === 0 ? "" : `&before=${before}`}`;
      const { changes } = await client.get<ResponseOf<"listChanges">>(`GET ${path}`);
      for (const { id } of changes) details.push(await client.get<Detail>(`GET /changes/${id}`));
      if (changes.length === 0) break;
      before = changes[changes.length - 1].id;
    }
    details.reverse();
    const whys = details.map(({ why }) => why);
    const missing = [...acknowledged].filter((why) => !whys.includes(why));
    assert.deepEqual(missing, []);
    assert.equal(new Set(whys).size, whys.length, "each once");
    assert.ok(details.every(({ who }) => who === "editor"), "with who");
    const stored = new Set<string>();
    await store.readRoutes((rows) => {
      for (const { modId, cmdId, ip, port: nodePort } of rows) {
        stored.add(`${modId}/${cmdId} ${formatIpv4(ip)}:${nodePort}`);
      }
    });
    assert.deepEqual([...replayed(details)].sort(), [...stored].sort());
    figure(
      `${tried} edits, ${acknowledged.size} acknowledged, ${broken} broken by ${KILLS} kills of ` +
        `the console: ${missing.length} missing, and the history gives the table`,
    );
    await store.close();
  }));
