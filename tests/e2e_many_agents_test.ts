// Goal: a thousand agents survive each end of a dns without a herd, and its load comes back to it.
// Method: dns as processes, and a thousand links as agents have them, over real sockets, also over TLS.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ChosenLink, RETURN_MS } from "../feed/chosen_link.ts";
import { SystemLookup } from "../feed/name_lookup.ts";
import { silentLogger } from "../reactor/log.ts";
import type { Stream, TcpConnector } from "../reactor/runtime/types.ts";
import type { Clock } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { systemRng } from "../reactor/time/system_rng.ts";
import { PING_INTERVAL_MS } from "../session/heartbeat.ts";
import { CONNECTS_PER_SECOND_MAX } from "../session/reconnect_pace.ts";
import { runtimeTransport } from "../session/runtime_transport.ts";
import { SessionClient } from "../session/session_client.ts";
import { FleetCertificates } from "../session/testing/fleet_certificates.ts";
import { tlsConnector } from "../session/tls/tls_client.ts";
import { TlsIdentity } from "../session/tls/tls_identity.ts";
import { figure, timeFigure } from "./support/figure.ts";
import { withStoredNode } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { assertInTime } from "./support/in_time.ts";
import type { Processes, TestProcess } from "./support/processes.ts";
import { TlsFiles } from "./support/tls_files.ts";
import { until } from "./support/until.ts";

const AGENTS = 1000;

interface Agent {
  readonly link: ChosenLink;
  lostAtMs: number;
  /** Longest time without a dns. */
  longestMs: number;
}

/** When connections were made, by the address of the dns. */
type Connects = { port: number; atMs: number }[];

function agentOf(
  index: number,
  ports: readonly number[],
  connects: Connects,
  connector: TcpConnector = runtimeTransport,
): Agent {
  const agent = { lostAtMs: 0, longestMs: 0 } as Agent;
  // Agents are on hosts of their own, whose clocks began at different times: so do their pings.
  const shiftMs = systemRng.next() * PING_INTERVAL_MS;
  const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + shiftMs };
  const shared = { clock, rng: systemRng, log: silentLogger };
  const link = new ChosenLink({
    ...{
      ...shared,
      name: "dns",
      lookup: new SystemLookup(systemClock),
      returnMs: RETURN_MS,
      ageMs: 0,
    },
    servers: ports.map((port) => ({ hostname: "127.0.0.1", port })),
    chooser: { id: `agent ${index}`, zone: "", order: "spread" },
    onReady: () => {
      if (agent.lostAtMs === 0) return;
      agent.longestMs = Math.max(agent.longestMs, systemClock.nowMs() - agent.lostAtMs);
      agent.lostAtMs = 0;
    },
    onLost: () => (agent.lostAtMs = systemClock.nowMs()),
    open: (addresses, events) =>
      new SessionClient({
        ...{ ...shared, ...events, name: "dns", role: "agent", software: "test", addresses },
        transport: {
          ...runtimeTransport,
          async connectTcp(options): Promise<Stream> {
            const stream = await connector.connectTcp(options);
            connects.push({ port: options.port, atMs: systemClock.nowMs() });
            return stream;
          },
        },
        secrets: undefined,
        welcomeWaitMs: Infinity,
      }),
  });
  return Object.assign(agent, { link });
}

