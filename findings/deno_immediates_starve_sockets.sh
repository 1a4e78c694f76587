#!/usr/bin/env bash
# deno 2.9.6, node:timers/promises: work that waits by `await setImmediate()` between its pieces keeps the
# sockets of the process from being read, for as long as it goes on.
#
# Expected: as in Node.js, immediates run in one phase of the event loop, and sockets are polled in the next:
#   a server answers between two pieces of 50 ms.
# Seen: a server of the same process answers nothing for seconds, while timers run. With a timer of 0 ms in
#   place of the immediate each request is answered after a piece or two.
#   With pieces of 1 ms an answer takes some 64 ms, as if sockets were looked at after 61 pieces of work,
#   which is the interval of the event loop beneath (tokio).
# Why it matters: who yields in this way lets others run in Node.js and Bun, and nobody in Deno.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1 || { echo "deno 2.9.6 could not be installed"; exit 2; }
cat > starve.ts <<'TS'
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { setImmediate, setTimeout } from "node:timers/promises";
const echoes = async (turn: () => Promise<unknown>): Promise<number> => {
  const server = createServer((socket) => void socket.on("error", () => {}).pipe(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  let count = 0;
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1", () => client.write("x"));
  client.on("error", () => {}).on("data", () => (count++, client.write("x")));
  for (let piece = 0; piece < 40; piece++) {
    const endMs = performance.now() + 50;
    while (performance.now() < endMs);
    await turn();
  }
  const heard = count;
  client.destroy();
  server.close();
  return heard;
};
const [immediate, timer] = [await echoes(() => setImmediate()), await echoes(() => setTimeout(0))];
console.log(`immediate=${immediate} timer=${timer}`);
TS
deno() { ./node_modules/.bin/deno "$@"; }
seen=$(DENO_NO_UPDATE_CHECK=1 deno run --quiet --allow-all starve.ts) || { echo "$seen"; exit 2; }
printf 'deno %s\n%s\n' "$(deno --version | head -1)" "$seen"
immediate=$(sed 's/immediate=\([0-9]*\).*/\1/' <<<"$seen")
timer=$(sed 's/.*timer=\([0-9]*\)/\1/' <<<"$seen")
[[ $timer -ge 3 ]] || { echo "not tried: the machine is too slow"; exit 2; }
[[ $immediate -eq 0 ]] || { echo "changed: sockets have their turn"; exit 1; }
echo "as described"
