import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { runtime } from "../reactor/runtime/mod.ts";
import type { Store } from "../sql/mod.ts";
import { sqliteTestStore } from "../tests/support/fleet.ts";
import { findProgram } from "../tests/support/mariadb.ts";
import {
  type Processes,
  PROJECT_ROOT,
  type TestProcess,
  withProcesses,
} from "../tests/support/processes.ts";
import { addConsoleToken } from "../tests/support/console_token.ts";
import { freePort } from "../tests/support/free_port.ts";
import { until } from "../tests/support/until.ts";
import { tutorialEdits } from "../tests/support/tutorial_routes.ts";

const PTY = {
  skip: findProgram("script") === undefined
    ? "script (util-linux) is not on this machine, so there is no terminal to test in"
    : false,
};

const ESCAPE = "\x1b";
/** What a terminal takes for orders. */
const MARKS = new RegExp(`${ESCAPE}\\[[0-9;?]*[A-Za-z]`, "g");

async function withSample(
  body: (processes: Processes, url: string, store: Store) => Promise<void>,
): Promise<void> {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await store.editRoutes(tutorialEdits());
    await store.writeCallStatus([{
      modId: 1,
      cmdId: 2,
      ip: 0xc0a801b2,
      port: 7776,
      caller: 0x7f000001,
      succCount: 30,
      errCount: 10,
      succTotal: 30,
      errTotal: 10,
      // As of later than a test ends: it does not grow old on a slow machine.
      ts: Math.floor(Date.now() / 1000) + 3600,
      overload: true,
    }]);
    try {
      await body(processes, url, store);
    } finally {
      await store.close();
    }
  });
}

test("lars top in a pipe is one look, as text and as JSON", async () => {
  await withSample(async (processes, url) => {
    const run = (...args: string[]): ReturnType<Processes["run"]> =>
      processes.run("tools/lars.ts", ["top", "--store", url, ...args]);
    const text = await run();
    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^3 modules, 7 nodes, 1 out, /m);
    assert.match(text.stdout, /^1\/2 +3 +1 /m);
    assert.ok(!text.stdout.includes(ESCAPE));
    const json = await run("--json", "--once", "--module", "1", "2", "--sort", "out");
    const look = JSON.parse(json.stdout) as {
      nodes: number;
      rows: { port: number; out: number }[];
    };
    assert.equal(look.nodes, 7);
    assert.deepEqual(look.rows.map(({ port, out }) => [port, out])[0], [7776, 1]);
    assert.equal(look.rows.length, 3);
    for (const args of [["--sort", "node"], ["--module", "1"], ["--interval", "0"]]) {
      assert.equal((await run(...args)).code, 2, args.join(" "));
    }
  });
});

/** A program in a terminal of its own, whose name it prints first. */
class Terminal {
  readonly #child: ChildProcess;
  #output = "";
  #code: number | undefined;

