import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { LeaseRow } from "../model/lease.ts";
import type { Store } from "../sql/store.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { type ConsoleBench, withConsole } from "../tests/support/console_bench.ts";
import { addConsoleToken } from "../tests/support/console_token.ts";
import { until } from "../tests/support/until.ts";
import { type Ended, type Processes, withProcesses } from "../tests/support/processes.ts";
import type { ResponseOf } from "../web/contract.ts";
import { buildProgram } from "./program.ts";

const TIMEOUT = { timeout: 600_000 };

/** Commands that touch neither a database nor a console: they ask services, or make files. */
const WITHOUT_SERVER = [
  "up",
  "health",
  "sample",
  "relay",
  "config",
  "cert",
  "test",
  "reactor",
  "sim",
  "completion",
  "dns",
  "reporter",
  "agent",
  "web",
  "discovery",
];

/** Commands on what only a database has: its schema, its file, tables of the original. */
const NEEDS_DATABASE = [
  ...["sql migrate", "backup", "restore", "sql accept-restored", "sql grants", "module sync-names"],
  // It registers with a discovery, which is no console.
  "register",
];

test("every command that takes --store takes --server, and says so in its help", async () => {
  const { program } = await buildProgram("all");
  const visit = (command: typeof program, path: string): void => {
    for (const child of command.commands) visit(child, `${path} ${child.name()}`.trim());
    if (command.commands.length > 0 || WITHOUT_SERVER.includes(path.split(" ")[0])) return;
    const names = command.options.map(({ long }) => long);
    if (NEEDS_DATABASE.includes(path)) {
      return assert.ok(!names.includes("--server"), path);
    }
    for (const name of ["--server", "--token-file"]) {
      assert.ok(names.includes(name), `${path} must take ${name}`);
      assert.ok(command.helpInformation().includes(`${name} <`), `${path} --help`);
    }
    const token = command.options.find(({ long }) => long === "--token-file");
    assert.match(
      token?.description ?? "",
      /an API token of the console \(or LARS_API_TOKEN_FILE\)/,
    );
  };
  visit(program, "");
});

/** What differs between two runs of anything: time, addresses of databases, secrets. */
function masked(text: string): string {
  return text
    .replace(/sqlite:\S*?lars\.db/g, "DATABASE")
    // A console has seen for how long; the database does not tell.
    .replace(/"lagSeconds":(null|\d+)/g, '"lagSeconds":LAG')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/\d\d:\d\d:\d\d UTC/g, "TIME")
    .replace(
      /("(?:version|route_version|last_ts|updated_at|updatedAtMs|createdAtMs|lastLoginAtMs|seenAt|seen_at|started_at)":)\d+/g,
      "$1N",
    )
    .replace(/("ageSeconds":)\d+/g, "$1N")
    .replace(/version \d+/g, "version N")
    .replace(/ +\d+ s\b/g, " N s")
    .replace(/(one-time password(?: of \w+)?:?) \S{23}/g, "$1 SECRET")
    .replace(/(: secret) \S{20,}/g, "$1 SECRET");
}

/** One of two systems that begin alike: one is used by its database, the other by its console. */
interface Lane {
  readonly store: Store;
  lars(words: readonly string[]): Promise<Ended>;
}

