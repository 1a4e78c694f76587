import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RouteRow } from "../../sql/store.ts";
import {
  decodeRouteFile,
  formatRouteFile,
  parseRouteFile,
  ROUTE_FILE_PROBLEMS_MAX,
  ROUTE_FORMATS,
} from "./route_file.ts";

const rowArbitrary: fc.Arbitrary<RouteRow> = fc.record({
  modId: fc.integer({ min: 0, max: 4294967295 }),
  cmdId: fc.integer({ min: 0, max: 4294967295 }),
  ip: fc.integer({ min: 1, max: 4294967295 }),
  port: fc.integer({ min: 1, max: 65535 }),
  weight: fc.integer({ min: 0, max: 10000 }),
  zone: fc.stringMatching(/^[A-Za-z0-9._-]{0,64}$/),
  state: fc.constantFrom("on", "drain", "off"),
}, { noNullPrototype: true });

const rowsArbitrary = fc.uniqueArray(rowArbitrary, {
  selector: (row) => `${row.modId},${row.cmdId},${row.ip}:${row.port}`,
  maxLength: 20,
});

for (const format of ROUTE_FORMATS) {
  test(`parseRouteFile() reads back what formatRouteFile() writes as ${format}`, () => {
    fc.assert(fc.property(rowsArbitrary, (rows) => {
      const { nodes, problems } = parseRouteFile(formatRouteFile(rows, format), format, "f");
      assert.deepEqual(problems, []);
      assert.deepEqual(nodes.map(({ line: _line, ...node }) => node), rows);
    }));
  });

  test(`parseRouteFile() never throws on ${format}`, () => {
    const nasty = fc.array(
      fc.oneof(fc.string(), fc.constantFrom("[", "]", "{", "}", ",", '"', "\\", "\n", "modid,")),
    ).map((parts) => parts.join(""));
    fc.assert(fc.property(nasty, (text) => {
      const { nodes, problems } = parseRouteFile(text, format, "f");
      assert.ok(Array.isArray(nodes));
      for (const problem of problems) assert.match(problem, /^f:\d+: \S|^and \d+ more/);
    }));
  });
}

test("parseRouteFile() names file, line and value of every fault in a CSV", () => {
  const text = [
    "modid,cmdid,ip,port,weight,zone,state",
    "1,1,10.0.0.1,7777,100,,on",
    "1,1,10.0.0.1,7777,100,,on",
    "x,1,10.0.0.2,7777,100,,on",
    "",
    "# a comment",
    "1,1,10.0.0.300,7777,100,,on",
    "1,1,10.0.0.3,0,100,,on",
    "1,1,10.0.0.4,7777,10001,,on",
    "1,1,10.0.0.5,7777,100,a b,on",
    "1,1,10.0.0.6,7777,100,,maybe",
    "1,1,10.0.0.7",
    '1,1,"10.0.0.8,7777,100,,on',
    "1,1,,7777,100,,on",
  ].join("\r\n");
  const { problems } = parseRouteFile(text, "csv", "r.csv");
  const expected = [
    /^r\.csv:13: quotation mark is not closed/,
    /^r\.csv:12: row must have 7 cells: it has 3/,
    /^r\.csv:3: \(1,1\) 10\.0\.0\.1:7777 is listed already in line 2/,
    /^r\.csv:4: MODID must be .* current value is "x"/,
    /^r\.csv:7: ip: .*10\.0\.0\.300/,
    /^r\.csv:8: Port must be/,
    /^r\.csv:9: Weight must be/,
    /^r\.csv:10: Zone must be/,
    /^r\.csv:11: State must be one of on, drain, off/,
    /^r\.csv:14: ip is missing/,
  ];
  for (const pattern of expected) {
    assert.ok(problems.some((line) => pattern.test(line)), `${pattern}\n${problems.join("\n")}`);
  }
  assert.equal(problems.length, expected.length);
});

