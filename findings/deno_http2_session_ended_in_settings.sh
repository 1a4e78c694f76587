#!/usr/bin/env bash
# deno 2.9.6: ending an HTTP/2 session within its event "remoteSettings" ends the process: SIGSEGV.
#
# Expected: by the documentation of node:http2 `close()` and `destroy()` of a session may be called at
#   any time; Node.js emits "close" and goes on.
# Seen: Deno is killed by signal 11, for either call, with a server of its own and without a request.
#   A call made later, by setImmediate, ends the session as it should.
# Why it matters: no `try` and no handler stands between that and the whole process.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1 || { echo "deno 2.9.6 could not be installed"; exit 2; }
cat > end.mjs <<'JS'
import http2 from "node:http2";
import process from "node:process";

const [way, when] = process.argv.slice(2);
const server = http2.createServer();
server.listen(0, "127.0.0.1", () => {
  const session = http2.connect(`http://127.0.0.1:${server.address().port}`);
  session.on("error", () => {});
  session.on("remoteSettings", () => {
    if (when === "now") session[way]();
    else setImmediate(() => session[way]());
  });
  session.on("close", () => setTimeout(() => process.exit(0), 100));
});
JS
codes() {
  for way in close destroy; do
    for when in now later; do
      "$@" end.mjs "$way" "$when" >/dev/null 2>&1
      printf '%s %s: exit %s; ' "$way" "$when" "$?"
    done
  done
}
seen=$(codes ./node_modules/.bin/deno run -A --quiet 2>/dev/null)
reference=$(codes node)
printf '%s\n%s\nnode %s\n%s\n' "$(./node_modules/.bin/deno --version | head -1)" "$seen" "$(node --version)" "$reference"
[[ $seen == "close now: exit 139; close later: exit 0; destroy now: exit 139; destroy later: exit 0; " ]] ||
  { echo "changed: deno ends otherwise"; exit 1; }
[[ $reference == "close now: exit 0; close later: exit 0; destroy now: exit 0; destroy later: exit 0; " ]] ||
  { echo "changed: node ends otherwise"; exit 1; }
echo "as described"
