import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import {
  BindError,
  ConfigError,
  ConfigFile,
  silentLogger,
  sleep,
  StoreError,
  systemClock,
} from "../reactor/mod.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import {
  type DaemonDefinition,
  explainFailure,
  readConfigFile,
  readSecrets,
  readToken,
  readyLine,
  type RunningService,
  startDaemon,
  STOP_TIMEOUT_MS,
  stopInTime,
} from "./daemon.ts";
import { ORIGINAL_STORE_URL, storeSettings, storeUrl } from "./settings/common_settings.ts";
import { Section, type Setting } from "./settings/settings.ts";

function service(name: string, stop: () => Promise<void>): RunningService {
  return { name, addresses: ["127.0.0.1:1"], stats: () => ({}), reload: () => undefined, stop };
}

const definition = {
  name: "toy",
  summary: "A toy.",
  settings: { size: new Section("reactor").integer("maxConn", 1, [1, 9]).doc("Size.") },
  start(settings, context): Promise<RunningService> {
    assert.ok(context.software.startsWith("lars/"));
    return Promise.resolve(service(`toy ${settings.size}`, () => Promise.resolve()));
  },
} satisfies DaemonDefinition<{ size: Setting<number> }>;

test("startDaemon() gives the service its checked settings", async () => {
  const running = await startDaemon(definition, { flags: { "reactor.maxConn": "7" } });
  assert.equal(running.name, "toy 7");
  await assert.rejects(
    startDaemon(definition, { flags: { "reactor.maxConn": "70" } }),
    ConfigError,
  );
});

test("the URL of the database may stand in a file of its own", async () => {
  const urls: string[] = [];
  const stored = {
    name: "stored",
    summary: "A toy with a database.",
    settings: storeSettings,
    start(settings): Promise<RunningService> {
      urls.push(settings.storeUrl);
      return Promise.resolve(service("stored", () => Promise.resolve()));
    },
  } satisfies DaemonDefinition<typeof storeSettings>;
  await withTempDir(async (dir) => {
    writeFileSync(`${dir}/store.url`, "mysql://lars:secret@db/lars_dns\n");
    await startDaemon(stored, { flags: { "store.url": `@${dir}/store.url` } });
    await startDaemon(stored, { flags: { "store.url": "sqlite:a.db" } });
    await assert.rejects(
      startDaemon(stored, { flags: { "store.url": `@${dir}/nothing` } }),
      (error: Error) =>
        error instanceof ConfigError &&
        error.message.startsWith("[store] url cannot be read") && error.message.includes("nothing"),
    );
    writeFileSync(`${dir}/empty.url`, "\n");
    await assert.rejects(
      startDaemon(stored, { flags: { "store.url": `@${dir}/empty.url` } }),
      /\[store\] url must hold the URL of a database: .*empty\.url is empty/,
      "the embedded database would be the wrong one",
    );
  });
  assert.deepEqual(urls, ["mysql://lars:secret@db/lars_dns", "sqlite:a.db"]);
});

test("readConfigFile() names a missing file", async () => {
  await assert.rejects(
    readConfigFile("/nowhere/lars.conf"),
    (error: Error) => error instanceof ConfigError && error.message.includes("/nowhere/lars.conf"),
  );
});

test("readSecrets() wants a readable file with one secret, or two, of enough bytes", async () => {
  assert.equal(await readSecrets(""), undefined);
  await assert.rejects(readSecrets("/nowhere/token"), /token_file cannot be read/);
  await withTempDir(async (dir) => {
    const read = async (content: string): Promise<number[] | undefined> => {
      writeFileSync(`${dir}/token`, content);
      return (await readSecrets(`${dir}/token`))?.all.map(({ length }) => length);
    };
    await assert.rejects(read("secret\n"), /at least 16 bytes: .* holds 6/);
    await assert.rejects(read("\n"), /at least 16 bytes: .* holds 0/);
    assert.deepEqual(await read("0123456789abcdef\n"), [16]);
    assert.deepEqual(await read(" 0123456789abcdefg \r\n\n0123456789abcdef"), [17, 16]);
    await assert.rejects(read("0123456789abcdef\nshort"), /at least 16 bytes: .* holds 5/);
    await assert.rejects(read("0123456789abcdef\n".repeat(3)), /one secret, or 2 .* 3 lines/);
    assert.equal((await readToken(`${dir}/token`, "key"))?.length, 50, "one and nothing else");
  });
});

test("explainFailure() tells usage from failure, and shows no stack for either", () => {
  const cases: [unknown, number, RegExp][] = [
    [new ConfigError(["a", "b"]), 2, /^a\nb$/],
    [new BindError("127.0.0.1:1", true, "127.0.0.1:1 is taken"), 1, /^127.0.0.1:1 is taken$/],
    [new StoreError("away", true), 1, /^away$/],
    [new Error("surprise"), 1, /surprise\n\s+at /],
  ];
  for (const [error, exitCode, expected] of cases) {
    const explained = explainFailure(error);
    assert.equal(explained.exitCode, exitCode);
    assert.match(explained.lines.join("\n"), expected);
  }
});

test("readyLine() is a sentence for people and an object for programs", () => {
  const running = service("dns", () => Promise.resolve());
  assert.equal(readyLine(running, false), "dns ready on 127.0.0.1:1\n");
  assert.deepEqual(JSON.parse(readyLine(running, true)), {
    event: "ready",
    service: "dns",
    addresses: ["127.0.0.1:1"],
  });
});

test("stopInTime() reports a service that fails or hangs", async () => {
  const good = service("good", () => Promise.resolve());
  const bad = service("bad", () => Promise.reject(new Error("no")));
  const hung = service("hung", () => new Promise(() => undefined));
  assert.equal(await stopInTime([good], silentLogger), true);
  assert.equal(await stopInTime([good, bad], silentLogger), false);
  assert.equal(await stopInTime([hung], silentLogger), false);
});

test("stopInTime() gives the clients of a service their time to go, and then the usual", async () => {
  const leaving = service(
    "leaving",
    () => sleep(systemClock, STOP_TIMEOUT_MS + 300),
  );
  const shared = await startDaemon(
    { ...definition, start: () => Promise.resolve({ ...leaving, leaveMsMax: 10_000 }) },
    { flags: {} },
  );
  assert.equal(await stopInTime([shared], silentLogger), true);
});

test("startDaemon() reads a file that names no database as the original would", async () => {
  const urls: string[] = [];
  const warnings: string[] = [];
  const stored: DaemonDefinition<typeof storeSettings> = {
    name: "toy",
    summary: "A toy.",
    settings: storeSettings,
    start(settings): Promise<RunningService> {
      urls.push(storeUrl(settings));
      return Promise.resolve(service("toy", () => Promise.resolve()));
    },
  };
  const log = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
  const file = (text: string): ConfigFile => ConfigFile.parse(text, "lars_dns.conf");
  await startDaemon(stored, { file: file("[reactor]\nport = 7778") }, { log });
  await startDaemon(stored, { file: file("[store]\nurl = sqlite:x.db") }, { log });
  await startDaemon(stored, {}, { log });
  assert.deepEqual(urls, [ORIGINAL_STORE_URL, "sqlite:x.db", "sqlite:./data/lars.db"]);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /lars_dns.conf names no database/);
});
