import assert from "node:assert/strict";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { freePort } from "../tests/support/free_port.ts";
import { healthFrom } from "./cmd_health.ts";
import { type Ended, withProcesses } from "../tests/support/processes.ts";

const TIMEOUT = { timeout: 300_000 };
/** For those who answer: on a busy machine they may be slow. */
const PATIENT = ["--timeout", "60000"];

/** What stands in for the side door of a service, by the part of its host name that chooses it. */
const ANSWERS: Readonly<Record<string, (response: ServerResponse) => void>> = {
  ready: (response) => response.end("ready\n"),
  away: (response) => response.writeHead(503).end("not ready: no route has been read yet\n"),
  other: (response) => response.end("<html>somebody else</html>"),
  moved: (response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
  endless: (response) => {
    response.write("ready".padEnd(100_000, "!"));
  },
  silent: () => {},
};

/** Runs `fn` with a server for each answer, and their addresses. */
async function withAnswers(
  fn: (addresses: Record<string, string>) => Promise<void>,
): Promise<void> {
  const servers = Object.values(ANSWERS).map((answer) =>
    createServer((request, response) => {
      if (request.url === "/readyz") answer(response);
      else response.writeHead(404).end();
    })
  );
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
  );
  try {
    const ports = servers.map((server) => (server.address() as AddressInfo).port);
    const names = Object.keys(ANSWERS);
    await fn(Object.fromEntries(names.map((name, at) => [name, `127.0.0.1:${ports[at]}`])));
  } finally {
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
  }
}

test("lars health says who is ready, and why another is not", TIMEOUT, async () => {
  await withProcesses((processes) =>
    withAnswers(async (at) => {
      const health = (...words: string[]): Promise<Ended> =>
        processes.run("tools/lars.ts", ["health", ...words], { cwd: processes.directory });
      const port = await freePort();
      const [well, all, silent, json, dns] = await Promise.all([
        health(at.ready, ...PATIENT),
        health(
          ...[at.ready, at.away, at.other, at.moved, at.endless, `127.0.0.1:${await freePort()}`],
          ...PATIENT,
        ),
        health(at.silent, "--timeout", "50"),
        health(at.away, "--json", ...PATIENT),
        processes.start("dns", [
          ...["--reactor-port=0", `--store=sqlite:${processes.directory}/lars.db`],
          `--metrics-port=${port}`,
        ]).then(() => health(`127.0.0.1:${port}`, ...PATIENT)),
      ]);
      assert.deepEqual([well.code, well.stdout], [0, `${at.ready} ready\n`]);
      assert.equal(all.code, 1);
      const lines = all.stdout.trimEnd().split("\n");
      assert.equal(lines[0], `${at.ready} ready`);
      assert.equal(lines[1], `${at.away} not ready: no route has been read yet`);
      assert.match(lines[2], /answers 200, as no \[metrics\] port of a service does$/);
      assert.match(lines[3], /answers 302, as no \[metrics\] port/);
      assert.match(lines[4], /answers 200, as no \[metrics\] port/);
      assert.match(
        lines[5],
        /^127\.0\.0\.1:\d+ not ready: 127\.0\.0\.1:\d+: nothing listens there/,
      );
      assert.doesNotMatch(all.stdout, /console/);
      assert.equal(silent.code, 1);
      assert.match(silent.stdout, /it took too long$/m);
      const reason = "no route has been read yet";
      assert.deepEqual(JSON.parse(json.stdout), [
        { service: at.away, address: at.away, ready: false, reason },
      ]);
      // A real one on an empty folder: its database has no tables.
      assert.equal(dns.code, 1);
      assert.match(dns.stdout, /^127\.0\.0\.1:\d+ not ready: \S/);
    })
  );
});

test("lars health refuses what is no service and no address", TIMEOUT, async () => {
  await withProcesses(async (processes) => {
    const cases: [word: string, words: RegExp][] = [
      ["dsn", /There is no service "dsn": did you mean dns\?/],
      ["42", /There is no service "42": it must be dns, reporter, .*, or HOST:PORT/],
      ["10.0.0.5:http", /Port must be a whole number/],
    ];
    await Promise.all(cases.map(async ([word, words]) => {
      const { code, stderr } = await processes.run("tools/lars.ts", ["health", word], {
        cwd: processes.directory,
      });
      assert.equal(code, 2, word);
      assert.match(stderr, words);
    }));
  });
});

test("lars health does not take another service for the one that was named", () => {
  const address = { hostname: "127.0.0.1", port: 9778 };
  const said = { isService: true, ready: true, reason: null } as const;
  const health = (asked: string, service: string | undefined) => {
    const { ready, reason } = healthFrom({ service: asked, address }, { ...said, service });
    return [ready, reason];
  };
  assert.deepEqual(health("dns", "dns"), [true, null]);
  assert.deepEqual(health("dns", undefined), [true, null], "an older one does not say");
  assert.deepEqual(health("127.0.0.1:9778", "relay"), [true, null], "no service was named");
  assert.deepEqual(health("dns", "relay"), [false, "relay answers at 127.0.0.1:9778, not dns"]);
});
