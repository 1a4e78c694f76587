// deno-lint-ignore-file explicit-function-return-type no-process-global
// For tests, run by Node, Deno or Bun: asks a name server for addresses and services. Commands are
// lines on standard input: TYPE NAME; answers are lines of JSON, a code when there is no answer.

import dns from "node:dns";
import { createInterface } from "node:readline";

const [server, port] = process.argv[2].split(":");
const own = globalThis.Deno;

async function ask(type, name) {
  // Each a new one: Bun's keeps "there is none" far longer than the answer says.
  const resolver = new dns.promises.Resolver({ timeout: 2000, tries: 2 });
  resolver.setServers([`${server}:${port}`]);
  if (type === "SRV") {
    const found = await resolver.resolveSrv(name);
    return found.map(({ name, port, weight }) => `${name}:${port} ${weight}`);
  }
  if (type === "native" && own !== undefined) {
    return await own.resolveDns(name, "A", {
      nameServer: { ipAddr: server, port: Number(port) },
    });
  }
  return await resolver.resolve4(name);
}

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [type, name] = line.split(" ");
  let answer;
  try {
    answer = (await ask(type, name)).sort();
  } catch (error) {
    answer = [error.code ?? error.name];
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}).on("close", () => process.exit(0));
