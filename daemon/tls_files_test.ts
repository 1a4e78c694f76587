// Goal: files of [tls] are read whole, checked, and read again when they change; faults are said once,
// and the end of a certificate in time. Method: files, virtual time.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type LogFields, type Logger, ManualClock, silentLogger } from "../reactor/mod.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { FleetCertificates } from "../session/testing/fleet_certificates.ts";
import { makeTempDir } from "../tests/support/temp_dir.ts";
import { until } from "../tests/support/until.ts";
import { type DaemonDefinition, fullTable, startDaemon } from "./daemon.ts";
import { readSettings } from "./settings/settings.ts";
import { openPair, openTls, TLS_LOOK_MS, type TlsSettings } from "./tls_files.ts";

const fleet = await FleetCertificates.make();

interface Place {
  readonly settings: TlsSettings;
  readonly clock: ManualClock;
  readonly log: Logger;
  readonly lines: string[];
  path(name: string): string;
  write(name: string, text: string): void;
}

async function withFiles(body: (place: Place) => Promise<void>): Promise<void> {
  const directory = makeTempDir("lars-tls-");
  const lines: string[] = [];
  const say = (message: string, fields: LogFields = {}): unknown =>
    lines.push(`${message} ${fields.error ?? ""}`.trim());
  const path = (name: string): string => join(directory.path, name);
  const write = (name: string, text: string): void => writeFileSync(path(name), text);
  const { cert, key } = await fleet.pair("dns", ["dns"], 30);
  write("pair.pem", cert + key);
  write("ca.pem", fleet.authority.cert);
  const settings: TlsSettings = {
    ...{ tlsCert: path("pair.pem"), tlsKey: "", tlsCa: path("ca.pem") },
    ...{ tlsRefused: "", tlsPlain: "loopback" },
  };
  try {
    await body({
      ...{ settings, lines, path, write, clock: new ManualClock(0, systemClock.wallMs()) },
      log: { ...silentLogger, info: say, warn: say, error: say } as Logger,
    });
  } finally {
    directory.remove();
  }
}

test("openTls() says which file is wrong, and what would be right", () =>
  withFiles(async ({ settings, clock, log, path, write }) => {
    write("list", "AB:CD\n");
    write("empty", "");
    const table: [Partial<TlsSettings>, RegExp][] = [
      [{ tlsCa: "" }, /\[tls\] ca must name the certificates of those who sign/],
      [{ tlsCert: path("none") }, /\[tls\] cert cannot be read/],
      [{ tlsKey: path("none") }, /\[tls\] key cannot be read/],
      [{ tlsCa: path("none") }, /\[tls\] ca cannot be read/],
      [{ tlsCa: path("empty") }, /\[tls\] ca must hold whole blocks of PEM/],
      [{ tlsRefused: path("list") }, /\[tls\] refused must hold SHA-256 fingerprints.*has "AB:CD"/],
    ];
    for (const [change, said] of table) {
      const opening = openTls({ ...settings, ...change }, { role: "dns", clock, log });
      await assert.rejects(opening, (error: Error) => {
        assert.equal(error.name, "ConfigError", error.stack);
        assert.match(error.message, said);
        return true;
      });
    }
    const other = openTls(settings, { role: "web", clock, log });
    await assert.rejects(other, /must hold the role editor.*it holds dns/);
  }));

test("files that change are taken at the next look; what cannot be is said once", () =>
  withFiles(async ({ settings, clock, log, lines, path, write }) => {
    const digits = "ab".repeat(32);
    write("list", `# who was lost\n${digits} # a host\n\n`);
    const given = { ...settings, tlsRefused: path("list") };
    const files = await openTls(given, { role: "dns", clock, log });
    try {
      const { identity } = files;
      assert.deepEqual(identity.material.refused, [digits.toUpperCase().match(/../g)?.join(":")]);
      let changes = 0;
      identity.onChange(() => changes++);
      clock.advance(TLS_LOOK_MS);
      const first = identity.material;
      write("pair.pem", "half of a file");
      const said = (text: string): number => lines.filter((line) => line.includes(text)).length;
      await until(() => {
        clock.advance(TLS_LOOK_MS);
        return said("not taken, the old ones stay [tls] cert must hold whole blocks") === 1;
      }, { what: "the fault" });
      for (let look = 0; look < 3; look++) {
        clock.advance(TLS_LOOK_MS);
        await assert.rejects(files.read(given), /must hold whole blocks/);
      }
      assert.equal(said("must hold whole blocks"), 1);
      assert.equal(identity.material, first);
      assert.equal(changes, 0);
      // A third of its time is some eight minutes; what is behind it counts too.
      const { cert, key } = await fleet.pair("dns-2", ["dns"], 0.01, clock.wallMs());
      write("pair.pem", cert + key);
      await until(() => {
        clock.advance(TLS_LOOK_MS);
        return changes === 1;
      }, { what: "the new pair", intervalMs: 50 });
      assert.equal(identity.material.cert, cert + key);
      const leftS = files.stats.certificate_seconds_left;
      assert.ok(leftS > 600 && leftS < 864, `${leftS} s`);
      assert.equal(said("ends soon"), 0);
      await until(() => {
        clock.advance(TLS_LOOK_MS);
        return said("ends soon") === 1;
      }, { what: "the warning" });
      for (let look = 0; look < 5; look++) clock.advance(TLS_LOOK_MS);
      assert.equal(said("ends soon"), 1, "once a day");
    } finally {
      files.close();
    }
  }));

