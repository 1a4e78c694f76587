import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { withStore } from "../sql/testing/store_conformance.ts";
import { findProgram } from "../tests/support/mariadb.ts";
import { type Ended, scriptCommand, withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";
import { writeWholeFile } from "./whole_file.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";

const TIMEOUT = { timeout: 300_000 };

/** Commands that print a result: where it cannot be written they have failed. */
const PRINTING = [
  "--help",
  "--version",
  "dns --help",
  "agent --version",
  "help reporter",
  "help route add",
  "route ls",
  "route ls --json",
  "route export -",
  "route export --format json",
  "route import routes.csv --dry-run",
  "route set 1 1 10.0.0.1:80 --weight 3",
  "module ls",
  "module show 1 1 --json",
  "zone evacuate east --dry-run",
  "user ls --json",
  "status --json --agent 127.0.0.1:1",
  "status --agent 127.0.0.1:1",
  "top --once",
  "top --json",
  "events --json",
  "events -f --json",
  "sql status",
  "completion bash",
  "completion words zones",
  "sim --seconds 1",
];

test(
  "a result that cannot be written is exit code 1, one that nobody reads ends quietly",
  TIMEOUT,
  async (t) => {
    if (!existsSync("/dev/full")) return t.skip("there is no /dev/full");
    await withProcesses(async (processes) => {
      const program = scriptCommand("tools/lars.ts").join(" ");
      const store = `sqlite:${join(processes.directory, "lars.db")}`;
      const shell = (text: string): Promise<Ended> =>
        processes.spawnCommand("sh", ["sh", "-c", text.replaceAll("lars ", `${program} `)], {
          cwd: processes.directory,
          env: { LARS_STORE_URL: store },
        }).untilEnded(60_000);
      const csv = join(processes.directory, "routes.csv");
      writeFileSync(csv, "modid,cmdid,ip,port\n1,1,10.0.0.9,80\n");
      const made = await shell(
        "lars sql migrate && lars route add 1 1 10.0.0.1:80 --zone east && " +
          "lars route add 1 1 10.0.0.2:80 --zone west && lars module set 1 1 --name a",
      );
      assert.equal(made.code, 0, made.stderr);
      const run = async (line: string): Promise<void> => {
        const words = line.replace("routes.csv", csv);
        const full = await shell(`lars ${words} > /dev/full`);
        assert.equal(full.code, 1, `lars ${line} > /dev/full\n${full.stderr}`);
        if (line.includes("events")) assert.equal(full.stderr.split("\n").length, 2, full.stderr);
        assert.match(
          full.stderr,
          /^lars[- \w]*: Standard output cannot be written: .*[Nn]o space left/m,
          line,
        );
        assert.equal(full.stderr.match(/cannot be written/g)?.length, 1, full.stderr);
        // The reader is gone before the first word.
        const closed = await shell(`{ sleep 0.1; lars ${words}; echo "code $?" >&2; } | true`);
        assert.match(closed.stderr, /^(?!.*\bat .*:\d+).*code 0\n$/s, `lars ${line} | true`);
      };
      await shell("lars route set 1 1 10.0.0.1:80 --weight 2");
      await addEvent(store);
      for (let at = 0; at < PRINTING.length; at += 3) {
        await Promise.all(PRINTING.slice(at, at + 3).map(run));
      }
      const looks = await shell("lars top --json --interval 1 | head -1");
      assert.match(looks.stdout, /^\{.*\}\n$/);
      const kept = await shell("lars route import routes.csv | true; lars route ls 1 1");
      assert.match(kept.stdout, /10\.0\.0\.9:80/, "what was asked for is done, read or not");
      const differ = await shell(`{ lars route diff routes.csv; echo "code $?" >&2; } | true`);
      assert.match(differ.stderr, /code 1\n$/, "the answer of a comparison is its exit code");
    });
  },
);

async function addEvent(url: string): Promise<void> {
  const { openStore } = await import("../sql/open_store.ts");
  const store = await openStore(url);
  await store.addEvents([{ atMs: 1, kind: "node.idle", text: "back", detail: {} }]);
  await store.close();
}

test("writeWholeFile() replaces a file when the new one is whole, and leaves nothing beside it", async () => {
  await withTempDir(async (directory) => {
    const path = join(directory, "routes.csv");
    await writeWholeFile(path, "old");
    await writeWholeFile(path, "new");
    const link = join(directory, "link.csv");
    symlinkSync(path, link);
    await writeWholeFile(link, "by the link");
    assert.equal(readFileSync(path, "utf8"), "by the link");
    await writeWholeFile("/dev/null", "nowhere");
    const folder = join(directory, "folder");
    mkdirSync(folder);
    // The place of the new file is taken by a folder: it cannot be made, and the old one stays.
    mkdirSync(`${path}.new`);
    for (const bad of [path, join(directory, "none", "a.csv"), folder]) {
      await assert.rejects(writeWholeFile(bad, "x"), /cannot be written: /, bad);
    }
    assert.equal(readFileSync(path, "utf8"), "by the link");
    assert.ok(!(await readdir(directory)).includes("none"));
  });
});

test("each program of its own fails when its help cannot be written", TIMEOUT, async (t) => {
  if (!existsSync("/dev/full")) return t.skip("there is no /dev/full");
  await withProcesses(async (processes) => {
    const rooms = ["dns", "reporter", "agent", "web", "discovery", "relay"];
    const mains = rooms.map((room) => `${room}/main.ts`).filter((main) => existsSync(main));
    assert.ok(mains.length >= 4, mains.join());
    await Promise.all(mains.map(async (main) => {
      const program = scriptCommand(main).join(" ");
      for (
        const [word, out, wanted] of [["--help", "full", 1], ["-V", "full", 1], ["-V", "null", 0]]
      ) {
        const text = `${program} ${word} > /dev/${out}`;
        const { code, stderr } = await processes.spawnCommand("sh", ["sh", "-c", text])
          .untilEnded(60_000);
        assert.equal(code, wanted, `${text}: ${stderr}`);
        if (wanted === 1) assert.match(stderr, /Standard output cannot be written: .*space left/);
      }
    }));
  });
});

test("a console that cannot print the first password says how to get one", TIMEOUT, async (t) => {
  if (!existsSync("/dev/full")) return t.skip("there is no /dev/full");
  await withProcesses(async (processes) => {
    const store = `sqlite:${join(processes.directory, "lars.db")}`;
    const program = scriptCommand("web/main.ts").join(" ");
    const text = `exec ${program} --web-port=0 --metrics-port=0 --store=${store} > /dev/full`;
    const web = processes.spawnCommand("sh", ["sh", "-c", text]);
    await until(() => /cannot say how to log in.*lars user reset admin --store/.test(web.stderr), {
      timeoutMs: 60_000,
      what: () => `the remedy: ${web.stderr}`,
    });
    await until(
      () => /Ready, which standard output cannot say.*127\.0\.0\.1:\d+/.test(web.stderr),
      { timeoutMs: 60_000, what: () => `where it is ready: ${web.stderr}` },
    );
  });
});

test("what another program stored steers no terminal", TIMEOUT, async () => {
  await withProcesses(async (processes) => {
    const { directory: cwd } = processes;
    const store = `sqlite:${join(cwd, "lars.db")}`;
    await withStore(store, async (made) => {
      await made.migrate();
      await made.editRoutes([
        { op: "add", modId: 1, cmdId: 1, ip: 0x0a000001, port: 80, zone: "east" },
      ]);
      await made.setModules([{ modId: 1, cmdId: 1, name: "login" }]);
    });
    const database = new DatabaseSync(join(cwd, "lars.db"));
    database.prepare("UPDATE RouteData SET zone = ?").run("ea\u001b[31mst\u001b[2J\n");
    database.prepare("UPDATE Module SET name = ?").run("lo\u001b[2J\u009bgin");
    database.close();
    const shows = ["route ls", "module ls", "module show 1 1", "node ls", "top --once"];
    const programs = scriptCommand("tools/lars.ts").join(" ");
    for (const line of [...shows, "top --once --nodes", "zone evacuate eas --dry-run"]) {
      const { stdout, stderr } = await processes.run("tools/lars.ts", line.split(" "), {
        env: { LARS_STORE_URL: store },
      });
      assert.doesNotMatch(stdout + stderr, /[^\P{Cc}\n]/u, line);
      if (shows.includes(line)) assert.match(stdout, /\\u001b\[(2J|31m)/, `${line}: ${stdout}`);
      if (findProgram("script") === undefined) continue;
      const shown = await processes.spawnCommand("script", [
        ...["script", "-qec", `${programs} ${line}`, "/dev/null"],
      ], { env: { LARS_STORE_URL: store, TERM: "xterm" } }).untilEnded(60_000);
      if (shows.includes(line)) assert.match(shown.stdout, /\\u001b/, shown.stdout);
      // deno-lint-ignore no-control-regex -- what a terminal would obey
      assert.doesNotMatch(shown.stdout, /\u001b\[2J|\u009b/, `${line}, on a terminal`);
    }
  });
});
