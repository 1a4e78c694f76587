// Goal: a real HAProxy calls the nodes of a module by weight, none that is drained, sick or gone,
// and is told all again after it was started anew.
// Method: nodes are small HTTP servers that say their port; requests go through HAProxy.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer, get, type Server } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { freePort } from "../../tests/support/free_port.ts";
import { LogList } from "../../tests/support/log_list.ts";
import { findProgram } from "../../tests/support/mariadb.ts";
import { type TestProcess, withProcesses } from "../../tests/support/processes.ts";
import { until } from "../../tests/support/until.ts";
import type { ExportModule, ExportNode } from "../fleet_view.ts";
import { FleetView } from "../fleet_view.ts";
import type { HostInfo } from "../../proto/codec.ts";
import { AgentCheckAnswers } from "./agent_check.ts";
import { AgentCheckServer } from "./agent_check_server.ts";
import { HaproxyExport } from "./haproxy_export.ts";
import { askHaproxy } from "./runtime_socket.ts";

const PROGRAM = findProgram("haproxy");
const HAPROXY = {
  skip: PROGRAM === undefined ? "haproxy is not installed (apt-get install haproxy)" : false,
};

const KEY = { modId: 1, cmdId: 1 };
const LOOPBACK = 0x7f000001;

function startNode(): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((request, response) => {
      response.end(String(request.socket.localPort));
    });
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** The port that answered, the status when it was not 200, or 0 while nobody listens. */
function call(port: number): Promise<number> {
  return new Promise((resolve) => {
    get({ host: "127.0.0.1", port, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += chunk));
      response.on("end", () => {
        resolve(response.statusCode === 200 ? Number(text) : response.statusCode ?? 0);
      });
    }).on("error", () => resolve(0));
  });
}

async function spread(port: number, calls: number): Promise<Map<number, number>> {
  const counts = new Map<number, number>();
  for (let i = 0; i < calls; i++) {
    const by = await call(port);
    counts.set(by, (counts.get(by) ?? 0) + 1);
  }
  return counts;
}

/** A HAProxy with one backend, reached at `front`. */
function configOf(socket: string, front: number, backend: string): string {
  return `global
  stats socket ${socket} level admin
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout check 2s
frontend front
  bind 127.0.0.1:${front}
  default_backend be
backend be
  balance roundrobin
${backend}`;
}

test("a real HAProxy follows a module", HAPROXY, async () => {
  const nodes = await Promise.all([startNode(), startNode(), startNode()]);
  const ports = nodes.map(portOf);
  await withProcesses(async (processes) => {
    const front = await freePort();
    const socket = join(processes.directory, "haproxy.sock");
    const config = join(processes.directory, "haproxy.cfg");
    writeFileSync(config, configOf(socket, front, ""));
    const start = (): TestProcess =>
      processes.spawnCommand("haproxy", [PROGRAM ?? "", "-db", "-f", config]);
    let module: ExportModule | undefined;
    const log = new LogList();
    const proxy = new HaproxyExport({
      backends: [{ backend: "be", module: () => module }],
      servers: { check: true, extra: "" },
      clock: systemClock,
      log,
      ask: (command) => askHaproxy(socket, command, systemClock),
    });
    const set = (...list: Partial<ExportNode>[]): void => {
      const all = list.map((one, index): ExportNode => ({
        ...{ ip: LOOPBACK, port: ports[index], weight: 100, zone: "", state: "up" },
        ...one,
      }));
      module = { ...KEY, name: "", nodes: all };
      proxy.changed();
    };
    const becomes = async (what: string, expected: (at: (i: number) => number) => boolean) => {
      let seen: Map<number, number> = new Map();
      await until(async () => {
        seen = await spread(front, 40);
        return expected((index) => seen.get(ports[index]) ?? 0);
      }, { what: () => `${what}: ${JSON.stringify([...seen])}`, timeoutMs: 30_000 });
    };
    try {
      proxy.start();
      set({ weight: 100 }, { weight: 300 });
      await until(() => (proxy.fault ?? "") !== "", {
        what: "the fault of a HAProxy that is away",
      });
      const first = start();
      await becomes("weights 1 to 3", (at) => at(0) === 10 && at(1) === 30);
      set({ state: "drain" }, {});
      await becomes("a drained node", (at) => at(0) === 0 && at(1) === 40);
      set({}, { state: "out" }, {});
      await becomes("a sick node, and a new one", (at) => at(0) === 20 && at(2) === 20);
      set({}, {}, {});
      await becomes("all of them", (at) => at(0) > 9 && at(1) > 9 && at(2) > 9);
      module = { ...KEY, name: "", nodes: module?.nodes.slice(0, 1) ?? [] };
      proxy.changed();
      await becomes("two nodes gone", (at) => at(0) === 40);
      await until(
        async () =>
          !(await askHaproxy(socket, "show servers state be", systemClock))
            .includes(String(ports[1])),
        { what: "the servers to be deleted" },
      );
      assert.equal(proxy.stats.haproxy_commands_refused, 0, JSON.stringify(log));
      await first.kill9();
      start();
      await becomes("the node after HAProxy was started anew", (at) => at(0) === 40);
    } finally {
      await proxy.stop();
    }
  });
  for (const node of nodes) node.close();
});

