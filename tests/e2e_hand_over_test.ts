// Restarts of the agent under callers that wait for ever and never ask again, as the original's do.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agentSettings } from "../agent/config.ts";
import { daemonFlags } from "../daemon/settings/flags.ts";
import { readSettings } from "../daemon/settings/settings.ts";
import { silentLogger } from "../reactor/log.ts";
import { batchUdpFault } from "../reactor/fast/batch_udp.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { agentFlags, sqliteTestStore, startFleet } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import {
  type Processes,
  PROJECT_ROOT,
  scriptCommand,
  type TestProcess,
  withProcesses,
} from "./support/processes.ts";
import { tutorialEdits } from "./support/tutorial_routes.ts";
import { openStore } from "../sql/mod.ts";
import { until } from "./support/until.ts";
import { WireCaller } from "./support/wire_client.ts";

const fault = batchUdpFault({ clock: systemClock, log: silentLogger });
const OPTIONS = { timeout: 300_000, ...(fault === undefined ? {} : { skip: fault }) };

/** A caller of the original would wait for ever: whoever waits so long does. */
const FOR_EVER_MS = 60_000;

/** Modules of the tutorial: behind two of the three ports. */
const MODULES = [[1, 1], [1, 2]] as const;

/** Callers with a socket each; one question at a time, none repeated. */
class PatientCallers {
  readonly faults: string[] = [];
  /** Results told to the agent. */
  reported = 0;
  readonly answered: number[];
  readonly #callers: WireCaller[];
  readonly #loops: Promise<void>[];
  #stopped = false;

  private constructor(callers: WireCaller[]) {
    this.#callers = callers;
    this.answered = callers.map(() => 0);
    this.#loops = callers.map((caller, index) => this.#ask(caller, index));
  }

  static async start(agentPort: number, count = 6): Promise<PatientCallers> {
    const callers = await Promise.all(
      Array.from({ length: count }, () => WireCaller.open(agentPort)),
    );
    for (const [modId, cmdId] of MODULES) await callers[0].untilHost(modId, cmdId);
    return new PatientCallers(callers);
  }