test("parseRouteFile() names the line of every fault in a JSON file", () => {
  const text = `[
  {"modid": 1, "cmdid": 1, "ip": "10.0.0.1", "port": 7777},
  {"modid": 1, "cmdid": 1, "ip": "10.0.0.2", "port": "x"},
  {"modid": 1, "cmdid": 1, "ip": "10.0.0.3"},
  {"modid": 1, "cmdid": 1, "ip": "10.0.0.4", "port": 1, "color": "red"},
  {"modid": 1, "cmdid": 1, "ip": "10.0.0.5", "port": [1]},
  7,
  {"modid": 1, "cmdid": },
  {"modid": 1,
   "cmdid": 1, "ip": "10.0.0.6", "port": 70000}
]`;
  const { nodes, problems } = parseRouteFile(text, "json", "r.json");
  assert.equal(nodes.length, 2, "the sound one, and the one with only an unknown key");
  const expected = [
    /^r\.json:3: Port /,
    /^r\.json:4: port is missing/,
    /^r\.json:5: unknown key "color"/,
    /^r\.json:6: port must be a number or a text/,
    /^r\.json:7: each element must be an object/,
    /^r\.json:8: not valid JSON/,
    /^r\.json:9: Port must be .* "70000"/,
  ];
  for (const pattern of expected) {
    assert.ok(problems.some((line) => pattern.test(line)), `${pattern}\n${problems.join("\n")}`);
  }
});

const headers: [string, RegExp][] = [
  ["", /^f:1: header row is missing/],
  ["modid,cmdid,ip\n1,1,10.0.0.1", /^f:1: header lacks port/],
  ["modid,cmdid,ip,port,colour\n", /^f:1: header has unknown columns "colour"; known: modid/],
  ["modid,modid,cmdid,ip,port\n", /^f:1: header repeats modid/],
];

for (const [text, pattern] of headers) {
  test(`parseRouteFile() refuses the CSV header of ${JSON.stringify(text)}`, () => {
    const { nodes, problems } = parseRouteFile(text, "csv", "f");
    assert.deepEqual(nodes, []);
    assert.match(problems[0], pattern);
  });
}

test("parseRouteFile() takes columns in any order, quoted cells, a byte order mark and CRLF", () => {
  const text = '\ufeffport, IP ,cmdid,modid,zone\r\n"7777", "10.0.0.1",2,1,"ea-st"\r\n';
  const { nodes, problems } = parseRouteFile(text, "csv", "f");
  assert.deepEqual(problems, []);
  assert.deepEqual(nodes, [
    { modId: 1, cmdId: 2, ip: 167772161, port: 7777, zone: "ea-st", line: 2 },
  ]);
});

test("parseRouteFile() leaves out what a file does not say", () => {
  const { nodes } = parseRouteFile(
    "modid,cmdid,ip,port,weight,zone,state\n1,1,10.0.0.1,80,,,\n",
    "csv",
    "f",
  );
  assert.deepEqual(nodes, [{ modId: 1, cmdId: 1, ip: 167772161, port: 80, zone: "", line: 2 }]);
});

for (const text of ["", "{}", "7", "[", "]", '"[]"']) {
  test(`parseRouteFile() refuses ${JSON.stringify(text)} as JSON`, () => {
    assert.match(
      parseRouteFile(text, "json", "f").problems[0],
      /^f:1: file must hold a JSON array/,
    );
  });
}

test("parseRouteFile() reads an empty JSON array and marks empty elements", () => {
  assert.deepEqual(parseRouteFile(" [ ] ", "json", "f"), { nodes: [], problems: [] });
  assert.match(parseRouteFile("[,]", "json", "f").problems[0], /element is missing/);
});

test("parseRouteFile() names a limited number of faults and counts the rest", () => {
  const text = "modid,cmdid,ip,port\n" + "x,1,10.0.0.1,80\n".repeat(ROUTE_FILE_PROBLEMS_MAX + 5);
  const { problems } = parseRouteFile(text, "csv", "f");
  assert.equal(problems.length, ROUTE_FILE_PROBLEMS_MAX + 1);
  assert.equal(problems.at(-1), "and 5 more faults");
});

