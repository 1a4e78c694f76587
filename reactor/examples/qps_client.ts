// Shell. The client of the QPS pair: prints how many echoes come back in each second.
//
//   deno run -A reactor/examples/qps_client.ts --connections 10 --seconds 10
//
// `--window 8` keeps eight requests of each connection under way; 1 is what the original does.

import { runtime } from "../mod.ts";
import { readExampleOptions } from "./example_options.ts";
import { print, runExample, untilOver } from "./example_program.ts";
import { measureQps } from "./qps_pair.ts";

await runExample(async () => {
  const { port, connections, window, seconds } = readExampleOptions(runtime.args, { seconds: 10 });
  const server = { hostname: "127.0.0.1", port };
  const total = await measureQps({ server, connections, window, over: untilOver(seconds), print });
  if (total === 0) throw new Error("No echo came back");
});
