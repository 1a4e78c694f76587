#!/usr/bin/env bash
# bun 1.4.5: a `dns.Resolver` keeps an answer without records far longer than its SOA says.
#
# Expected: by RFC 2308 "there is no such record" may be kept for as long as the least of the TTL and
#   the MINIMUM of the SOA that comes with it, here 1 s; Node.js asks again with each call.
# Seen: after one such answer the resolver says ENOTFOUND without a further question, for as long as was
#   looked (86 s); a resolver made anew asks. Answers with records are kept for their TTL only.
# Why it matters: a name that gets its first node later is not found by a program that asked too soon.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund bun@1.4.5 >/dev/null 2>&1 || { echo "bun 1.4.5 could not be installed"; exit 2; }
cat > ask.mjs <<'JS'
import dgram from "node:dgram";
import dns from "node:dns";

let questions = 0;
let hasRecord = false;
// Name servers answer with the question, and with an A record or the SOA of the zone.
const server = dgram.createSocket("udp4");
server.on("message", (asked, from) => {
  questions++;
  let end = 12;
  while (asked[end] !== 0) end += asked[end] + 1;
  end += 5;
  const head = Buffer.from(asked.subarray(0, 12));
  head.fill(0, 4);
  head[2] = 0x85;
  head[3] = 0;
  head[5] = 1;
  head[hasRecord ? 7 : 9] = 1;
  const a = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1];
  const times = [0, 0, 0, 1, 0, 0, 0, 60, 0, 0, 0, 10, 0, 0, 2, 88, 0, 0, 0, 1];
  const soa = [0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 1, 0, 24, 0xc0, 12, 0xc0, 12, ...times];
  const answer = Buffer.concat([head, asked.subarray(12, end), Buffer.from(hasRecord ? a : soa)]);
  server.send(answer, from.port, from.address);
});
await new Promise((resolve) => server.bind(0, "127.0.0.1", resolve));
const resolverOf = () => {
  const resolver = new dns.promises.Resolver({ timeout: 1000, tries: 1 });
  resolver.setServers([`127.0.0.1:${server.address().port}`]);
  return resolver;
};
const ask = (resolver) =>
  resolver.resolve4("late.example").then((found) => found.join(), (error) => error.code);
const old = resolverOf();
const first = await ask(old);
hasRecord = true;
await new Promise((resolve) => setTimeout(resolve, 5000));
const later = await ask(old);
const asked = questions;
console.log(`first ${first}; after 5 s ${later}, ${asked} questions; new ${await ask(resolverOf())}`);
process.exit(0);
JS
seen=$(./node_modules/.bin/bun ask.mjs)
reference=$(node ask.mjs)
printf 'bun %s\n%s\nnode %s\n%s\n' "$(./node_modules/.bin/bun --version)" "$seen" "$(node --version)" "$reference"
[[ $seen == "first ENOTFOUND; after 5 s ENOTFOUND, 1 questions; new 127.0.0.1" ]] || { echo "changed: bun asks again"; exit 1; }
[[ $reference == "first ENODATA; after 5 s 127.0.0.1, 2 questions; new 127.0.0.1" ]] || { echo "changed: node says otherwise"; exit 1; }
echo "as described"
