import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { inspect } from "node:util";
import { StoreError } from "../../reactor/errors.ts";
import { silentLogger } from "../../reactor/log.ts";
import { sleep } from "../../reactor/time/clock.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { assertInTime } from "../../tests/support/in_time.ts";
import {
  findProgram,
  type MariaDb,
  noPrivateServerReason,
  runAdmin,
  withPrivateMariaDb,
  withTestDatabase,
} from "../../tests/support/mariadb.ts";
import { NoisyStreams } from "../../tests/support/noisy_paths.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";
import { until } from "../../tests/support/until.ts";
import { LOOK_BACK_MS } from "./host_choice.ts";
import { MysqlDriver } from "./mysql_store.ts";
import { openStore } from "../open_store.ts";
import type { LeaseEdits } from "../leases/lease_store.ts";
import { rowsScript } from "./sql_script.ts";
import { withStore } from "../testing/store_conformance.ts";
import { parseStoreUrl } from "./store_url.ts";

/** Servers start slowly on a loaded machine. */
const SLOW = { timeout: 120_000, skip: noPrivateServerReason() ?? false };
const NODE = { modId: 1, cmdId: 1, ip: 1, port: 1 };

function withServer(
  t: TestContext,
  fn: (server: MariaDb, url: string) => Promise<void>,
  options: string[] = [],
): Promise<void> {
  return withPrivateMariaDb(t, async (server) => {
    await runAdmin(server.url, "CREATE DATABASE lars");
    await fn(server, `${server.url}/lars`);
  }, options);
}

async function failsTransient(call: Promise<unknown>): Promise<StoreError> {
  const outcome = await call.then(() => "no error", (error: unknown) => error);
  assert.ok(outcome instanceof StoreError && outcome.transient, inspect(outcome));
  assert.ok(!inspect(outcome, { depth: 9 }).includes(":pw@"), "no password");
  return outcome;
}

test("mysql store fails fast while the server is down, and recovers by itself", SLOW, async (t) => {
  await withServer(t, async (server, url) => {
    await withStore(url, async (store) => {
      await store.migrate();
      await Promise.all(Array.from({ length: 8 }, () => store.ping()));
      const slow = store.readRoutes(() => new Promise(() => {}), {});
      slow.catch(() => {});
      await server.kill9();
      for (let round = 0; round < 3; round++) {
        const error = await failsTransient(store.editRoutes([{ op: "add", ...NODE }]));
        assert.match(error.message, /Could not edit the routes in mysql:\/\/lars@127/);
      }
      await server.restart();
      assert.equal((await store.editRoutes([{ op: "add", ...NODE }])).changed.length, 1);
    });
  });
});

test("mysql store gives up on a server that hangs, and recovers when it wakes", SLOW, async (t) => {
  await withServer(t, async (server, url) => {
    for (const connectionsMax of [1, 4]) {
      await withStore(url, async (store) => {
        await store.migrate();
        await Promise.all(Array.from({ length: 8 }, () => store.ping()));
        await server.suspend();
        try {
          const startMs = systemClock.nowMs();
          await Promise.all(Array.from({ length: 12 }, () => failsTransient(store.routeMark())));
          await failsTransient(store.routeMark());
          assertInTime("to give up", systemClock.nowMs() - startMs, 6000);
        } finally {
          server.resume();
        }
        await until(() => store.ping().then(() => true, () => false), { what: "recovery" });
      }, { queryTimeoutMs: 500, connectTimeoutMs: 500, connectionsMax });
    }
  });
});

test("close() does not wait for a server that hangs", SLOW, async (t) => {
  await withServer(t, async (server, url) => {
    const store = await openStore(url);
    await store.migrate();
    await server.suspend();
    try {
      const pending = failsTransient(store.routeMark());
      const startMs = systemClock.nowMs();
      await store.close();
      await pending;
      assertInTime("close()", systemClock.nowMs() - startMs, 1000);
    } finally {
      server.resume();
    }
  });
});