async function fill({ store }: ConsoleBench): Promise<void> {
  const nowS = Math.floor(systemClock.wallMs() / 1000);
  // As of later than this test ever ends, so that nothing grows old between two commands.
  const laterS = nowS + 3600;
  const node = { modId: 1, cmdId: 1, ip: 0x0a000001, port: 80 };
  await store.editRoutes([
    { op: "add", ...node, zone: "east" },
    { op: "add", ...node, ip: 0x0a000002, zone: "west", weight: 50 },
    { op: "add", ...node, modId: 2, state: "off" },
    { op: "add", ...node, modId: 2, ip: 0x0a000002, zone: "east" },
  ]);
  await store.writeCallStatus([1, 2].map((caller) => ({
    ...node,
    caller,
    succCount: 3,
    errCount: 1,
    succTotal: 30,
    errTotal: 10,
    ts: laterS,
    overload: caller === 2,
  })));
  const buckets = Array.from({ length: 360 }, (_, index) => ({
    ...node,
    atSeconds: nowS - 60 + 10 * index,
    succCount: 0,
    errCount: 0,
    reportCount: 1,
    overloadCount: 0,
    timedCount: 4,
    timeMsSum: 50,
    refusedCount: 0,
  }));
  await store.writeCallHistory(1, buckets.map((bucket) => ({ ...bucket, caller: 1 })));
  await store.writeCallHistory(
    1,
    buckets.map((bucket) => ({ ...bucket, ip: 0, port: 0, caller: 0 })),
  );
  const events = Array.from({ length: 1200 }, (_, index) => ({
    atMs: 1_700_000_000_000 + index,
    kind: ["node.overload", "node.idle", "alert.firing"][index % 3],
    text: `event ${index}`,
    detail: { index, share: 0.5 },
    ...(index % 2 === 0 ? {} : { module: { modId: 1, cmdId: 1 }, node, host: 0x7f000001 }),
  }));
  await store.addEvents(events.slice(0, 1000));
  await store.addEvents(events.slice(1000));
  await addServices(store, laterS);
}

/** How many services {@linkcode addServices} makes known. */
const FILLED_SERVICES = 3;

async function addServices(store: Store, laterS: number): Promise<void> {
  const software = "lars/0.1.0";
  const about = { software, startedAt: 1000, seenAt: laterS };
  // dns would be told of every change: nobody listens there, so it is one that is gone.
  const gone = { ...about, seenAt: laterS - 7200 };
  await store.heartbeat({ kind: "dns", address: "127.0.0.1:1", ...gone, detail: { nodes: 4 } });
  await store.heartbeat({ kind: "reporter", address: "127.0.0.1:2", ...about, detail: {} });
  await store.sightings([{
    kind: "agent",
    address: "10.0.0.9:8888",
    ...about,
    detail: { version: 7, modulesHeld: 1, zone: "east", dns: "127.0.0.1:1" },
  }]);
}

async function withLanes(
  fn: (lanes: readonly Lane[], files: string) => Promise<void>,
): Promise<void> {
  await withProcesses((processes: Processes) =>
    withConsole((direct) =>
      withConsole(async (console) => {
        await fill(direct);
        await fill(console);
        // The console answers from what it reads each second, the other lane from the database.
        await until(async () => {
          const { services } = await console.clients.viewer
            .get<ResponseOf<"listServices">>("GET /services");
          return services.length === FILLED_SERVICES;
        }, { what: "the console to read what was written" });
        const tokenFile = join(processes.directory, "token");
        writeFileSync(tokenFile, await addConsoleToken(console.store, "admin", "admin"));
        const lane = (store: Store, options: readonly string[]): Lane => ({
          store,
          lars: (words) =>
            processes.run("tools/lars.ts", [...words, ...options], { cwd: processes.directory }),
        });
        await fn([
          lane(direct.store, ["--store", direct.url]),
          lane(console.store, ["--server", console.base, "--token-file", tokenFile]),
        ], processes.directory);
      })
    )
  );
}

