import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigFile } from "../../reactor/config_file.ts";
import {
  authSettings,
  reactorSettings,
  requireSafeListen,
  storeSettings,
  storeUrl,
} from "./common_settings.ts";
import { readSettings } from "./settings.ts";

test("storeUrl() follows [store], then [mysql], then the embedded default", () => {
  const cases: [string, string][] = [
    ["", "sqlite:./data/lars.db"],
    ["[store]\nurl = sqlite:/x/y.db\n[mysql]\ndb_host = h", "sqlite:/x/y.db"],
    [
      "[mysql]\ndb_host = 127.0.0.1\ndb_port = 3307\ndb_user = root\ndb_passwd = aceld\ndb_name = lars_dns",
      "mysql://root:aceld@127.0.0.1:3307/lars_dns",
    ],
    ["[mysql]\ndb_host = h", "mysql://root@h:3306/lars_dns"],
    ["[mysql]\ndb_host = ::1", "mysql://root@[::1]:3306/lars_dns"],
    ["[mysql]\ndb_host = [::1]", "mysql://root@[::1]:3306/lars_dns"],
    ["[mysql]\ndb_passwd = a@b:c/d", "mysql://root:a%40b%3Ac%2Fd@127.0.0.1:3306/lars_dns"],
  ];
  for (const [content, expected] of cases) {
    const file = ConfigFile.parse(content, "x.conf");
    assert.equal(storeUrl(readSettings(storeSettings, { file })), expected, content);
  }
});

test("an ip to listen on is an address or a name, without brackets from then on", () => {
  const settings = reactorSettings(7778);
  const cases: [text: string, expected: string | undefined][] = [
    ["::", "::"],
    ["[::1]", "::1"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["0.0.0.0", "0.0.0.0"],
    ["localhost", "localhost"],
    ["::zz", undefined],
    ["127.0.0.1:7778", undefined],
    ["two words", undefined],
  ];
  for (const [text, expected] of cases) {
    const read = (): string => readSettings(settings, { flags: { "reactor.ip": text } }).listenIp;
    if (expected === undefined) assert.throws(read, /reactor.ip|\[reactor\] ip/, text);
    else assert.equal(read(), expected, text);
  }
});

test("reactorSettings() reads the original's keys and keeps to loopback by default", () => {
  const table = reactorSettings(7778);
  assert.equal(readSettings(table, {}).listenIp, "127.0.0.1");
  const file = ConfigFile.parse(
    "[reactor]\nmaxConn = 1024\nthreadNum = 5\nip = 127.0.0.1\nport = 7778\n",
    "lars_dns.conf",
  );
  assert.deepEqual(readSettings(table, { file }), {
    connectionsMax: 1024,
    connectionsPerHostMax: 256,
    loopCount: 5,
    listenIp: "127.0.0.1",
    listenPort: 7778,
  });
});

test("requireSafeListen() wants authentication beyond loopback and names both keys", () => {
  const auth = (flags: Record<string, string>): Parameters<typeof requireSafeListen>[1] =>
    readSettings(authSettings, { flags });
  for (const ip of ["127.0.0.1", "127.9.9.9", "localhost", "::1"]) requireSafeListen(ip, auth({}));
  for (const ip of ["0.0.0.0", "10.1.2.3", "::", "127.evil.example"]) {
    assert.throws(
      () => requireSafeListen(ip, auth({})),
      (error: Error) =>
        error.name === "ConfigError" && error.message.includes("token_file") &&
        error.message.includes("allow_insecure"),
    );
    requireSafeListen(ip, auth({ "auth.allow_insecure": "1" }));
    requireSafeListen(ip, auth({ "auth.token_file": "secret" }));
  }
});