test("mysql store tries the hosts of its url in order", SLOW, async (t) => {
  await withServer(t, async (first, firstUrl) => {
    await withServer(t, async (second) => {
      const hosts = `127.0.0.1:1,127.0.0.1:${first.port},127.0.0.1:${second.port}`;
      const url = firstUrl.replace(/@[^/]+/, `@${hosts}`);
      for (const server of [first, second]) {
        await withStore(`${server.url}/lars`, (store) => store.migrate());
      }
      await withStore(url, async (store) => {
        assert.ok(store.label.includes(hosts) && !store.label.includes("pw"));
        await store.editRoutes([{ op: "add", ...NODE }]);
        await first.kill9();
        await until(() => store.ping().then(() => true, () => false), { what: "fail-over" });
        assert.equal((await store.readModules([NODE])).length, 0, "the second server answers");
        await first.restart();
        // They are no cluster: the first one may lack what the second was told meanwhile.
        for (const endMs = systemClock.nowMs() + 1.5 * LOOK_BACK_MS; systemClock.nowMs() < endMs;) {
          await sleep(systemClock, 50);
          assert.equal((await store.readModules([NODE])).length, 0, "nobody goes back");
        }
        await second.kill9();
        await until(() => store.ping().then(() => true, () => false), { what: "the way back" });
        assert.equal((await store.readModules([NODE])).length, 1, "the first one answers");
      });
    });
  });
});

test("mysql store leaves a host that lags behind what was read before", SLOW, async (t) => {
  await withServer(t, async (lagging, url) => {
    await withServer(t, async (current) => {
      const urlOf = (...ports: number[]): string =>
        url.replace(/@[^/]+/, `@${ports.map((port) => `127.0.0.1:${port}`).join(",")}`);
      for (const port of [lagging.port, current.port]) {
        await withStore(urlOf(port), (store) => store.migrate());
      }
      await withStore(urlOf(current.port), (store) => store.editRoutes([{ op: "add", ...NODE }]));
      await withStore(urlOf(lagging.port, current.port), async (store) => {
        const atLeastVersion = (await store.routeMark()).version + 1;
        await failsTransient(store.readModules([NODE], { atLeastVersion }));
        assert.equal((await store.readModules([NODE], { atLeastVersion })).length, 1);
      });
    });
  });
});

test("mysql store leaves a host that has become read-only", SLOW, async (t) => {
  await withServer(t, async (first, firstUrl) => {
    await withServer(t, async (second) => {
      for (const server of [first, second]) {
        await withStore(`${server.url}/lars`, (store) => store.migrate());
        await runAdmin(server.url, "CREATE USER w@'127.0.0.1' IDENTIFIED BY 'pw'");
        await runAdmin(server.url, "GRANT ALL ON lars.* TO w@'127.0.0.1'");
      }
      const url = firstUrl.replace("lars:pw", "w:pw")
        .replace(/@[^/]+/, `@127.0.0.1:${first.port},127.0.0.1:${second.port}`);
      await withStore(url, async (store) => {
        await store.ping();
        await runAdmin(first.url, "SET GLOBAL read_only = 1");
        await failsTransient(store.editRoutes([{ op: "add", ...NODE }]));
        assert.equal((await store.editRoutes([{ op: "add", ...NODE }])).changed.length, 1);
      });
    });
  });
});

test("a peer that accepts and stays silent does not hold a call up", SLOW, async () => {
  const sockets = new Set<Socket>();
  const silent = createServer((socket) => void sockets.add(socket));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const address = silent.address();
  assert.ok(address !== null && typeof address === "object");
  try {
    const url = `mysql://u:pw@127.0.0.1:${address.port}/lars`;
    await withStore(url, async (store) => {
      const startMs = systemClock.nowMs();
      await Promise.all([1, 2, 3, 4, 5].map(() => failsTransient(store.ping())));
      assertInTime("to give up", systemClock.nowMs() - startMs, 3000);
    }, { connectTimeoutMs: 300, queryTimeoutMs: 300, connectionsMax: 2 });
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  }
});

