// Goal: what HAProxy is answered leaves nothing behind in it that nobody ends.
// Method: a view, a clock by hand, the words; the server over real sockets.

import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { test } from "node:test";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { silentLogger } from "../../reactor/log.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { FleetView } from "../fleet_view.ts";
import { AgentCheckAnswers, READY_SAID_MS } from "./agent_check.ts";
import { until } from "../../tests/support/until.ts";
import { AgentCheckServer, QUESTION_MS } from "./agent_check_server.ts";

const ip = 0x0a000001;

function viewOf(): FleetView {
  const ports = { request: () => {}, forget: () => {}, onChanged: () => {}, onListed: () => {} };
  return new FleetView({ outShare: 0.25, ...ports });
}

type Host = { port: number; weight?: number; state?: "drain" };

function setRoute(view: FleetView, ...hosts: Host[]): void {
  view.takeModules({
    modules: [{ modId: 1, cmdId: 2, name: "shop", gone: false }],
    ...{ first: true, last: true },
  });
  view.want({ modId: 1, cmdId: 2 });
  view.takeRoute({
    ...{ modId: 1, cmdId: 2, policy: "" },
    hosts: hosts.map((host) => ({ ip, ...host })),
  });
}

function setOut(view: FleetView, ...ports: number[]): void {
  const nodes = ports.map((port) => ({ ip, port, agents: 1 }));
  view.takeOuts(0, { modId: 1, cmdId: 2, nodes, agents: 1 });
}

test("weights are whole percents of the largest, at least 1", () => {
  const view = viewOf();
  setRoute(view, { port: 1, weight: 10_000 }, { port: 2, weight: 3_333 }, { port: 3, weight: 1 });
  const answers = new AgentCheckAnswers(view, new ManualClock());
  const say = (port: number): string | undefined => answers.answer(`shop 10.0.0.1:${port}\n`);
  assert.deepEqual([say(1), say(2), say(3)], ["up 100%\n", "up 33%\n", "up 1%\n"]);
  assert.equal(answers.answer("1/2 10.0.0.1:1"), "up 100%\n");
  assert.equal(answers.answer("1.2 10.0.0.1:1"), "up 100%\n");
});

test("`ready` is said after our own drain only, to all who ask in time, and then no more", () => {
  const view = viewOf();
  const clock = new ManualClock();
  const answers = new AgentCheckAnswers(view, clock);
  const say = (): string | undefined => answers.answer("shop 10.0.0.1:1");
  setRoute(view, { port: 1 });
  assert.equal(say(), "up 100%\n");
  setRoute(view, { port: 1, state: "drain" });
  assert.equal(say(), "drain\n");
  setRoute(view, { port: 1 });
  assert.deepEqual([say(), say()], ["ready up 100%\n", "ready up 100%\n"]);
  clock.advance(READY_SAID_MS);
  assert.equal(say(), "up 100%\n");
  setRoute(view, { port: 2 });
  assert.equal(say(), "drain\n", "it has left the module");
  setRoute(view, { port: 1 });
  assert.equal(say(), "ready up 100%\n");
});

test("a drain from before a restart is ended as our own", () => {
  const view = viewOf();
  setRoute(view, { port: 1, state: "drain" }, { port: 2 });
  const answers = new AgentCheckAnswers(view, new ManualClock());
  answers.restore();
  setRoute(view, { port: 1 }, { port: 2 });
  assert.equal(answers.answer("shop 10.0.0.1:1"), "ready up 100%\n");
  assert.equal(answers.answer("shop 10.0.0.1:2"), "up 100%\n");
});

test("sick nodes are down, and up again before the responder goes", () => {
  const view = viewOf();
  setRoute(view, { port: 1 }, { port: 2 }, { port: 3, state: "drain" });
  setOut(view, 1);
  const answers = new AgentCheckAnswers(view, new ManualClock());
  const say = (port: number): string | undefined => answers.answer(`shop 10.0.0.1:${port}`);
  assert.deepEqual([say(1), say(2), say(3), answers.hasDown], [
    "down\n",
    "up 100%\n",
    "drain\n",
    true,
  ]);
  answers.end();
  assert.deepEqual([say(1), say(3), answers.hasDown], ["up 100%\n", "drain\n", false]);
});

test("nothing is said of what is not known", () => {
  const view = viewOf();
  const answers = new AgentCheckAnswers(view, new ManualClock());
  assert.equal(answers.answer("shop 10.0.0.1:1"), undefined, "the modules are not known");
  setRoute(view, { port: 1 });
  for (const question of ["", "shop", "shop 10.0.0.1", "none 10.0.0.1:1", "shop a:b", "\0\xff 1"]) {
    assert.equal(answers.answer(question), undefined, JSON.stringify(question));
  }
});

/** What came until the other side ended. */
function ask(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port }, () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(answer));
  });
}

test("the server answers a line by a line, bounds questions, and says farewell", async () => {
  const view = viewOf();
  setRoute(view, { port: 1 }, { port: 2 });
  setOut(view, 1);
  const answers = new AgentCheckAnswers(view, systemClock);
  const server = new AgentCheckServer({
    ...{ answers, hostname: "127.0.0.1", port: 0, clock: systemClock, log: silentLogger },
  });
  const { port } = await server.listen();
  assert.equal(await ask(port, "shop 10.0.0.1:2\n"), "up 100%\n");
  assert.equal(await ask(port, "shop 10.0.0.1:1\n"), "down\n");
  assert.equal(await ask(port, "x".repeat(10_000)), "");
  assert.equal(await ask(port, "nobody 10.0.0.1:1\n"), "");
  assert.deepEqual(server.stats, {
    haproxy_agent_checks: 2,
    haproxy_agent_unknown: 2,
    haproxy_agent_refused: 0,
  });
  const stopped = server.stop();
  assert.equal(await ask(port, "shop 10.0.0.1:1\n"), "up 100%\n", "sickness does not last");
  await stopped;
});

test("who has its answer and does not go is sent away", async () => {
  const view = viewOf();
  setRoute(view, { port: 1 });
  const clock = new ManualClock();
  const answers = new AgentCheckAnswers(view, clock);
  const server = new AgentCheckServer({
    ...{ answers, hostname: "127.0.0.1", port: 0, clock, log: silentLogger },
  });
  const { port } = await server.listen();
  const asker = createConnection({ host: "127.0.0.1", port, allowHalfOpen: true });
  let isGone = false;
  asker.on("error", () => undefined).on("close", () => (isGone = true));
  const answered = new Promise((resolve) => asker.on("data", resolve));
  asker.write("shop 10.0.0.1:1\n");
  await answered;
  clock.advance(QUESTION_MS);
  await until(() => {
    asker.write("shop 10.0.0.1:1\n");
    return isGone;
  });
  assert.equal(server.stats.haproxy_agent_checks, 1);
  assert.equal(server.stats.haproxy_agent_unknown, 0);
  await server.stop();
});