function spread(agents: readonly Agent[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { link } of agents) {
    const name = link.ready ? String(link.address.port) : "none";
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** Most connects to one dns in a second since `fromMs`. */
function busiestSecond(connects: Connects, fromMs: number): number {
  let most = 0;
  for (const port of new Set(connects.map((one) => one.port))) {
    const times = connects.filter((one) => one.port === port && one.atMs >= fromMs)
      .map(({ atMs }) => atMs).sort((a, b) => a - b);
    let first = 0;
    times.forEach((atMs, last) => {
      while (times[first] <= atMs - 1000) first++;
      most = Math.max(most, last - first + 1);
    });
  }
  return most;
}

/** A few at a time, as hosts boot: this is not what is tested. */
async function startAll(agents: readonly Agent[]): Promise<void> {
  for (let at = 0; at < AGENTS; at += 50) {
    for (const { link } of agents.slice(at, at + 50)) link.start();
    await until(() => agents.slice(at, at + 50).every(({ link }) => link.ready), {
      what: "a dns for each agent",
    });
  }
}

/** Each has been told its place in line, with a pong. */
async function untilPlaced(): Promise<void> {
  const toldAtMs = systemClock.nowMs() + 4000;
  await until(() => systemClock.nowMs() > toldAtMs, { what: "two pings of each" });
}

/** What speaks TLS with everybody, or the plain connections. */
async function partiesOf(
  isTls: boolean,
  processes: Processes,
): Promise<{ connector: TcpConnector; flags: readonly string[] }> {
  if (!isTls) return { connector: runtimeTransport, flags: [] };
  const files = new TlsFiles(processes.directory);
  const fleet = await FleetCertificates.make();
  files.write("ca.pem", fleet.authority.cert);
  await files.pair(fleet, "dns", "dns");
  const identity = new TlsIdentity(await fleet.material(["agent"]));
  return {
    connector: tlsConnector({ identity, plain: runtimeTransport }),
    flags: files.flags("dns"),
  };
}

/** Runs `body` with a way to start a dns at a port, and to have a thousand agents of some ports. */
async function withFleet(
  isTls: boolean,
  body: (given: {
    start(port: number): Promise<TestProcess>;
    join(ports: readonly number[], connects: Connects): Promise<Agent[]>;
  }) => Promise<void>,
): Promise<void> {
  await withStoredNode(async ({ processes, url }) => {
    const { connector, flags } = await partiesOf(isTls, processes);
    const agents: Agent[] = [];
    await body({
      start: (port) =>
        processes.start("dns", [
          ...[`--reactor-port=${port}`, `--store=${url}`, "--metrics-port=0", ...flags],
        ]),
      join: async (ports, connects) => {
        for (let i = 0; i < AGENTS; i++) agents.push(agentOf(i, ports, connects, connector));
        await startAll(agents);
        await untilPlaced();
        return agents;
      },
    });
    await Promise.all(agents.map(({ link }) => link.close()));
  });
}

/** One dns of three is away, in one way and another. */
class AwayLab {
  readonly #agents: readonly Agent[];
  readonly #connects: Connects;
  readonly #how: string;
  readonly home: Record<string, number>;

  constructor(agents: readonly Agent[], connects: Connects, how: string) {
    this.#agents = agents;
    this.#connects = connects;
    this.#how = how;
    this.home = spread(agents);
  }

  /** Has `leave` take a dns away, and says when all had another one, and for how long they had none. */
  async left(
    what: string,
    port: number,
    withinS: number,
    leave: () => Promise<unknown>,
  ): Promise<void> {
    for (const agent of this.#agents) agent.longestMs = 0;
    const fromMs = systemClock.nowMs();
    await leave();
    await until(
      () => this.#agents.every(({ link }) => link.ready && link.address.port !== port),
      { timeoutMs: 30_000, what: "another dns for each" },
    );
    const leftS = (systemClock.nowMs() - fromMs) / 1000;
    const times = this.#agents.map(({ longestMs }) => longestMs).sort((a, b) => a - b);
    const value = times[Math.ceil(AGENTS * 0.99) - 1];
    const named = `dns ${what}, 1,000 agents ${this.#how}`;
    const within = { value: leftS, atMost: withinS, unit: "s" };
    timeFigure({ what: `${named}: all at another one after`, ...within });
    timeFigure({ what: `${named}: without a dns p99`, value, atMost: 1000, unit: "ms" });
    this.#storm(`${named}: connects to one dns in a second`, fromMs);
  }

  /** Has `come` bring it back, and says when everybody had returned. */
  async returned(what: string, come: () => Promise<unknown>): Promise<void> {
    for (const agent of this.#agents) agent.longestMs = 0;
    const startMs = systemClock.nowMs();
    await come();
    const fromMs = systemClock.nowMs();
    await until(() => this.#agents.every(({ link }) => link.rank === 0), {
      timeoutMs: 60_000,
      what: "everybody to return",
    });
    const value = (systemClock.nowMs() - fromMs) / 1000;
    assert.deepEqual(spread(this.#agents), this.home);
    const named = `dns ${what}, 1,000 agents ${this.#how}`;
    timeFigure({ what: `${named}: all have returned after`, value, atMost: 5, unit: "s" });
    this.#storm(`${named}: connects to one dns in a second`, startMs);
    this.noneWithout();
  }

  /** One is left when the other has answered, in one turn: only the turn itself takes time. */
  noneWithout(): void {
    const longestMs = Math.max(...this.#agents.map((agent) => agent.longestMs));
    assertInTime("from one dns to the other", longestMs, 200);
  }

  #storm(what: string, fromMs: number): void {
    const value = busiestSecond(this.#connects, fromMs);
    timeFigure({ what, value, atMost: CONNECTS_PER_SECOND_MAX, unit: "at most" });
  }
}

for (const isTls of [false, true]) {
  const how = isTls ? "over mutual TLS" : "as they are";
  test(`a thousand agents of three dns, of which one is killed, stopped and back, ${how}`, {
    timeout: 300_000,
  }, () =>
    withFleet(isTls, async ({ start, join }) => {
      const all = await Promise.all([start(0), start(0), start(0)]);
      const ports = all.map((dns) => dns.port());
      const connects: Connects = [];
      const agents = await join(ports, connects);
      const lab = new AwayLab(agents, connects, how);
      figure(`agents by dns: ${Object.values(lab.home).join(", ")}`);
      for (const count of Object.values(lab.home)) {
        assert.ok(count > 230 && count < 440, `${count}`);
      }
      await lab.left("killed", ports[0], 1, () => all[0].kill9());
      await lab.returned("started anew", async () => (all[0] = await start(ports[0])));
      await untilPlaced();

      await lab.left("halted", ports[1], 3, () => Promise.resolve(all[1].signal("SIGSTOP")));
      await lab.returned("resumed", () => Promise.resolve(all[1].signal("SIGCONT")));
      await untilPlaced();

      await lab.left("stopped in good order", ports[2], 6, async () => {
        const ended = await all[2].stop();
        assert.equal(ended.code, 0, ended.stderr);
        const without = spread(agents).none ?? 0;
        figure(`dns stopped in good order, ${how}: ${without} agents without one when it ended`);
      });
      lab.noneWithout();
    }));

  test(`a thousand agents of one dns are back after its restart, ${how}`, {
    timeout: 240_000,
  }, () =>
    withFleet(isTls, async ({ start, join }) => {
      const port = await freePort();
      let dns = await start(port);
      const connects: Connects = [];
      const agents = await join([port], connects);
      await dns.kill9();
      dns = await start(port);
      const fromMs = systemClock.nowMs();
      await until(() => agents.every(({ link }) => link.ready), {
        timeoutMs: 60_000,
        what: "everybody to be back",
      });
      const value = (systemClock.nowMs() - fromMs) / 1000;
      // Evenly, at 200 a second: all at one dns take five seconds, and the last one its handshake.
      const what = `1,000 agents of one dns ${how} are back after`;
      timeFigure({ what, value, atMost: 5.5, unit: "s" });
      const most = busiestSecond(connects, fromMs);
      timeFigure({ what: "connects in a second", value: most, atMost: 220, unit: "at most" });
      assert.ok(dns.alive);
    }));
}