/** Words of a command line, and its exit code. In this order: what one changes the next one finds. */
const COMMANDS: readonly (readonly [line: string, code: number])[] = [
  ["status --agent 127.0.0.1:1", 0],
  ["status --agent 127.0.0.1:1 --json", 0],
  ["sql status", 0],
  ["sql status --json", 0],
  ["top", 0],
  ["top --nodes --sort node", 0],
  ["top --json --once --module 1 1 --sort module", 0],
  ["followers --json", 0],
  ["events -n 5", 0],
  ["events -n 1100 --json", 0],
  ["events --kind node.idle --kind alert. --module 1 1 -n 600 --json", 0],
  ["events --kind no.such", 2],
  ["events --kind alert.ended", 0],
  ["events --kind A*", 2],
  ["route ls", 0],
  ["route ls 2 --json", 0],
  ["route ls 1 1", 0],
  ["route ls 9 9", 0],
  ["route export", 0],
  ["route export --format json", 0],
  ["route add 1 1 10.0.0.3:80 --zone west --why new", 0],
  ["route add 1 1 10.0.0.3:80", 1],
  ["route add 3 1 10.0.0.3:80 --weight 5 --json", 0],
  ["route set 1 1 10.0.0.3:80 --weight 7", 0],
  ["route set 1 1 10.0.0.3:80 --weight 7", 0],
  ["route set 1 1 10.0.0.9:80 --weight 7", 1],
  ["route rm 3 3 10.0.0.9:80", 1],
  ["route rm 3 1 10.0.0.3:80 --json", 0],
  ["route diff routes.csv", 1],
  ["route diff routes.csv --json", 1],
  ["route import routes.csv --dry-run", 0],
  ["route import routes.csv --prune", 1],
  ["route import routes.csv", 0],
  ["route import routes.csv --json", 0],
  ["route import bad.csv", 2],
  ["route confirm 1 1", 0],
  ["route confirm 7 7 --json", 0],
  ["module ls", 0],
  ["module set 1 1 --name shop --set policy=maglev", 0],
  ["module set 1 1 --name shop", 0],
  ["module set 1 1 --set policy=best", 2],
  ['module set 2 1 --policy {"healthCheck":{"kind":"tcp"}} --json', 0],
  ["module ls --json", 0],
  ["module ls 2", 0],
  ["module show 1 1", 0],
  ["module show shop", 0],
  ["module show 9 9 --json", 1],
  ["module show ship", 1],
  ["module set 2 1 --name Shop", 1],
  ["module set 2 1 --name 12", 2],
  ["module set shop --name store", 0],
  ["module set store --name shop", 0],
  ["module ls shop --json", 0],
  ["route ls shop", 0],
  ["route ls shpo", 1],
  ["route add shop 10.0.0.77:80", 0],
  ["route set shop 10.0.0.77:80 --weight 3", 0],
  ["route rm Shop 10.0.0.77:80", 0],
  ["route confirm shop", 0],
  ["route confirm shp", 1],
  ["events --module shop -n 3", 0],
  ["events --module shap", 1],
  ["top --once --module shop", 0],
  ["top --once --module shap", 1],
  ["completion words modules", 0],
  ["completion words zones", 0],
  ["zone evacuate east --dry-run", 0],
  ["zone evacuate east --dry-run --json", 0],
  ["zone evacuate east --why heat", 0],
  // It stays in module (2,1), which has nodes nowhere else: nothing is left to do.
  ["zone evacuate east", 1],
  ["zone restore west", 0],
  ["zone restore east --json", 0],
  ["zone evacuate no!zone", 2],
  ["drain 10.0.0.1:80", 0],
  ["drain 10.0.0.1:80", 0],
  ["drain 10.0.0.9:80", 1],
  ["drain 10.0.0.2:80 --wait --timeout 1", 1],
  ["undrain 10.0.0.1:80 --json", 0],
  ["route set 1 1 10.0.0.2:80 --state drain --why kept", 0],
  ["drain 10.0.0.2:80", 0],
  ["undrain 10.0.0.2:80", 0],
  ["undrain 10.0.0.2:80 --all", 0],
  ["drain 10.0.0.2:80 --why again", 0],
  ["undrain 10.0.0.1:80", 0],
  ["undrain 10.0.0.99:80", 1],
  ["user ls", 0],
  ["user add ann --role operator", 0],
  ["user add ann", 1],
  ["user ls --json", 0],
  ["user reset ann", 0],
  ["user reset eve", 1],
  ["user rm ann", 0],
  ["user rm eve", 1],
  ["user rm admin", 1],
  ["route export", 0],
  ["export", 0],
  ["diff state.json", 1],
  ["import state.json --dry-run", 0],
  ["import state.json --prune", 1],
  ["import state.json --why file", 0],
  ["import state.json", 0],
  ["diff state.json --json", 1],
  ["import state.json --prune --yes", 0],
  ["diff state.json --json", 0],
  ["import bad.json", 2],
  ["import refused.json", 2],
  ["export", 0],
];

