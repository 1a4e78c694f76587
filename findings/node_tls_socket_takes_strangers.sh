#!/usr/bin/env bash
# node:tls of Node.js 20 and Deno 2.9.6: a `new TLSSocket(socket, { isServer: true, requestCert: true,
# rejectUnauthorized: true })` serves whoever shows a certificate of any authority.
#
# Expected: the documentation of `rejectUnauthorized` there is "See tls.createServer()", which rejects
#   "any connection which is not authorized with the list of supplied CAs"; and `authorized` is true
#   "if the peer certificate was signed by one of the CAs specified when creating the TLSSocket".
# Seen: a certificate of a foreign authority is served, and `authorized` is false with no error for
#   the foreign one and for the right one alike. Only who shows none at all is refused. Bun rejects.
# Why it matters: whoever wraps streams of its own, as one must to slow a peer down, lets everybody
#   in. A `tls.createServer` that is given the stream (`emit("connection", stream)`) does check.
set -u
command -v openssl >/dev/null || { echo "openssl is not installed"; exit 2; }
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund deno@2.9.6 bun@1.4.5 >/dev/null 2>&1 ||
  { echo "deno 2.9.6 and bun 1.4.5 could not be installed"; exit 2; }
for ca in own foreign; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$ca" \
    -keyout $ca.key -out $ca.pem 2>/dev/null
done
pair() { # name authority
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  printf 'extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=DNS:localhost\n' > ext
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days 2 -extfile ext -out "$1.pem" 2>/dev/null
}
pair server own && pair friend own && pair stranger foreign || exit 2
cat > ask.mjs <<'JS'
import { createServer } from "node:net";
import * as tls from "node:tls";
import { readFileSync } from "node:fs";
import process from "node:process";
const read = (name) => readFileSync(name, "utf8");
const ca = read("own.pem");
const pair = (name) => ({ cert: read(`${name}.pem`), key: read(`${name}.key`) });
const options = { isServer: true, requestCert: true, rejectUnauthorized: true };
const secureContext = tls.createSecureContext({ ca, ...pair("server") });
const bare = createServer((socket) => {
  const secured = new tls.TLSSocket(socket, { ...options, secureContext });
  secured.on("error", () => {}).on("data", () => secured.end(`served, authorized ${secured.authorized}`));
});
const checked = tls.createServer({ ca, ...pair("server"), ...options }, (socket) => {
  socket.on("error", () => {}).on("data", () => socket.end(`served, authorized ${socket.authorized}`));
});
checked.on("tlsClientError", () => {});
const given = createServer((socket) => checked.emit("connection", socket));
for (const [name, server] of [["TLSSocket", bare], ["createServer", given]]) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  for (const who of ["friend", "stranger"]) {
    const answer = await new Promise((resolve) => {
      let text = "";
      const { port } = server.address();
      const socket = tls.connect({ host: "127.0.0.1", port, ca, servername: "localhost", ...pair(who) });
      socket.on("secureConnect", () => socket.write("hello")).on("error", () => {});
      socket.on("data", (bytes) => (text += bytes)).on("close", () => resolve(text || "refused"));
    });
    console.log(`${name}: ${who} -> ${answer}`);
  }
}
process.exit(0);
JS
taken="TLSSocket: stranger -> served, authorized false"
for runtime in "node" "./node_modules/.bin/deno run -A --quiet" "./node_modules/.bin/bun"; do
  seen=$($runtime ask.mjs 2>&1)
  printf '%s\n%s\n' "$($runtime --version 2>/dev/null | head -1 || true)" "$seen"
  [[ $seen == *"createServer: stranger -> refused"* && $seen == *"createServer: friend -> served, authorized true"* ]] ||
    { echo "changed: a server of node:tls does not tell them apart"; exit 1; }
  case $runtime in
    *bun) [[ $seen == *"TLSSocket: stranger -> refused"* ]] || { echo "changed: bun serves it too"; exit 1; } ;;
    *) [[ $seen == *"$taken"* ]] || { echo "changed: the stranger is not served"; exit 1; } ;;
  esac
done
echo "as described"
