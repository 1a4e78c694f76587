import assert from "node:assert/strict";
import { test } from "node:test";
import { missingRightOf } from "./grants.ts";

const CASES: readonly (readonly [string, unknown])[] = [
  [
    "SELECT command denied to user 'lars_web'@'10.0.0.1' for table `lars_dns`.`Event`",
    { rights: "SELECT", table: "Event", services: ["reporter", "web", "discovery"] },
  ],
  [
    "INSERT, UPDATE command denied to user 'x'@'%' for table 'leaseseq'",
    { rights: "INSERT, UPDATE", table: "leaseseq", services: ["discovery"] },
  ],
  [
    "Could not edit in mysql://h/d: DELETE command denied to user 'x'@'%' for table 'RelayMail'",
    { rights: "DELETE", table: "RelayMail", services: ["relay"] },
  ],
  [
    "SELECT command denied to user 'x'@'%' for column 'zone' in table 'RouteData'",
    { rights: "SELECT", table: "RouteData", services: ["dns", "web", "discovery"] },
  ],
  [
    "UPDATE command denied to user 'a table'@'%' for table `our``s`.`Stranger`",
    { rights: "UPDATE", table: "Stranger", services: [] },
  ],
  [
    "CREATE command denied to user 'x'@'%' for table 'New'",
    { rights: "CREATE", table: "New", services: ["migrate"] },
  ],
  ["Access denied for user 'x'@'%' to database 'lars_dns'", undefined],
  ["Table 'lars_dns.Event' doesn't exist", undefined],
];

test("missingRightOf() tells which right is missing, and whose it is", () => {
  for (const [message, missing] of CASES) assert.deepEqual(missingRightOf(message), missing);
});
