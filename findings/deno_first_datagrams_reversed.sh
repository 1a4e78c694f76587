#!/usr/bin/env bash
# deno 2.9.6: datagrams that a new UDP socket is given at once leave in the reverse order.
#
# Expected: node:dgram hands datagrams to the kernel in the order of the calls of `send`. UDP may lose or
#   turn round what is on its way, but on loopback nothing does.
# Seen: of eight sent in one turn by a socket that has sent nothing before, the last one arrives first and
#   the first one last; later ones of the same socket are in order. Node.js keeps the order each time.
# Why it matters: a protocol that numbers its datagrams takes the early ones for repetitions, or old.
#   Seen here as outcomes of calls that an agent passed over.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1 || { echo "deno 2.9.6 could not be installed"; exit 2; }
cat > order.mjs <<'JS'
import { createSocket } from "node:dgram";
import process from "node:process";

const receiver = createSocket("udp4");
const sender = createSocket("udp4");
for (const socket of [receiver, sender]) {
  await new Promise((resolve) => socket.bind(0, "127.0.0.1", resolve));
}
const { port } = receiver.address();
for (const burst of ["first", "second"]) {
  const came = [];
  const all = new Promise((resolve) => {
    receiver.on("message", (bytes) => {
      if (came.push(bytes[0]) === 8) resolve();
    });
  });
  for (let number = 1; number <= 8; number++) {
    sender.send(Uint8Array.of(number), port, "127.0.0.1", () => {});
  }
  await all;
  receiver.removeAllListeners("message");
  console.log(`${burst} burst: ${came.join(" ")}`);
}
process.exit(0);
JS
seen=$(timeout 20 ./node_modules/.bin/deno run -A --quiet order.mjs)
reference=$(timeout 20 node order.mjs)
printf '%s\n%s\nnode %s\n%s\n' "$(./node_modules/.bin/deno --version | head -1)" "$seen" "$(node --version)" "$reference"
[[ $seen == *"first burst: 8 7 6 5 4 3 2 1"* ]] || { echo "changed: the first burst is in another order"; exit 1; }
[[ $seen == *"second burst: 1 2 3 4 5 6 7 8"* ]] || { echo "changed: the second burst is not in order"; exit 1; }
[[ $reference == *"first burst: 1 2 3 4 5 6 7 8"* ]] || { echo "changed: node turns the order round as well"; exit 1; }
echo "as described"
