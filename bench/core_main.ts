// Shell. Measures the rows that need no server, on the runtime that runs it: NAME smoke|full [TEXT...].

import { runtime } from "../reactor/runtime/mod.ts";
import { processCases } from "./core_suite.ts";
import { measure } from "./measure.ts";
import { tell } from "./program.ts";

const [subject, length, ...only] = runtime.args;
const options = length === "smoke" ? { rounds: 1, roundMs: 1 } : { rounds: 5, roundMs: 30 };
const cases = processCases().filter(({ name }) =>
  only.length === 0 || only.includes("core") ||
  only.some((text) => name.toLowerCase().includes(text.toLowerCase()))
);
const rows = cases.map((one) => measure(one, subject, options));
tell(rows);