  /** Waits until each of them has had so many answers more. */
  async goOn(more: number, what: string): Promise<void> {
    const before = [...this.answered];
    await until(() => this.answered.every((count, i) => count >= before[i] + more), {
      timeoutMs: FOR_EVER_MS,
      what: `${more} answers for each caller ${what}: ${this.answered} after ${before}`,
    });
    assert.deepEqual(this.faults, []);
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await Promise.all(this.#loops);
    for (const caller of this.#callers) caller.close();
    assert.deepEqual(this.faults, []);
  }

  async #ask(caller: WireCaller, index: number): Promise<void> {
    const [modId, cmdId] = MODULES[index % MODULES.length];
    while (!this.#stopped) {
      try {
        const { retCode, host } = await caller.getHost(modId, cmdId, FOR_EVER_MS);
        if (retCode !== 0 || host === undefined) this.faults.push(`${modId}/${cmdId}: ${retCode}`);
        else {
          caller.report(modId, cmdId, host, 0);
          this.reported++;
        }
      } catch {
        this.faults.push(`${modId}/${cmdId}: no answer`);
      }
      this.answered[index]++;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** Successes that the history has. */
async function countedCalls(url: string): Promise<number> {
  const store = await openStore(url);
  try {
    const nowS = Math.floor(systemClock.wallMs() / 1000);
    const range = { fromSeconds: nowS - 3600, toSeconds: nowS + 3600, stepSeconds: 3600 };
    const { points } = await store.readCallHistory(range);
    return points.reduce((sum, { succCount }) => sum + succCount, 0);
  } finally {
    await store.close();
  }
}

interface Bench {
  readonly processes: Processes;
  readonly agent: TestProcess;
  readonly reporter: TestProcess;
  readonly port: number;
  /** Of the database. */
  readonly url: string;
  readonly callers: PatientCallers;
  /** Starts a further agent on the same ports. */
  startNext(...args: string[]): TestProcess;
}

async function withLoad(
  agentArgs: readonly string[],
  fn: (bench: Bench) => Promise<void>,
): Promise<void> {
  await withProcesses(async (processes) => {
    const { url, store } = await sqliteTestStore(processes);
    await store.editRoutes(tutorialEdits());
    await store.close();
    const { agent, dns, reporter } = await startFleet(processes, url, { agent: agentArgs });
    const port = agent.port();
    const callers = await PatientCallers.start(port);
    // Without a cache: what a successor knows, it knows from the agent before.
    const flags = agentFlags(processes, [dns.port()], [reporter.port()])
      .filter((flag) => !flag.startsWith("--agent-cache-dir"));
    const startNext = (...args: string[]): TestProcess =>
      processes.spawn("next", "agent/main.ts", [
        ...["--json", ...flags, `--agent-port=${port}`, "--agent-take-over=1"],
        ...args,
      ]);
    await fn({ processes, agent, reporter, port, url, callers, startNext });
    await callers.stop();
  });
}

test(
  "rolling upgrades of the agent lose no question of callers that never ask again",
  OPTIONS,
  async () => {
    await withLoad([], async ({ agent, reporter, url, callers, startNext }) => {
      await callers.goOn(50, "before");
      let before = agent;
      for (let round = 1; round <= 3; round++) {
        const next = await startNext().untilReady();
        const ended = await before.untilEnded();
        assert.equal(ended.code, 0, ended.stderr);
        assert.match(ended.stderr, /Sockets handed over, this agent ends/);
        assert.match(next.stderr, /Sockets taken over from the running agent .*modules=2/);
        await callers.goOn(50, `after upgrade ${round}`);
        before = next;
      }
      await callers.stop();
      assert.equal((await before.stop()).code, 0);
      assert.equal((await reporter.stop()).code, 0);
      const counted = await countedCalls(url);
      assert.equal(counted, callers.reported, "each result counts once");
    });
  },
);

test(
  "a successor that is killed in mid-hand-over leaves the agent serving, and able to hand over",
  OPTIONS,
  async () => {
    await withLoad([], async ({ processes, agent, port, callers, startNext }) => {
      for (let round = 0; round < 3; round++) {
        const half = processes.spawn("half", "tests/support/half_successor.ts", [String(port)]);
        await until(() => half.stdout.includes("taken 3 2"), { what: `sockets: ${half.stderr}` });
        await half.kill9();
        await callers.goOn(30, `after kill ${round}`);
      }
      await until(() => agent.stderr.split("Hand-over was broken off").length === 4, {
        what: "three lines of the log",
      });
      await startNext().untilReady();
      assert.equal((await agent.untilEnded()).code, 0);
      await callers.goOn(50, "after the hand-over");
    });
  },
);

test(
  "an agent that does not hand over goes on, and its successor says why it cannot start",
  OPTIONS,
  async () => {
    await withLoad(["--agent-hand-over=0"], async ({ agent, port, callers, startNext }) => {
      const ended = await startNext().untilEnded(30_000);
      assert.equal(ended.code, 1, ended.stderr);
      assert.match(ended.stderr, /No agent hands over its sockets here/);
      assert.match(ended.stderr, new RegExp(`127\\.0\\.0\\.1:${port}\\b.*in use`));
      await callers.goOn(50, "after the vain start");
      assert.ok(agent.alive);
    });
  },
);

test("the units of systemd pass the ports that an agent has by default", () => {
  const unit = (name: string): string =>
    readFileSync(join(PROJECT_ROOT, "deploy/systemd", name), "utf8");
  const { listenIp, listenPort } = readSettings(agentSettings, {});
  const places = [...unit("lars-agent.socket").matchAll(/^ListenDatagram=(.*)$/gm)];
  assert.deepEqual(
    places.map(([, place]) => place),
    [0, 1, 2].map((i) => `${listenIp}:${listenPort + i}`),
  );
  const flags = [...unit("lars-agent.service").matchAll(/ (--[a-z-]+) /g)].map(([, flag]) => flag);
  assert.deepEqual(flags, ["--agent-cache-dir"]);
  assert.ok(daemonFlags(agentSettings).some(({ long }) => long === flags[0]));
});

test("an agent that is to take over where none runs opens its own ports", OPTIONS, async () => {
  await withProcesses(async (processes) => {
    const args = [`--agent-port=${await freePort()}`, "--agent-take-over=1"];
    const agent = await processes.start("agent", args);
    assert.match(agent.stderr, /No agent hands over its sockets here, own ones are opened/);
    assert.equal((await agent.stop()).code, 0);
  });
});

/** Starts an agent as systemd does: with sockets that outlive it. */
async function startPassed(
  processes: Processes,
  places: string,
  args: readonly string[],
): Promise<TestProcess> {
  const script = join(PROJECT_ROOT, "tests/support/passed_sockets.py");
  return await processes.spawnCommand("systemd", [
    ...["python3", script, places, ...scriptCommand("agent/main.ts"), "--json"],
    ...args,
  ]).untilReady();
}

test(
  "restarts of an agent whose sockets systemd holds lose no question",
  OPTIONS,
  async () => {
    await withProcesses(async (processes) => {
      const { url, store } = await sqliteTestStore(processes);
      await store.editRoutes(tutorialEdits());
      await store.close();
      const { dns, reporter, agent } = await startFleet(processes, url);
      // Ports that are surely free, three in a row.
      const port = agent.port();
      await agent.stop();
      const places = [0, 1, 2].map((i) => `127.0.0.1:${port + i}`).join(",");
      const flags = agentFlags(processes, [dns.port()], [reporter.port()], "kept");
      const systemd = await startPassed(processes, places, [...flags, `--agent-port=${port}`]);
      assert.match(systemd.stderr, /Sockets taken from systemd/);
      const callers = await PatientCallers.start(port);
      await callers.goOn(50, "before");
      const starts = (): number => systemd.stdout.split('"ready"').length - 1;
      for (let round = 1; round <= 2; round++) {
        const before = starts();
        systemd.signal("SIGHUP");
        await until(() => starts() > before, { timeoutMs: 30_000, what: `start ${round}` });
        await callers.goOn(50, `after restart ${round}`);
      }
      await callers.stop();
      assert.equal((await systemd.stop()).code, 0);
    });
  },
);

test(
  "sockets of other ports than the agent's are refused, with the words of what came",
  OPTIONS,
  async () => {
    await withProcesses(async (processes) => {
      const [own, other] = [await freePort(), await freePort()];
      const script = join(PROJECT_ROOT, "tests/support/passed_sockets.py");
      const words = ["python3", script, `127.0.0.1:${other}`, ...scriptCommand("agent/main.ts")];
      const { code, stderr } = await processes.spawnCommand("systemd", [
        ...words,
        `--agent-port=${own}`,
      ]).untilEnded(30_000);
      assert.equal(code, 2, stderr);
      assert.match(stderr, new RegExp(`systemd must pass .*${own}.*: it passes udp 127.*${other}`));
    });
  },
);
