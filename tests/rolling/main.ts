// Shell. The whole run: deno run -A tests/rolling/main.ts [NODES] [RATE] [KILL_EVERY]

import process from "node:process";
import { rollingRestart, rollingText } from "./rolling_restart.ts";

const [nodes = 100, rate = 667, killEvery = 25] = process.argv.slice(2).map(Number);
const result = await rollingRestart({
  ...{ nodes, rate, killEvery },
  say: (text) => void process.stderr.write(`${text}\n`),
});
process.stdout.write(rollingText(result));
process.exit(Object.values(result.calls).some(({ failed }) => failed > 0) ? 1 : 0);
