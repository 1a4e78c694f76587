// Shell. A throwaway MariaDB as a program, for benchmarks: `NAME... -- OPTION...` makes databases of
// these names in a server with these options. It ends, and removes its files, with this process.

import { runtime } from "../../reactor/runtime/mod.ts";
import { runAdmin, startMariaDb } from "./mariadb.ts";

const split = runtime.args.indexOf("--");
const names = split < 0 ? runtime.args : runtime.args.slice(0, split);
const server = await startMariaDb(split < 0 ? [] : runtime.args.slice(split + 1));
for (const name of names) {
  await runAdmin(server.url, `CREATE DATABASE \`${name}\` DEFAULT CHARACTER SET utf8mb4`);
}
const addresses = [`127.0.0.1:${server.port}`];
runtime.writeStdout(JSON.stringify({ event: "ready", addresses }) + "\n");
// Keeps the process alive.
setInterval(() => undefined, 60_000);
