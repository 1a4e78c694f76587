// Shell. `deno task cpp`: joins the C client and its C++ front into the one header of api/cpp.

import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { joinCppHeader } from "./cpp_header.ts";
import { ROOT } from "./sources.ts";

/** Where the header is, from the root. */
const HEADER_PATH = "api/cpp/lars.hpp";

function read(path: string): string {
  return readFileSync(`${ROOT}/${path}`, "utf8");
}

const joined = joinCppHeader(read);
if (process.argv.includes("--check")) {
  if (joined !== read(HEADER_PATH)) {
    process.stderr.write(`${HEADER_PATH} is stale: run deno task cpp\n`);
    process.exitCode = 1;
  }
} else {
  writeFileSync(`${ROOT}/${HEADER_PATH}`, joined);
}
