// Shell. The server of the QPS pair: it decodes an EchoMessage and sends it back encoded anew.
//
//   deno run -A reactor/examples/qps_server.ts         bun reactor/examples/qps_server.ts
//
// With --fast 1 it takes its connections through FFI, on Linux.

import { runtime } from "../mod.ts";
import { readExampleOptions } from "./example_options.ts";
import { print, runExample } from "./example_program.ts";
import { serveQps } from "./qps_pair.ts";

await runExample(async () => {
  const { port, seconds, fast } = readExampleOptions(runtime.args);
  await serveQps({ hostname: "127.0.0.1", port, seconds, fast: fast === 1, print });
});