test(
  "a real HAProxy asks by agent checks: weights, drains, verdicts, and what an operator set",
  HAPROXY,
  async () => {
    const nodes = await Promise.all([startNode(), startNode()]);
    const ports = nodes.map(portOf);
    const { view, set } = ownView(ports);
    const startResponder = async (port: number): Promise<AgentCheckServer> => {
      const answers = new AgentCheckAnswers(view, systemClock);
      answers.restore();
      const server = new AgentCheckServer({
        ...{ answers, hostname: "127.0.0.1", port, clock: systemClock, log: new LogList() },
      });
      await server.listen();
      return server;
    };
    await withProcesses(async (processes) => {
      const [front, agentPort] = [await freePort(), await freePort()];
      const socket = join(processes.directory, "haproxy.sock");
      const config = join(processes.directory, "haproxy.cfg");
      const agent = `agent-check agent-addr 127.0.0.1 agent-port ${agentPort} agent-inter 200ms`;
      const servers = ports.map((port, index) =>
        `  server n${index} 127.0.0.1:${port} weight 100 ${agent} ` +
        `agent-send "shop 127.0.0.1:${port}\\n"\n`
      );
      writeFileSync(config, configOf(socket, front, servers.join("")));
      const becomes = async (what: string, expected: (at: (i: number) => number) => boolean) => {
        let seen: Map<number, number> = new Map();
        await until(async () => {
          seen = await spread(front, 40);
          return expected((index) => seen.get(ports[index]) ?? 0);
        }, { what: () => `${what}: ${JSON.stringify([...seen])}`, timeoutMs: 30_000 });
      };
      const tell = (command: string): Promise<string> => askHaproxy(socket, command, systemClock);
      set({}, {});
      let responder = await startResponder(agentPort);
      try {
        processes.spawnCommand("haproxy", [PROGRAM ?? "", "-db", "-f", config]);
        await becomes("both", (at) => at(0) === 20 && at(1) === 20);
        set({ weight: 100 }, { weight: 300 });
        // 33 and 100 percent of 100.
        await becomes("weights 1 to 3", (at) => at(0) >= 8 && at(0) <= 12 && at(1) > 26);
        set({ state: "drain" }, {});
        await becomes("a drained node", (at) => at(0) === 0 && at(1) === 40);
        await responder.stop();
        responder = await startResponder(agentPort);
        set({}, {});
        await becomes("the drain is over, though another responder said it", (at) => at(0) === 20);
        view.takeOuts(0, {
          ...KEY,
          nodes: [{ ip: LOOPBACK, port: ports[1], agents: 1 }],
          agents: 1,
        });
        await becomes("a sick node", (at) => at(0) === 40);
        await responder.stop();
        await becomes(
          "it is well without a responder, since nothing would end it",
          (at) => at(0) === 20 && at(1) === 20,
        );
        view.takeOuts(0, { ...KEY, nodes: [], agents: 1 });
        responder = await startResponder(agentPort);
        await tell("set server be/n0 state maint");
        await becomes("what an operator set by hand", (at) => at(1) === 40);
        const before = Number(responder.stats.haproxy_agent_checks);
        await until(() => Number(responder.stats.haproxy_agent_checks) > before + 8, {
          what: "further checks",
        });
        await becomes("stays", (at) => at(1) === 40);
      } finally {
        await responder.stop();
      }
    });
    for (const node of nodes) node.close();
  },
);

/** A view with the module `shop`, whose nodes are at these ports. */
function ownView(
  ports: readonly number[],
): { view: FleetView; set: (...hosts: Partial<HostInfo>[]) => void } {
  const view = new FleetView({
    ...{ outShare: 0.25, request: () => {}, forget: () => {} },
    ...{ onChanged: () => {}, onListed: () => {} },
  });
  view.takeModules({
    modules: [{ ...KEY, name: "shop", gone: false }],
    ...{ first: true, last: true },
  });
  view.want(KEY);
  const set = (...hosts: Partial<HostInfo>[]): void => {
    const all = hosts.map((host, index) => ({ ip: LOOPBACK, port: ports[index], ...host }));
    view.takeRoute({ ...KEY, hosts: all, policy: "" });
  };
  return { view, set };
}
