#!/usr/bin/env bash
# deno 2.9.6: a socket given to `http.Server` by `emit("connection", socket)` is closed after one answer.
#
# Expected: Node.js documents this way to hand sockets to an HTTP server (event "connection"), and a
#   client that keeps its connection alive sends the next request over it, as with `listen`.
# Seen: the answer says "connection: keep-alive", then the connection ends: three requests of one
#   keep-alive agent take three connections. With `listen` they take one, and Node.js takes one both ways.
# Why it matters: a limiter of connections in front of an HTTP server makes each request a new connection.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1 || { echo "deno 2.9.6 could not be installed"; exit 2; }
cat > ask.mjs <<'JS'
import http from "node:http";
import net from "node:net";
import process from "node:process";

const server = http.createServer((_request, response) => response.end("ok"));
const listener = process.argv[2] === "listen"
  ? server
  : net.createServer((socket) => server.emit("connection", socket));
listener.listen(0, "127.0.0.1", async () => {
  const { port } = listener.address();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const used = new Set();
  for (let request = 0; request < 3; request++) {
    await new Promise((resolve, reject) => {
      http.get({ host: "127.0.0.1", port, agent }, (response) => {
        used.add(response.socket.localPort);
        response.resume().on("end", resolve);
      }).on("error", reject);
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  console.log(used.size);
  process.exit();
});
JS
deno="./node_modules/.bin/deno run -A --quiet"
handed=$($deno ask.mjs handed) listened=$($deno ask.mjs listen)
node_handed=$(node ask.mjs handed)
echo "connections for 3 requests: deno 2.9.6 handed over $handed, listen $listened; node $(node --version) handed over $node_handed"
[[ $handed == 3 && $listened == 1 && $node_handed == 1 ]] || { echo "changed"; exit 1; }
echo "as described"