/** The same of leases. */
const LEASE_COMMANDS: readonly (readonly [line: string, code: number])[] = [
  ["lease ls", 0],
  ["lease ls --json", 0],
  ["lease ls 1", 0],
  ["lease ls 9 9", 0],
  ["lease ls shop --json", 0],
  ["lease ls shap", 1],
  ["node ls", 0],
  ["node ls 1 --json", 0],
  ["lease free shop 10.0.0.8:80", 0],
  ["lease free shop 10.0.0.99:80", 1],
  ["lease end 1 1 10.0.0.7:80", 0],
  ["lease end 1 1 10.0.0.7:80", 1],
  ["lease confirm 1 1", 0],
  ["lease confirm 2 1", 1],
  ["lease ls", 0],
  ["node ls shop", 0],
  ["scale ls", 0],
  ["scale set shop --target 100 --max 9 --floor bad", 2],
  ["scale set shop --target 100 --max 9 --min 10", 1],
  ["scale set shop --target 100 --max 9", 0],
  ["scale show shop", 0],
  ["scale off shop", 0],
  ["scale off shop", 1],
];

/** Five nodes that registered themselves, in all states, and more than a page of others. */
async function fillLeases({ store }: Lane): Promise<void> {
  const node = { modId: 1, cmdId: 1, ip: 0x0a000007, port: 80 };
  const on = { weight: 100, zone: "", state: "on" } as const;
  const lease: LeaseRow = {
    ...{ ...node, incarnation: 1, holder: 1, phase: "live", ttlMs: 15_000, weight: 100, zone: "" },
    ...{ source: "lars", owner: "10.0.0.7", note: '{"v":1}', check: "", sinceS: 1_700_000_000 },
    ...{ written: on, hand: {} },
  };
  const drained = { ...on, state: "drain" } as const;
  const leases: LeaseRow[] = [
    lease,
    { ...lease, ip: node.ip + 1, written: drained, hand: { state: "drain", weight: 3 } },
    { ...lease, ip: node.ip + 2, written: drained, phase: "failing", check: "http:/up" },
    { ...lease, ip: node.ip + 3, written: undefined, phase: "checking", check: "tcp" },
    { ...lease, ip: node.ip + 4, written: drained, phase: "doubt", source: "rest" },
    ...Array.from({ length: 600 }, (_, index): LeaseRow => ({
      ...{ ...lease, modId: 4, port: 1000 + index, written: undefined, phase: "waiting" },
    })),
  ];
  await store.leases.change({
    nodes: leases,
    decide: () => ({
      leases,
      routes: leases.flatMap(({ written, modId, cmdId, ip, port }) =>
        written === undefined ? [] : [{ op: "add", modId, cmdId, ip, port, ...written }]
      ),
      ...{ modules: [{ modId: 1, cmdId: 1, name: "shop" }], audit: undefined },
    }),
  });
  await store.leases.beat({ id: 1, address: "10.0.0.1:9527", beat: 1 });
  await store.leases.putGuard(1, [{
    ...{ holder: 1, modId: 1, cmdId: 1, heldCount: 2, liveCount: 3, sinceS: 1_700_000_000 },
    isConfirmed: false,
  }]);
}