test("a wrong password is no passing fault, and is not repeated", SLOW, async (t) => {
  await withTestDatabase(t, async (url) => {
    const wrong = url.replace(/:[^:@/]*@/, ":S3cret%40word@");
    await withStore(wrong, async (store) => {
      const error: unknown = await store.ping().catch((error: unknown) => error);
      assert.ok(error instanceof StoreError && !error.transient, String(error));
      assert.equal(error.refusal, "unusable");
      assert.match(error.message, /Access denied/);
      assert.ok(!inspect(error, { depth: 9 }).includes("S3cret"));
      assert.ok(!store.label.includes("S3cret"));
    });
  });
});

test("mysql sessions refuse several statements at once and local files", SLOW, async (t) => {
  await withTestDatabase(t, async (url) => {
    await runAdmin(url, "CREATE TABLE x (line TEXT)");
    const parsed = parseStoreUrl(url);
    assert.ok(parsed.dialect === "mysql");
    const driver = new MysqlDriver(parsed, {
      queryTimeoutMs: 5000,
      connectTimeoutMs: 5000,
      connectionsMax: 1,
      clock: systemClock,
      log: silentLogger,
    });
    try {
      await assert.rejects(driver.run(() => rowsScript("SELECT 1; SELECT 2")), /syntax/);
      const file = import.meta.filename ?? "";
      await assert.rejects(
        driver.run(() => rowsScript("LOAD DATA LOCAL INFILE ? INTO TABLE x", [file])),
      );
      assert.deepEqual(await runAdmin(url, "SELECT * FROM x"), []);
    } finally {
      await driver.close();
    }
  });
});

test("mysql store binds text safely whatever mode the server prefers", SLOW, async (t) => {
  await withServer(t, async (_server, url) => {
    await withStore(url, async (store) => {
      await store.migrate();
      const zone = "\\'; DROP TABLE RouteData; -- ";
      await store.editRoutes([{ op: "add", ...NODE, zone }]);
      assert.equal((await store.readModules([NODE]))[0].zone, zone);
    });
  }, ["--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES"]);
});

test("mysql store checks the server's certificate when asked for tls", SLOW, async (t) => {
  if (findProgram("openssl") === undefined) return t.skip("openssl is not installed");
  await withTempDir(async (folder) => {
    chmodSync(folder, 0o755);
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    execFileSync("openssl", [
      ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lars-test"],
      ...["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-out", cert, "-keyout", key],
    ], { stdio: "pipe" });
    chmodSync(key, 0o644);
    await withServer(t, async (_server, url) => {
      const trusting = `${url.replace("127.0.0.1", "localhost")}?tls_ca=${
        encodeURIComponent(cert)
      }`;
      await withStore(trusting, async (store) => {
        await store.migrate();
        await store.editRoutes([{ op: "add", ...NODE }]);
      });
      await withStore(`${url.replace("127.0.0.1", "localhost")}?tls=1`, async (store) => {
        const error: unknown = await store.ping().catch((error: unknown) => error);
        assert.ok(error instanceof StoreError, "a certificate nobody vouches for is refused");
        assert.match(error.message, /certificate/i);
      });
      const missing: unknown = await withStore(
        `${url}?tls_ca=/nowhere.pem`,
        (store) => store.ping(),
      ).catch((error: unknown) => error);
      assert.ok(missing instanceof StoreError && !missing.transient, String(missing));
    }, [`--ssl-cert=${cert}`, `--ssl-key=${key}`]);
  });
});