const HEAD = "modid,cmdid,ip,port,weight,zone,state";
const ROW = "91,1,10.91.0.1,80,100,eu-1,on";
const PLAIN = `${HEAD}\n${ROW}\n`;

const spreadsheets: readonly (readonly [what: string, text: string])[] = [
  ["commas", PLAIN],
  ["a mark and CRLF", `\ufeff${PLAIN}`.replaceAll("\n", "\r\n")],
  ["semicolons", PLAIN.replaceAll(",", ";")],
  ["tabs", PLAIN.replaceAll(",", "\t")],
  ["a line that says semicolons", `sep=;\n${PLAIN.replaceAll(",", ";")}`],
  ["a quoted line that says so", `"sep=;"\r\n${PLAIN.replaceAll(",", ";")}`],
  ["a line that says something rare", `sep=|\n${PLAIN.replaceAll(",", "|")}`],
  ["empty columns", `${HEAD},,\n${ROW},,\n`],
  ["rows longer than the header", `${HEAD}\n${ROW},,,\n`],
  ["empty rows", `\n,,,,,,\n${HEAD}\n,,,,,,\n${ROW}\n,,,,,,\n;;\n`.replace(";;", "")],
  [
    "quoted cells with tabs between",
    `"modid"\t"cmdid"\t"ip"\t"port"\t"zone"\n91\t1\t"10.91.0.1"\t80\t"eu-1"\n`,
  ],
  [
    "empty cells with tabs between",
    "modid\tcmdid\tip\tport\tweight\tzone\n91\t1\t10.91.0.1\t80\t\teu-1\n",
  ],
];

for (const [what, text] of spreadsheets) {
  test(`parseRouteFile() reads what spreadsheets write: ${what}`, () => {
    const { nodes, problems } = parseRouteFile(text, "csv", "s.csv");
    assert.deepEqual(problems, []);
    assert.equal(nodes.length, 1);
    const { modId, cmdId, ip, port, zone } = nodes[0];
    assert.deepEqual([modId, cmdId, ip, port, zone], [91, 1, 0x0a5b0001, 80, "eu-1"]);
  });
}

test("decodeRouteFile() reads UTF-16 by its mark, and UTF-8", () => {
  const bytesOf = (text: string, isLittle: boolean): Uint8Array => {
    const view = new DataView(new ArrayBuffer(2 * text.length));
    [...text].forEach((char, index) => view.setUint16(2 * index, char.charCodeAt(0), isLittle));
    return new Uint8Array(view.buffer);
  };
  const text = PLAIN.replaceAll(",", "\t");
  for (
    const bytes of [
      bytesOf(`\ufeff${text}`, true),
      bytesOf(`\ufeff${text}`, false),
      new TextEncoder().encode(text),
      new TextEncoder().encode(`\ufeff${text}`),
    ]
  ) {
    const { nodes, problems } = parseRouteFile(decodeRouteFile(bytes), "csv", "u.csv");
    assert.deepEqual([nodes.length, problems], [1, []]);
  }
  const unmarked = decodeRouteFile(bytesOf(text, true));
  assert.match(
    parseRouteFile(unmarked, "csv", "u.csv").problems.join(),
    /u\.csv:1: .*no text in UTF-8/,
  );
});

test("parseRouteFile() says what is wanted between cells, and names values without a column", () => {
  const bad = (text: string): string => parseRouteFile(text, "csv", "b.csv").problems.join("\n");
  assert.match(bad(PLAIN.replaceAll(",", "|")), /a comma, a semicolon or a tab between them/);
  assert.match(bad(`${HEAD}\n${ROW},note\n`), /b\.csv:2: row must have 7 cells: it has 8/);
  assert.match(bad("modid;cmdid;ip;port;x\n"), /unknown columns "x" \(read with ; between cells\)/);
});
