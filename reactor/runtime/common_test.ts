import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionFault } from "./common.ts";

/** An error as one of the runtimes makes it. */
const coded = (message: string, code: string): Error => Object.assign(new Error(message), { code });

test("connectionFault(): the same words for what each runtime and library says in its own", () => {
  const cases: readonly (readonly [error: unknown, words: string])[] = [
    [coded("connect ECONNREFUSED 127.0.0.1:1", "ECONNREFUSED"), "connection refused"],
    [coded("Connection refused (os error 111)", "ECONNREFUSED"), "connection refused"],
    [coded("read ECONNRESET", "ECONNRESET"), "peer reset the connection"],
    [coded("getaddrinfo ENOTFOUND x", "ENOTFOUND"), "no address is known for that name"],
    [coded("getaddrinfo EAI_AGAIN x", "EAI_AGAIN"), "no name server answers for that name"],
    [
      new Error("failed to lookup address information: Name or service not known"),
      "no address is known for that name",
    ],
    [coded("something new", "ENEW"), "something new"],
    ["a text", "a text"],
  ];
  for (const [error, words] of cases) assert.equal(connectionFault(error), words);
});