  constructor(argv: readonly string[]) {
    const quoted = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    const line = `stty cols 90 rows 12; tty; exec ${quoted}`;
    this.#child = spawn("script", ["-qec", line, "/dev/null"], {
      cwd: PROJECT_ROOT,
      env: { ...process.env, TERM: "xterm", NO_COLOR: "1", SHELL: "/bin/sh" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.stdout?.on("data", (chunk: Uint8Array) => {
      this.#output += new TextDecoder().decode(chunk);
    });
    this.#child.on("close", (code) => {
      this.#code = code ?? 128;
    });
  }

  get code(): number | undefined {
    return this.#code;
  }

  get output(): string {
    return this.#output;
  }

  /** The lines of the last whole screen. */
  get screen(): string[] {
    const frames = this.#output.split("\x1b[H").slice(1).filter((one) => one.includes("\x1b[J"));
    const last = frames.at(-1) ?? "";
    return last.slice(0, last.indexOf("\x1b[J")).split(/\r+\n/)
      .map((line) => line.replaceAll(MARKS, ""));
  }

  press(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  resize(columns: number, rows: number): void {
    const tty = /^(\/dev\/pts\/\d+)\r?$/m.exec(this.#output)?.[1] ?? "";
    const { status } = spawnSync("stty", ["-F", tty, "cols", `${columns}`, "rows", `${rows}`]);
    assert.equal(status, 0, `the terminal ${tty} takes another size`);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

test("lars top in a terminal: rows, keys, another size, quit", PTY, async () => {
  await withSample(async (_processes, url, store) => {
    const argv = [
      ...runtime.selfCommand("tools/lars.ts"),
      "top",
      "--store",
      url,
      "--interval",
      "1",
    ];
    const terminal = new Terminal(argv);
    const shows = (pattern: RegExp): Promise<unknown> =>
      until(() => terminal.screen.some((line) => pattern.test(line)), {
        timeoutMs: 30_000,
        what: `${pattern} on the screen: ${terminal.output.slice(-2000)}`,
      });
    try {
      await shows(/^1\/2 +3 +1 /);
      assert.equal(terminal.screen.length, 12);
      terminal.press("sssss"); // Past err%, refused, ms and callers to seen: then around to the first.
      await shows(/SEENv/);
      terminal.press("s");
      await shows(/MODULEv/);
      await store.editRoutes([{ op: "add", modId: 7, cmdId: 7, ip: 0x0a000007, port: 80 }]);
      await shows(/^7\/7 +1 +0 /);
      terminal.press("/7/7\r\r");
      await shows(/^7\/7 +10\.0\.0\.7:80 +on /);
      terminal.resize(40, 6);
      await until(() => terminal.screen.length === 6, { what: "the smaller screen" });
      assert.ok(terminal.screen.every((line) => line.length <= 40));
      terminal.press("q");
      await until(() => terminal.code !== undefined, { what: "the end" });
      assert.equal(terminal.code, 0);
      assert.ok(terminal.output.trimEnd().endsWith("\x1b[?1049l"), "the terminal is as before");
    } finally {
      terminal.kill();
    }
  });
});

/** A console on a port to which it comes back, and the words that lead to it. */
class ComingConsole {
  readonly words: readonly string[];
  readonly #processes: Processes;
  readonly #args: readonly string[];
  #running: TestProcess | undefined;

  constructor(processes: Processes, url: string, port: number) {
    this.#processes = processes;
    this.#args = ["web", "--store", url, `--web-port=${port}`, "--metrics-port=0"];
    const tokenFile = join(processes.directory, "token");
    this.words = ["--server", `http://127.0.0.1:${port}`, "--token-file", tokenFile];
  }

  async start(): Promise<void> {
    const web = this.#processes.spawn("lars web", "tools/lars.ts", this.#args);
    this.#running = web;
    await until(() => web.stdout.includes("web ready on"), {
      timeoutMs: 60_000,
      what: () => `lars web: ${web.stderr}`,
    });
  }

  async stop(): Promise<void> {
    await this.#running?.kill9();
  }

  /** Makes the token of the words; the first start has made its owner. */
  async addToken(store: Store): Promise<void> {
    writeFileSync(this.words[3], await addConsoleToken(store, "admin", "viewer"));
  }
}

async function withComingConsole(
  body: (processes: Processes, web: ComingConsole, store: Store) => Promise<void>,
): Promise<void> {
  await withSample(async (processes, url, store) => {
    const web = new ComingConsole(processes, url, await freePort());
    await web.start();
    await until(async () => (await store.console.users()).length > 0, { what: "the first user" });
    await web.addToken(store);
    await body(processes, web, store);
  });
}

test("lars top in a terminal stays while its console is away, and goes on when it is back", {
  ...PTY,
  timeout: 300_000,
}, async () => {
  await withComingConsole(async (_processes, web, store) => {
    const program = [...runtime.selfCommand("tools/lars.ts"), "top", "--interval", "1"];
    for (const end of ["q", "\x03"]) {
      const terminal = new Terminal([...program, ...web.words]);
      const shows = (pattern: RegExp): Promise<unknown> =>
        until(() => terminal.screen.some((line) => pattern.test(line)), {
          timeoutMs: 60_000,
          what: () => `${pattern} on the screen: ${terminal.output.slice(-2000)}`,
        });
      try {
        await shows(/^1\/2 +3 +1 /);
        await web.stop();
        await shows(/^Trying again: http:.* does not answer: nothing listens there/);
        await shows(/^1\/2 +3 +1 /);
        terminal.press("s");
        await shows(/ERR%v/);
        const port = end === "q" ? 81 : 82;
        await store.editRoutes([{ op: "add", modId: 9, cmdId: 9, ip: 0x0a000009, port }]);
        await web.start();
        await shows(end === "q" ? /^9\/9 +1 / : /^9\/9 +2 /);
        await shows(/^q quit/);
        terminal.press(end);
        await until(() => terminal.code !== undefined, { timeoutMs: 60_000, what: "the end" });
        assert.equal(terminal.code, 0);
        assert.ok(terminal.output.trimEnd().endsWith("\x1b[?1049l"), "the terminal is as before");
      } finally {
        terminal.kill();
      }
    }
  });
});

test("lars top --json and lars events -f try again while their console is away", {
  timeout: 300_000,
}, async () => {
  await withComingConsole(async (processes, web, store) => {
    const spawn = (...args: string[]): TestProcess =>
      processes.spawn(args[0], "tools/lars.ts", [...args, ...web.words]);
    const top = spawn("top", "--json", "--interval", "1");
    const events = spawn("events", "-f");
    const started = (process: TestProcess, text: string): Promise<void> =>
      until(() => process.stdout.includes(text), {
        timeoutMs: 60_000,
        what: () => `${text} of ${process.name}: ${process.stdout} ${process.stderr}`,
      });
    await store.addEvents([{ atMs: 1000, kind: "node.idle", text: "first" }]);
    await Promise.all([started(top, '"modules":3'), started(events, "first")]);
    await web.stop();
    for (const one of [top, events]) {
      await until(() => one.stderr.includes("trying again"), { timeoutMs: 60_000, what: one.name });
    }
    const looks = top.stdout.split("\n").length;
    await store.addEvents([{ atMs: 2000, kind: "node.idle", text: "second" }]);
    await web.start();
    await started(events, "second");
    await until(() => top.stdout.split("\n").length > looks, { timeoutMs: 60_000, what: "looks" });
    assert.equal(events.stdout.match(/first/g)?.length, 1, "nothing is shown twice");
    assert.match(events.stderr, /it answers again/);
    for (const one of [top, events]) {
      assert.equal(one.stderr.match(/trying again/g)?.length, 1, one.stderr);
      one.signal("SIGINT");
      assert.equal((await one.untilEnded(30_000)).code, 0, one.name);
    }
    await web.stop();
    const wrong = await processes.run("tools/lars.ts", ["top", "--once", ...web.words]);
    assert.equal(wrong.code, 1, "a console that never answered is no reason to wait");
    assert.match(wrong.stderr, /does not answer: nothing listens there/);
  });
});
