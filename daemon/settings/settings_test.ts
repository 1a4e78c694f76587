import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigFile } from "../../reactor/config_file.ts";
import { ConfigError } from "../../reactor/errors.ts";
import { describeSettings, environmentName, flagName, readSettings, Section } from "./settings.ts";

const loadbalance = new Section("loadbalance");

const table = {
  probeCount: loadbalance.integer("probe_num", 10, [1, 1000]).doc("Probe."),
  errorRate: loadbalance.fraction("err_rate", 0.1, [0, 1]).doc("Rate."),
  idleTimeoutMs: loadbalance.seconds("idle_timeout", 15, [0.05, 3600]).doc("Window."),
  zone: new Section("agent").text("zone", "").doc("Zone."),
  allow: new Section("auth").boolean("allow_insecure", false).doc("Allow."),
  level: new Section("log").choice("level", "info", ["info", "error"]).doc("Level."),
  dnsAddresses: new Section("dnsserver").addresses("127.0.0.1", 7778).doc("Dns."),
  storeThreads: new Section("reporter", "repoter").integer("db_thread_cnt", 3, [1, 64])
    .doc("Threads."),
};

const file = (content: string): ConfigFile => ConfigFile.parse(content, "lars.conf");

function problemsOf(sources: Parameters<typeof readSettings>[1]): string {
  try {
    readSettings(table, sources);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return "";
}

test("readSettings() gives the defaults, times in milliseconds", () => {
  const values = readSettings(table, {});
  assert.equal(values.probeCount, 10);
  assert.equal(values.idleTimeoutMs, 15_000);
  assert.deepEqual(values.dnsAddresses, [{ hostname: "127.0.0.1", port: 7778 }]);
});

test("readSettings() lets flags win over environment, and environment over the file", () => {
  const sources = { file: file("[loadbalance]\nprobe_num = 3\nerr_rate = 0.5\n") };
  assert.equal(readSettings(table, sources).probeCount, 3);
  const env = { LARS_LOADBALANCE_PROBE_NUM: "4" };
  assert.equal(readSettings(table, { ...sources, env }).probeCount, 4);
  const flags = { "loadbalance.probe_num": "5" };
  const values = readSettings(table, { ...sources, env, flags });
  assert.equal(values.probeCount, 5);
  assert.equal(values.errorRate, 0.5);
});

test("readSettings() reads the original's section [repoter] as [reporter]", () => {
  assert.equal(readSettings(table, { file: file("[repoter]\ndb_thread_cnt = 7") }).storeThreads, 7);
  assert.equal(readSettings(table, { file: file("[reporter]\ndb_thread_cnt=8") }).storeThreads, 8);
});

test("readSettings() reads one address with its port, and lists for failover", () => {
  const cases: [string, { hostname: string; port: number }[]][] = [
    ["ip = 10.0.0.1\nport = 7000", [{ hostname: "10.0.0.1", port: 7000 }]],
    ["ip = 10.0.0.1", [{ hostname: "10.0.0.1", port: 7778 }]],
    ["port = 7000", [{ hostname: "127.0.0.1", port: 7000 }]],
    ["ip = 10.0.0.1:1, 10.0.0.2 10.0.0.3:3\nport = 9", [
      { hostname: "10.0.0.1", port: 1 },
      { hostname: "10.0.0.2", port: 9 },
      { hostname: "10.0.0.3", port: 3 },
    ]],
  ];
  for (const [content, expected] of cases) {
    const values = readSettings(table, { file: file(`[dnsserver]\n${content}`) });
    assert.deepEqual(values.dnsAddresses, expected, content);
  }
});

test("readSettings() names file, line, key, value and range of every fault at once", () => {
  const message = problemsOf({
    file: file("[loadbalance]\nprobe_num = ten\nerr_rate = 1.5\n[dnsserver]\nport = 70000"),
    env: { LARS_LOG_LEVEL: "loud" },
    flags: { "loadbalance.idle_timeout": "-1" },
  });
  for (
    const expected of [
      'lars.conf:2: [loadbalance] probe_num must be a whole number from 1 to 1000: current value is "ten"',
      'lars.conf:3: [loadbalance] err_rate must be a number from 0 to 1: current value is "1.5"',
      'lars.conf:5: [dnsserver] port must be a whole number from 1 to 65535: current value is "70000"',
      'environment LARS_LOG_LEVEL: [log] level must be one of info, error: current value is "loud"',
      "flag --loadbalance-idle-timeout: [loadbalance] idle_timeout must be a number from 0.05 to 3600",
    ]
  ) assert.ok(message.includes(expected), `${expected}\nnot in\n${message}`);
});

test("readSettings() names a wrong entry of a list once, and the list that it stands in", () => {
  const cases: readonly (readonly [string, string])[] = [
    [
      "1.2.3.4.5",
      'ip: Address must look like 127.0.0.1:7778 or [::1]:7778: current value is "1.2.3.4.5"',
    ],
    [
      "a:1, b:c",
      'ip: Port must be a whole number from 0 to 65535: current value is "b:c", in "a:1, b:c"',
    ],
  ];
  for (const [ip, said] of cases) {
    const message = problemsOf({ file: file(`[dnsserver]\nip = ${ip}`) });
    assert.ok(message.includes(`lars.conf:2: [dnsserver] ${said}`), message);
    assert.equal(message.split("current value").length, 2, message);
  }
});

test("readSettings() refuses unknown keys and sections and suggests the near one", () => {
  const cases: [string, RegExp][] = [
    [
      "[loadbalance]\nprobe_nun = 3",
      /lars.conf:2: \[loadbalance\] has no key probe_nun; did you mean probe_num\?/,
    ],
    ["[loadbalanse]\nprobe_num = 3", /no section \[loadbalanse\]; did you mean loadbalance\?/],
    ["[zebra]\nx = 1", /no section \[zebra\]; known: reactor/],
  ];
  for (const [content, expected] of cases) {
    assert.match(problemsOf({ file: file(content) }), expected);
  }
});

test("readSettings() passes over sections and shared keys of other services", () => {
  const content =
    "[mysql]\ndb_host = x\n[reporter]\nip = 127.0.0.1\nport = 7779\ndb_thread_cnt = 2\n";
  assert.equal(readSettings(table, { file: file(content) }).storeThreads, 2);
});

test("readSettings() never shows a secret", () => {
  const secret = {
    password: new Section("mysql").integer("db_passwd", 0, [0, 1]).doc("Secret."),
  };
  const hidden = { password: { ...secret.password, secret: true } };
  assert.throws(
    () => readSettings(hidden, { flags: { "mysql.db_passwd": "hunter2" } }),
    (error: Error) => !error.message.includes("hunter2") && error.message.includes("(secret)"),
  );
});

test("numbers are refused in every shape but the plain decimal one", () => {
  for (const bad of ["", " ", "1e3", "0x10", "NaN", "Infinity", "1.5", "١", "10 apples", "--1"]) {
    assert.notEqual(problemsOf({ flags: { "loadbalance.probe_num": bad } }), "", `"${bad}"`);
  }
});

test("flagName() and environmentName() follow section and key", () => {
  assert.equal(flagName("loadbalance", "probe_num"), "--loadbalance-probe-num");
  assert.equal(flagName("reactor", "maxConn"), "--reactor-max-conn");
  assert.equal(environmentName("reactor", "maxConn"), "LARS_REACTOR_MAXCONN");
});

test("describeSettings() lists each key with its range and default", () => {
  const rows = describeSettings(table);
  assert.equal(rows.length, Object.keys(table).length + 1, "the port beside the ip has a row");
  const row = rows.find(({ key }) => key === "idle_timeout");
  assert.deepEqual(row, {
    section: "loadbalance",
    key: "idle_timeout",
    flag: "--loadbalance-idle-timeout",
    environment: "LARS_LOADBALANCE_IDLE_TIMEOUT",
    defaultText: "15",
    range: "seconds, 0.05 to 3600",
    doc: "Window.",
  });
});

test("an agent passes over every key of the reporter in the section that both share", async () => {
  const { agentSettings } = await import("../../agent/config.ts");
  const { reporterSettings } = await import("../../reporter/config.ts");
  const keys = Object.values(reporterSettings).filter(({ section }) => section === "reporter");
  const lines = keys.map(({ key }) => `${key} = 1`).join("\n");
  const file = ConfigFile.parse(`[reporter]\nip = 127.0.0.1\nport = 7779\n${lines}\n`, "x.conf");
  readSettings(agentSettings, { file });
});
