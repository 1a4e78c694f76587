// The Go client's own tests, by the runner of that language; and what it makes of dns.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeDns } from "../../agent/testing/fake_upstream.ts";
import { parseIpv4 } from "../../reactor/address.ts";
import { buildDriver, readDrivers } from "../../scripts/run_conformance.ts";
import { PROJECT_ROOT } from "../../tests/support/processes.ts";
import { CLIENT_TESTS_TIMEOUT_MS, runOwnTests } from "../../tests/support/client_tests.ts";
import { freePorts } from "../../tests/support/free_port.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { ClientDriver, fillWords } from "../conformance/driver.ts";

const TIMEOUT = { timeout: CLIENT_TESTS_TIMEOUT_MS };

test("the Go client passes its own tests", TIMEOUT, () => {
  runOwnTests("go", ["go", "vet", "./..."]);
  const printed = runOwnTests("go", ["go", "test", "-v", "./..."]);
  const passed = printed.match(/^--- PASS/gm)?.length ?? 0;
  assert.ok(passed >= 20 && !printed.includes("--- SKIP"), printed);
});

test(
  "the Go client asks dns while the agent is away, and follows its routes",
  TIMEOUT,
  () =>
    withTempDir(async (out) => {
      const command = readDrivers().get("go");
      assert.ok(command?.build !== undefined);
      const places = { root: PROJECT_ROOT, out };
      await buildDriver(fillWords(command.build, places));
      const dns = await FakeDns.start();
      const driver = await ClientDriver.start(fillWords(command.run, places));
      try {
        dns.routes.set("1,2", [{ ip: parseIpv4("10.0.0.1"), port: 80 }]);
        const first = await freePorts(3);
        const ports = `ports=${first},${first + 1},${first + 2}`;
        const words = `${ports} table= first_route_ms=0 dns=127.0.0.1:${dns.port}`;
        assert.equal(await driver.run(`open ${words}`), "ok");
        const picks = (result: string): Promise<unknown> =>
          until(async () => await driver.run("get_host 1 2") === result, { what: result });
        await picks("host 10.0.0.1:80 stale");
        assert.match(await driver.run("get_host 1 3"), /^error (no_agent|timeout)/);
        dns.routes.set("1,2", [{ ip: parseIpv4("10.0.0.2"), port: 81 }]);
        await picks("host 10.0.0.2:81 stale");
      } finally {
        await driver.close();
        await dns.close();
      }
    }),
);