/** Passes everything on to a server; the answers to the next COMMITs are lost. */
async function withLossyProxy(
  port: number,
  fn: (proxy: { port: number; lose(count: number, reaches: boolean): void }) => Promise<void>,
): Promise<void> {
  let lost = 0;
  let isPassedOn = true;
  const sockets = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => void (near.destroy(), far.destroy()));
    }
    near.on("data", (bytes) => {
      if (lost === 0 || !bytes.includes("\x03COMMIT")) return far.write(bytes);
      lost--;
      near.destroy();
      if (isPassedOn) far.write(bytes, () => far.end());
      else far.destroy();
    });
    far.on("data", (bytes) => near.write(bytes));
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = proxy.address() as AddressInfo;
    await fn({
      port,
      lose(count, reaches): void {
        lost = count;
        isPassedOn = reaches;
      },
    });
  } finally {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  }
}

test("mysql store reads back a change whose COMMIT was not answered", SLOW, async (t) => {
  await withServer(t, async (_server, url) => {
    await withLossyProxy(
      Number(new URL(url).port),
      (proxy) =>
        withStore(url.replace(/:\d+\/lars/, `:${proxy.port}/lars`), async (store) => {
          await store.migrate();
          let atMs = 1000;
          const change = (port: number): ReturnType<typeof store.console.change> =>
            store.console.change({
              modules: [NODE],
              decide: () => ({ routes: [{ op: "add", ...NODE, port }] }),
              via: "command",
              why: "",
              undoes: 0,
              meant: true,
              audit: {
                atMs: atMs++,
                who: "ann",
                action: "x",
                target: "",
                detail: "",
                outcome: "done",
                address: "",
              },
            });
          const ports = async (): Promise<number[]> =>
            (await store.readModules([NODE])).map(({ port }) => port).sort();
          // It arrived: the change stands, and is told as it was.
          proxy.lose(1, true);
          const stands = await change(1);
          assert.deepEqual([stands.id, stands.changed.length], [1, 1]);
          assert.deepEqual(await ports(), [1]);
          // It did not: it is made again, once.
          proxy.lose(1, false);
          assert.equal((await change(2)).changed.length, 1);
          assert.deepEqual(await ports(), [1, 2]);
          assert.equal((await store.console.changes({ before: 0, limit: 9 })).length, 2);
          // What cannot be read back is in doubt, and nobody says otherwise.
          proxy.lose(1, true);
          const fault = await failsTransient(store.editRoutes([{ op: "add", ...NODE, port: 3 }]));
          assert.equal(fault.inDoubt, true);
          // However often answers get lost, the question itself needs no COMMIT.
          proxy.lose(99, true);
          assert.equal((await change(4)).changed.length, 1);
          proxy.lose(0, true);
          assert.deepEqual(await ports(), [1, 2, 3, 4]);
        }),
    );
  });
});

test(
  "a writer that is cut off in a transaction does not hold up the others for long",
  SLOW,
  async (t) => {
    await withServer(t, async (server, url) => {
      const path = await NoisyStreams.open(server.port, seededRng(1));
      const cutOff = url.replace(`:${server.port}`, `:${path.port}`);
      const options = { queryTimeoutMs: 4_000, connectTimeoutMs: 1_000 };
      try {
        await withStore(url, async (store) => {
          await store.migrate();
          await withStore(cutOff, async (lost) => {
            const isCut = Promise.withResolvers<void>();
            const changed = lost.leases.change({
              nodes: [NODE],
              decide(): LeaseEdits {
                path.cut("both");
                isCut.resolve();
                return {
                  routes: [{ op: "add", ...NODE }],
                  ...{ leases: [], modules: [], audit: undefined },
                };
              },
            });
            const failed = failsTransient(changed);
            await isCut.promise;
            // This one waits for two seconds; that one is rolled back after one, and ends itself after four.
            const edited = await store.editRoutes([{ op: "add", ...NODE }]);
            assert.equal(edited.changed.length, 1);
            await failed;
          }, options);
        }, options);
      } finally {
        await path.close();
      }
    });
  },
);