test(
  "commands of leases do and say the same by the database and by a console",
  TIMEOUT,
  () =>
    withLanes(async (lanes) => {
      await Promise.all(lanes.map(fillLeases));
      const whole: string[] = [];
      for (const [line, code] of LEASE_COMMANDS) {
        const [direct, console] = await Promise.all(
          lanes.map((lane) => lane.lars(line.split(" "))),
        );
        const shown = `lars ${line}\n${direct.stdout}${direct.stderr}`;
        assert.deepEqual([direct.code, console.code], [code, code], `${shown}${console.stderr}`);
        assert.equal(masked(console.stdout), masked(direct.stdout), shown);
        assert.equal(masked(console.stderr), masked(direct.stderr), shown);
        whole.push(shown);
      }
      assert.equal(whole[0].match(/\bwaiting\b/g)?.length, 600, "all pages");
      assert.match(whole[0], /held back in .*shop: 2 of 3 nodes/);
      assert.match(whole[6], /10\.0\.0\.9:80\s.*\sit does not answer the check of discovery/);
      assert.match(whole[6], /10\.0\.0\.8:80\s.*\soperator/);
      assert.match(whole[6], /10\.0\.0\.11:80\s.*\sits connection to discovery was lost/);
      for (const { store } of lanes) {
        const audit = await store.console.auditRows({ before: 0, limit: 20 });
        const kinds = audit.map(({ action, detail }) => `${action} ${detail.split(":")[0]}`);
        for (
          const kind of ["lease.change lease.free", "lease.change lease.gone", "lease.confirm "]
        ) {
          assert.ok(kinds.includes(kind), kind);
        }
      }
    }),
);

function stateFile(endsAt: string): string {
  const rule = { kind: "node_out", severity: "warning", isEnabled: true, modId: null, cmdId: null };
  return JSON.stringify({
    format: "lars-state/1",
    modules: [
      { modid: 1, cmdid: 1, name: "till", nodes: [{ node: "10.0.0.1:80", weight: 3 }] },
      { modid: 5, cmdid: 1, nodes: [{ node: "10.0.0.5:80" }] },
      { modid: 6, cmdid: 1, policy: { policy: "maglev" }, nodes: [{ node: "10.0.0.6:80" }] },
    ],
    rules: [{ ...rule, title: "Out", threshold: 0, forS: 7, clearS: 8 }],
    silences: [{ rule: "Out", modId: null, cmdId: null, node: null, why: "move", endsAt }],
    webhooks: [{ title: "Chat", url: "http://127.0.0.1:1/", format: "slack", groupS: 5 }],
    users: [{ name: "admin", role: "admin" }, { name: "zoe", role: "viewer", isDisabled: true }],
  });
}

test("every command does and says the same by the database and by a console", TIMEOUT, async () => {
  await withLanes(async (lanes, files) => {
    writeFileSync(
      join(files, "routes.csv"),
      "modid,cmdid,ip,port,weight\n1,1,10.0.0.1,80,9\n5,1,10.0.0.5,80,\n",
    );
    writeFileSync(join(files, "bad.csv"), "modid,cmdid,ip,port\n1,1,10.0.0.1,0\n");
    const laterMs = systemClock.wallMs() + 86_400_000;
    const state = stateFile(new Date(Math.trunc(laterMs / 60_000) * 60_000).toISOString());
    writeFileSync(join(files, "state.json"), state);
    writeFileSync(join(files, "bad.json"), state.replace('"viewer"', '"boss"'));
    writeFileSync(
      join(files, "refused.json"),
      state.replace('"slack"', '"pagerduty"').replace("Chat", "Pager"),
    );
    for (const [line, code] of COMMANDS) {
      const words = line.split(" ");
      const [direct, console] = await Promise.all(lanes.map((lane) => lane.lars(words)));
      const shown = `lars ${line}\n${direct.stdout}${direct.stderr}`;
      assert.equal(direct.code, code, shown);
      assert.equal(console.code, code, `lars ${line} --server\n${console.stdout}${console.stderr}`);
      assert.equal(masked(console.stdout), masked(direct.stdout), shown);
      assert.equal(masked(console.stderr), masked(direct.stderr), shown);
      assert.ok(direct.stdout + direct.stderr !== "", `${line} says something`);
    }
    const meant = await Promise.all(lanes.map(async ({ store }) => {
      const marked = (await store.moduleRows()).filter((row) => (row.meant ?? "") !== "");
      return marked.map(({ modId, cmdId }) => `${modId}/${cmdId}`);
    }));
    assert.deepEqual(meant[1], meant[0]);
    const [names] = meant;
    assert.ok(names.includes("3/1"), "what names one node is meant");
    assert.ok(!names.includes("5/1"), "what comes from a file is not, unless it is said");
  });
});