test("that a certificate ends is said also while the files that should follow it are wrong", () =>
  withFiles(async ({ settings, clock, log, lines, write }) => {
    const { cert, key } = await fleet.pair("dns", ["dns"], 0.01, clock.wallMs());
    write("pair.pem", cert + key);
    const files = await openTls(settings, { role: "dns", clock, log });
    try {
      write("pair.pem", "half of a file");
      for (const said of ["must hold whole blocks", "ends soon"]) {
        await until(() => {
          clock.advance(TLS_LOOK_MS);
          return lines.some((line) => line.includes(said));
        }, { what: said });
      }
    } finally {
      files.close();
    }
  }));

test("settings that are read while a look is under way are those that count", () =>
  withFiles(async ({ settings, clock, log, path, write }) => {
    // The look has more files to read, and so would end last.
    write("list", "");
    const { cert, key } = await fleet.pair("dns", ["dns"]);
    write("cert.pem", cert);
    write("key.pem", key);
    const slow = { tlsCert: path("cert.pem"), tlsKey: path("key.pem"), tlsRefused: path("list") };
    const files = await openTls({ ...settings, ...slow }, { role: "dns", clock, log });
    try {
      const { identity } = files;
      assert.equal(identity.material.cert, cert);
      clock.advance(TLS_LOOK_MS);
      await files.read(settings);
      const next = await fleet.pair("dns", ["dns"]);
      write("pair.pem", next.cert + next.key);
      await until(() => {
        clock.advance(TLS_LOOK_MS);
        return identity.material.cert === next.cert + next.key;
      }, { what: "the file of the new settings", intervalMs: 50 });
    } finally {
      files.close();
    }
  }));

test("openPair() names its own section, and keeps the old pair", () =>
  withFiles(async ({ clock, log, path, write }) => {
    let changes = 0;
    const options = {
      ...{ section: "[web]", certPath: path("pair.pem"), keyPath: "", clock, log },
      onChange: () => void changes++,
    };
    const pair = await openPair(options);
    try {
      const before = pair.pair;
      const [one, two] = [await fleet.pair("a", []), await fleet.pair("b", [])];
      write("pair.pem", one.cert + two.key);
      await assert.rejects(pair.read(), /\[web\] key is not the key of \[web\] cert/);
      assert.deepEqual([pair.pair, changes], [before, 0]);
      write("pair.pem", two.cert + two.key);
      await pair.read();
      await pair.read();
      assert.deepEqual([pair.pair.cert, changes], [two.cert + two.key, 1]);
    } finally {
      pair.close();
    }
    await assert.rejects(openPair({ ...options, certPath: path("none") }), /\[web\] cert cannot/);
  }));

test("a service beyond loopback is not opened to everybody by a reload", async () => {
  const directory = makeTempDir("lars-tls-");
  try {
    const { cert, key } = await fleet.pair("dns", ["dns"]);
    const path = (name: string): string => `${directory.path}/${name}`;
    writeFileSync(path("pair.pem"), cert + key);
    writeFileSync(path("ca.pem"), fleet.authority.cert);
    const reloads: unknown[] = [];
    const definition = {
      ...{ name: "dns", summary: "As dns.", settings: {} },
      start: () =>
        Promise.resolve({
          ...{ name: "dns", addresses: ["0.0.0.0:7778"], stats: () => ({}) },
          reload: (settings: unknown) => void reloads.push(settings),
          stop: () => Promise.resolve(),
        }),
    } satisfies DaemonDefinition<Record<never, never>>;
    const flags = { "tls.cert": path("pair.pem"), "tls.ca": path("ca.pem") };
    const service = await startDaemon(definition, { flags }, { log: silentLogger });
    try {
      const settings = readSettings(fullTable(definition), { flags });
      await assert.rejects(
        Promise.resolve(service.reload({ ...settings, tlsPlain: "accept" })),
        /^ConfigError: Will not listen on 0\.0\.0\.0 without authentication/,
      );
      assert.equal(reloads.length, 0);
      await service.reload({ ...settings, tlsPlain: "off" });
      assert.equal(reloads.length, 1);
    } finally {
      await service.stop();
    }
  } finally {
    directory.remove();
  }
});
