import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { CONFIG_PROBLEMS_MAX, ConfigFile } from "./config_file.ts";
import { ConfigError } from "./errors.ts";

function valueOf(text: string): string | undefined {
  return ConfigFile.parse(`[s]\n${text}\n`, "t.ini").get("s", "k")?.value;
}

const values = [
  ["k = v", "v"],
  ["k=v", "v"],
  ["  k\t=\tv  ", "v"],
  ["k = a b c", "a b c"],
  ["k = a=b", "a=b"],
  ["k =", ""],
  ["k = ; nothing", ""],
  ["k = 10 ; a comment", "10"],
  ["k = 10 # a comment", "10"],
  ["k = a;b#c", "a;b#c"],
  ['k = "a ; b"', "a ; b"],
  ["k = 'it # stays' ; said", "it # stays"],
  ['k = "  room  "', "  room  "],
  ['k = ""', ""],
  ['k = say "hi"', 'say "hi"'],
  ["k = mysql://u:p@h:3306/db", "mysql://u:p@h:3306/db"],
] as const;

for (const [line, value] of values) {
  test(`parse() reads ${JSON.stringify(line)}`, () => assert.equal(valueOf(line), value));
}

const faults = [
  ["k = v", 't.ini:1: key "k" must stand in a [section]'],
  ["[s]\nk", 't.ini:2: line must be "key = value": "k"'],
  ["[s]\n = v", 't.ini:2: key must not be empty: "= v"'],
  ["[s", 't.ini:1: section is not closed: "[s"'],
  ["[s]x", 't.ini:1: section is not closed: "[s]x"'],
  ["[ ]", "t.ini:1: section must have a name"],
  ["[s]\nk=1\n\nk=2", 't.ini:4: key "k" of [s] is set already in line 2'],
  ["[s]\nk=1\n[t]\n[s]\nk=2", 't.ini:5: key "k" of [s] is set already in line 2'],
  ['[s]\nk="v', "t.ini:2: quoted value is not closed"],
  ['[s]\nk="v" w', 't.ini:2: nothing may follow a quoted value: "w"'],
] as const;

for (const [text, problem] of faults) {
  test(`parse() refuses ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => ConfigFile.parse(text, "t.ini"),
      (error) => error instanceof ConfigError && error.message === problem,
    );
  });
}

test("parse() names a bounded number of faults, of bounded length, that steer no terminal", () => {
  const text = Array.from({ length: 500 }, () => `\x1b[2J${"x".repeat(5000)}`).join("\n");
  assert.throws(() => ConfigFile.parse(text, "t.ini"), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.problems.length, CONFIG_PROBLEMS_MAX + 1);
    assert.equal(error.problems.at(-1), "t.ini: 480 more faults are not named");
    assert.ok(error.problems.every((problem) => problem.length < 200));
    assert.ok(!error.message.includes("\x1b"));
    return true;
  });
  assert.throws(() => ConfigFile.parse("a\0b", "t.ini"), /t\.ini is no text: it must have lines/);
});

test("parse() reports every fault at once", () => {
  assert.throws(() => ConfigFile.parse("a=1\n[s]\nb\n[t", "t.ini"), (error) => {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.problems.length, 3);
    return true;
  });
});

test("parse() accepts BOM, CRLF, lone CR and a missing last line end", () => {
  const file = ConfigFile.parse("\uFEFF[a]\r\nk = 1\r\r\n[b]\nk = 2", "t.ini");
  assert.deepEqual([...file.entries()], [
    { section: "a", key: "k", value: "1", line: 2 },
    { section: "b", key: "k", value: "2", line: 5 },
  ]);
});

test("get() is case-sensitive and knows nothing of absent keys", () => {
  const file = ConfigFile.parse(
    "[reactor]\nmaxConn = 1024\n[reactor] ; again\nthreadNum=5",
    "t.ini",
  );
  assert.equal(file.get("reactor", "maxConn")?.value, "1024");
  assert.equal(file.get("reactor", "threadNum")?.line, 4);
  assert.equal(file.get("reactor", "maxconn"), undefined);
  assert.equal(file.get("Reactor", "maxConn"), undefined);
  assert.deepEqual([...file.sections()], ["reactor"]);
});

test("parse() reads the files of the original unchanged", () => {
  const text = `[reactor]
maxConn = 1024
threadNum = 3
ip = 0.0.0.0
port = 7779

[mysql]
db_host = 127.0.0.1
db_port = 3306
db_user = root
db_passwd = aceld
db_name = lars_dns

[repoter]
db_thread_cnt = 3
;sectionless words are comments here
[loadbalance]
;经过若干次获取请求host节点后，试探选择一次overload过载节点
probe_num=10
err_rate=0.1
`;
  const file = ConfigFile.parse(text, "lars_reporter.ini");
  assert.equal(file.get("repoter", "db_thread_cnt")?.value, "3");
  assert.equal(file.get("mysql", "db_passwd")?.value, "aceld");
  assert.equal(file.get("loadbalance", "err_rate")?.value, "0.1");
  assert.equal([...file.entries()].length, 12);
});

test("parse() throws nothing but ConfigError on any text", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."[]=;#\"' \n\rkv\uFEFF") }), (text) => {
      try {
        for (const entry of ConfigFile.parse(text, "t.ini").entries()) {
          assert.notEqual(entry.key, "");
        }
      } catch (error) {
        assert.ok(error instanceof ConfigError);
      }
    }),
    { numRuns: 500 },
  );
});