test(
  "what a console refuses, and what is none, ends a command with 1 and clear words",
  TIMEOUT,
  async () => {
    await withProcesses((processes) =>
      withConsole(async ({ base, store }) => {
        const tokenFile = (name: string, secret: string): string => {
          const path = join(processes.directory, name);
          writeFileSync(path, secret);
          return path;
        };
        const viewer = tokenFile("viewer", await addConsoleToken(store, "admin", "viewer"));
        const expired = tokenFile("expired", await addConsoleToken(store, "admin", "admin", 1000));
        const wrong = tokenFile("wrong", "lars_a_token_that_nobody_made");
        const stranger = createServer((_, response) => response.writeHead(404).end("no such page"));
        await new Promise<void>((resolve) => stranger.listen(0, "127.0.0.1", resolve));
        const other = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`;
        const before = await store.routeMark();
        const cases: [line: string, server: string, token: string, words: RegExp][] = [
          ["route add 1 1 10.0.0.1:80", base, viewer, /needs the role operator: yours is viewer/],
          ["drain 10.0.0.1:80 --wait", base, viewer, /no module has it/],
          ["module set 1 1 --name x", base, viewer, /needs the role operator/],
          ["user ls", base, viewer, /needs the role admin/],
          ["top --once", base, expired, /does not take the token in .*expired:/],
          ["events -f", base, wrong, /does not take the token in .*wrong:/],
          ["zone evacuate east", base, wrong, /does not take the token/],
          ["explain 1 1", base, viewer, /No agent answers at 127\.0\.0\.1:1: is it running/],
          ["route ls", other, viewer, /is no Lars console: it answered 404/],
          ["sql status", other, viewer, /is no Lars console/],
        ];
        await Promise.all(cases.map(async ([line, server, token, words]) => {
          const args = [...line.split(" "), "--server", server, "--token-file", token];
          const { code, stdout, stderr } = await processes.run("tools/lars.ts", args);
          assert.equal(code, 1, `${line}: ${stdout}${stderr}`);
          assert.match(stderr, words, line);
          assert.equal(stdout, "", line);
        }));
        const status = ["status", "--server", base, "--token-file", wrong];
        const shown = await processes.run("tools/lars.ts", status);
        assert.equal(shown.code, 1);
        assert.match(shown.stdout, /^console {3}http:.* does not take the token/);
        const viaVariable = await processes.run(
          "tools/lars.ts",
          ["route", "ls", "--server", base],
          {
            env: { LARS_API_TOKEN_FILE: viewer, LARS_AUTH_TOKEN_FILE: wrong },
          },
        );
        assert.equal(viaVariable.stdout, "No nodes.\n", viaVariable.stderr);
        const otherSecret = await processes.run(
          "tools/lars.ts",
          ["route", "ls", "--server", base],
          {
            env: { LARS_AUTH_TOKEN_FILE: viewer },
          },
        );
        assert.equal(otherSecret.code, 2, "what is shared with dns is told to nobody else");
        assert.deepEqual(await store.routeMark(), before);
        stranger.close();
      })
    );
  },
);
