// Shell. Both codecs by the names of messages, for tests that compare them.

import { readFileSync } from "node:fs";
import * as codec from "../codec.ts";
import { Oracle, type OracleCodec } from "./oracle.ts";

const oracle = new Oracle(readFileSync(new URL("../lars.proto", import.meta.url), "utf8"));
const oracles = new Map<string, OracleCodec>();

/** What protobufjs makes of a message. */
export function oracleOf(name: string): OracleCodec {
  const known = oracles.get(name) ?? oracle.codec(name);
  oracles.set(name, known);
  return known;
}

/** What codec.ts makes of it. */
export function codecOf(name: string): OracleCodec {
  const functions = codec as unknown as Record<string, unknown>;
  return {
    encode: functions[`encode${name}`] as OracleCodec["encode"],
    decode: functions[`decode${name}`] as OracleCodec["decode"],
  };
}

/** Names of the messages that stand alone. */
export const MESSAGE_NAMES: readonly string[] = Object.keys(codec)
  .filter((name) => name.startsWith("decode")).map((name) => name.slice("decode".length));
