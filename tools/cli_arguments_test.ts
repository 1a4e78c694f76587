import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNodeAddress, parsePeer, parseStoredNodeAddress } from "./cli_arguments.ts";
import {
  parseCmdId,
  parseModId,
  parseState,
  parseWeight,
  parseZone,
} from "../model/route_values.ts";

const good: [string, () => unknown, unknown][] = [
  ["modId 0", () => parseModId("0"), 0],
  ["modId max", () => parseModId("4294967295"), 4294967295],
  ["cmdId 7", () => parseCmdId("7"), 7],
  ["node", () => parseNodeAddress("192.168.1.177:7777"), { ip: 3232235953, port: 7777 }],
  ["node max", () => parseNodeAddress("255.255.255.255:65535"), { ip: 4294967295, port: 65535 }],
  ["stored bad port", () => parseStoredNodeAddress("10.0.0.1:70000"), {
    ip: 167772161,
    port: 70000,
  }],
  ["stored zero port", () => parseStoredNodeAddress("0.0.0.0:0"), { ip: 0, port: 0 }],
  ["weight 0", () => parseWeight("0"), 0],
  ["weight max", () => parseWeight("10000"), 10000],
  ["zone", () => parseZone("east-1.a_b"), "east-1.a_b"],
  ["no zone", () => parseZone(""), ""],
  ["state", () => parseState("drain"), "drain"],
  ["peer", () => parsePeer("h:1", 9), { hostname: "h", port: 1 }],
  ["peer default", () => parsePeer("h", 9), { hostname: "h", port: 9 }],
];

for (const [name, parse, expected] of good) {
  test(`cli arguments: reads ${name}`, () => assert.deepEqual(parse(), expected));
}

const bad: [string, () => unknown, RegExp][] = [
  ["negative modId", () => parseModId("-1"), /MODID must be a whole number from 0 to 4294967295/],
  ["too large modId", () => parseModId("4294967296"), /current value is "4294967296"/],
  ["text for cmdId", () => parseCmdId("one"), /CMDID must be/],
  ["hexadecimal", () => parseModId("0x10"), /MODID must be/],
  ["exponent", () => parseModId("1e3"), /MODID must be/],
  ["nothing", () => parseModId(""), /MODID must be/],
  ["node without port", () => parseNodeAddress("10.0.0.1"), /must look like 10\.0\.0\.1:7777/],
  ["node with name", () => parseNodeAddress("localhost:1"), /IPv4 address must look like/],
  ["node with short ip", () => parseNodeAddress("10.0.1:1"), /IPv4 address/],
  ["node with port 0", () => parseNodeAddress("10.0.0.1:0"), /Port must be .* from 1 to 65535/],
  ["node with port 70000", () => parseNodeAddress("10.0.0.1:70000"), /Port must be/],
  ["node 0.0.0.0", () => parseNodeAddress("0.0.0.0:1"), /must name a machine/],
  ["node with spaces", () => parseNodeAddress("10.0.0.1: 1"), /Port must be/],
  ["weight 10001", () => parseWeight("10001"), /Weight must be .* 0 to 10000/],
  ["zone with comma", () => parseZone("a,b"), /Zone must be/],
  ["zone like a formula", () => parseZone("=1+1"), /Zone must be/],
  ["long zone", () => parseZone("z".repeat(65)), /up to 64/],
  ["state", () => parseState("onn"), /one of on, drain, off/],
  ["peer port 0", () => parsePeer("h:0", 9), /from 1 to 65535/],
];

for (const [name, parse, message] of bad) {
  test(`cli arguments: refuses ${name}`, () => {
    assert.throws(parse, (error) => error instanceof RangeError && message.test(error.message));
  });
}
