// Shell. Makes proto/codec.ts from proto/lars.proto; `--check` only compares.

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { codecText } from "../proto/generate/codec_text.ts";
import { readSchema } from "../proto/generate/schema.ts";

const SOURCE = new URL("../proto/lars.proto", import.meta.url);
const CODEC = new URL("../proto/codec.ts", import.meta.url);

/** Exit code: 0 when the file is (now) right, 1 when `--check` found it stale. */
function main(args: string[]): number {
  const unknown = args.find((arg) => arg !== "--check");
  if (unknown !== undefined) {
    console.error(`Unknown argument ${unknown}\nUsage: generate_proto.ts [--check]`);
    return 2;
  }
  const text = codecText(readSchema(readFileSync(SOURCE, "utf8")));
  if (!args.includes("--check")) {
    writeFileSync(CODEC, text);
    console.log("proto/codec.ts written");
    return 0;
  }
  if (readFileSync(CODEC, "utf8") === text) return 0;
  console.error("proto/codec.ts does not match proto/lars.proto: run `deno task proto`");
  return 1;
}

if (import.meta.main) {
  try {
    process.exitCode = main(process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
