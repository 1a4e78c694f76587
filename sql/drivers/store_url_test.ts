import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { ConfigError } from "../../reactor/errors.ts";
import { openStore } from "../open_store.ts";
import { parseStoreUrl } from "./store_url.ts";

test("parseStoreUrl() reads good urls", () => {
  assert.deepEqual(parseStoreUrl("sqlite:data/lars.db"), {
    dialect: "sqlite",
    path: "data/lars.db",
    label: "sqlite:data/lars.db",
  });
  assert.deepEqual(parseStoreUrl("mysql://us%40er:p%40ss:w@rd@a.example,10.0.0.2:3307/my%20db"), {
    dialect: "mysql",
    user: "us@er",
    password: "p@ss:w@rd",
    hosts: [{ hostname: "a.example", port: 3306 }, { hostname: "10.0.0.2", port: 3307 }],
    database: "my db",
    tls: false,
    tlsCaFile: undefined,
    label: "mysql://us@er@a.example:3306,10.0.0.2:3307/my db",
  });
  const six = parseStoreUrl("mysql://u@[::1]:3307,[2001:db8::1],::2/d");
  assert.ok(six.dialect === "mysql");
  assert.deepEqual(six.hosts, [
    { hostname: "::1", port: 3307 },
    { hostname: "2001:db8::1", port: 3306 },
    { hostname: "::2", port: 3306 },
  ]);
  assert.equal(six.label, "mysql://u@[::1]:3307,[2001:db8::1]:3306,[::2]:3306/d");
  const tls = parseStoreUrl("mysql://u@h/d?tls_ca=/etc/ca.pem");
  assert.ok(tls.dialect === "mysql" && tls.tls && tls.password === "");
  assert.equal(tls.tlsCaFile, "/etc/ca.pem");
});

test("parseStoreUrl() refuses bad urls without repeating the password", async () => {
  const urls = [
    "",
    "lars.db",
    "postgres://u:S3cret@h/d",
    "sqlite:",
    "sqlite::memory:",
    "sqlite://lars.db",
    "mysql:u:S3cret@h/d",
    "mysql://u:S3cret@h",
    "mysql://u:S3cret@h/",
    "mysql://u:S3cret@/d",
    "mysql://@h/d",
    "mysql://h/d",
    "mysql://u:S3cret%zz@h/d",
    "mysql://u:S3cret@h:port/d",
    "mysql://u:S3cret@[::1/d",
    "mysql://u:S3cret@[::x]:3306/d",
    "mysql://u:S3cret@h:70000/d",
    "mysql://u:S3cret@h,,h2/d",
    `mysql://u:S3cret@${new Array(9).fill("h").join(",")}/d`,
    "mysql://u:S3cret@h/d?tls=maybe",
    "mysql://u:S3cret@h/d?multipleStatements=1",
  ];
  for (const url of urls) {
    const error: unknown = await openStore(url).catch((error: unknown) => error);
    assert.ok(error instanceof ConfigError, `${url}: ${String(error)}`);
    assert.match(error.message, /^Store url /);
    assert.ok(!inspect(error, { depth: 9 }).includes("S3cret"), url);
  }
});

test("openStore() refuses options out of range", async () => {
  for (
    const options of [
      { queryTimeoutMs: 0 },
      { connectTimeoutMs: NaN },
      { connectionsMax: 0 },
      { connectionsMax: 1.5 },
    ]
  ) {
    await assert.rejects(openStore("sqlite:unused.db", options), RangeError);
  }
});
