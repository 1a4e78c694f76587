import assert from "node:assert/strict";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { systemRng } from "../../reactor/time/system_rng.ts";
import { freePort } from "../../tests/support/free_port.ts";
import { until } from "../../tests/support/until.ts";
import { FakeDns } from "../testing/fake_upstream.ts";
import { HealthChecker } from "./health_checker.ts";
import type { HealthVerdict } from "./health_plan.ts";
import { DEFAULT_HEALTH_CHECK, type HealthCheckSettings } from "./health_plan.ts";

const LOOPBACK = 0x7f000001;

/** Runs a checker against one port until it gives a verdict that the node is down, or so many checks were good. */
async function verdictOf(
  port: number,
  settings: Partial<HealthCheckSettings>,
): Promise<HealthVerdict | "good"> {
  const verdicts: HealthVerdict[] = [];
  const checker = new HealthChecker({
    clock: systemClock,
    rng: systemRng,
    software: "test ü",
    onVerdict: (verdict) => void verdicts.push(verdict),
  });
  try {
    checker.setModule({
      modId: 1,
      cmdId: 1,
      settings: {
        ...DEFAULT_HEALTH_CHECK,
        when: "always",
        intervalMs: 100,
        timeoutMs: 5000,
        fall: 1,
        dwellMs: 0,
        ...settings,
      },
      nodes: [{ ip: LOOPBACK, port }],
    });
    const good = (): boolean => checker.stats.healthChecks >= 3;
    await until(() => verdicts.length > 0 || good(), { what: "a verdict" });
    return verdicts[0] ?? "good";
  } finally {
    checker.close();
  }
}

async function withServer(
  answer: string | undefined,
  fn: (port: number, heard: string[]) => Promise<void>,
): Promise<void> {
  const heard: string[] = [];
  const server: Server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (data) => {
      heard.push(data.toString());
      if (answer !== undefined) socket.end(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await fn((server.address() as { port: number }).port, heard);
  } finally {
    server.close();
  }
}

test("tcp: a port that takes connections is well, one that refuses is not", async () => {
  await withServer(undefined, async (port) => {
    assert.equal(await verdictOf(port, { kind: "tcp" }), "good");
    // The port of the check may be another one than that of the node.
    assert.equal(await verdictOf(9, { kind: "tcp", port }), "good");
  });
  const verdict = await verdictOf(await freePort(), { kind: "tcp" });
  assert.ok(verdict !== "good" && !verdict.healthy);
  assert.match(verdict.reason, /health check \(tcp\): 1 times .*refused/i);
});

test("http: 2xx and 3xx are well, all else is not", async () => {
  const cases: [string, RegExp | undefined][] = [
    ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", undefined],
    ["HTTP/1.0 204\r\n\r\n", undefined],
    ["HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", undefined],
    ["HTTP/1.1 503 Busy\r\n\r\n", /status 503/],
    ["HTTP/1.1 404 \r\n\r\n", /status 404/],
    ["SSH-2.0-OpenSSH\r\n", /no answer of HTTP/],
    ["x".repeat(5000), /no answer of HTTP/],
    ["HTTP/1.1 2000 x\r\n", /no answer of HTTP/],
    ["HTT", /closed without an answer|closed/],
  ];
  for (const [answer, fault] of cases) {
    await withServer(answer, async (port, heard) => {
      const verdict = await verdictOf(port, { kind: "http", path: "/up?a=1" });
      assert.match(heard[0], /^GET \/up\?a=1 HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
      assert.match(heard[0], /User-Agent: test \?\r\nConnection: close\r\n\r\n$/);
      if (fault === undefined) assert.equal(verdict, "good", answer);
      else assert.match(verdict === "good" ? "good" : verdict.reason, fault);
    });
  }
});

test("a node that says nothing is not well", async () => {
  await withServer(undefined, async (port) => {
    for (const kind of ["http", "ping"] as const) {
      const verdict = await verdictOf(port, { kind, timeoutMs: 100 });
      assert.match(verdict === "good" ? "good" : verdict.reason, /no answer in 100 ms/);
    }
  });
});

test("ping: a service of ours is well, another program is not", async () => {
  const service = await FakeDns.start();
  try {
    assert.equal(await verdictOf(service.port, { kind: "ping" }), "good");
  } finally {
    await service.close();
  }
  await withServer("HTTP/1.1 200 OK\r\n\r\n", async (port) => {
    const verdict = await verdictOf(port, { kind: "ping" });
    assert.ok(verdict !== "good" && !verdict.healthy);
  });
});
