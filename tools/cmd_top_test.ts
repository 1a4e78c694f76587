import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { runtime } from "../reactor/runtime/mod.ts";
import type { Store } from "../sql/mod.ts";
import { sqliteTestStore } from "../tests/support/fleet.ts";
import { findProgram } from "../tests/support/mariadb.ts";
import { type Processes, PROJECT_ROOT, withProcesses } from "../tests/support/processes.ts";
import { until } from "../tests/support/until.ts";
import { sampleEdits } from "./sample_routes.ts";

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
    await store.editRoutes(sampleEdits());
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
      ts: Math.floor(Date.now() / 1000),
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
      terminal.press("ssss"); // Past err%, ms and callers to seen: then around to the first.
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
