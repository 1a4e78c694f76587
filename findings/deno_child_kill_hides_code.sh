#!/usr/bin/env bash
# deno 2.9.6: a child that handles SIGTERM and exits with a code of its own has no code after `child.kill()`.
#
# Expected: node:child_process tells in "exit" how the child ended: a code when it exited by itself,
#   a signal when that ended it, whoever sent the signal, and by which call.
# Seen: after `child.kill("SIGTERM")` the code is null and the signal "SIGTERM" though the child trapped
#   it and exited with 7; after `process.kill(child.pid, "SIGTERM")` the code is 7. Node.js says 7 both ways.
# Why it matters: a supervisor that passes a stop on, and then ends with its child's code, loses it.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund deno@2.9.6 >/dev/null 2>&1 || { echo "deno 2.9.6 could not be installed"; exit 2; }
cat > stop.mjs <<'JS'
import { spawn } from "node:child_process";
import process from "node:process";

for (const way of ["child.kill", "process.kill"]) {
  await new Promise((resolve) => {
    const script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    const child = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.once("data", () => {
      if (way === "child.kill") child.kill("SIGTERM");
      else process.kill(child.pid, "SIGTERM");
    });
    child.on("exit", (code, signal) => {
      console.log(`${way}: code ${code}, signal ${signal}`);
      resolve();
    });
  });
}
JS
seen=$(./node_modules/.bin/deno run -A --quiet stop.mjs)
reference=$(node stop.mjs)
printf '%s\n%s\nnode %s\n%s\n' "$(./node_modules/.bin/deno --version | head -1)" "$seen" "$(node --version)" "$reference"
[[ $seen == *"child.kill: code null, signal SIGTERM"* ]] || { echo "changed: the code is told"; exit 1; }
[[ $seen == *"process.kill: code 7, signal null"* ]] || { echo "changed: by process.kill otherwise"; exit 1; }
[[ $reference == *"child.kill: code 7, signal null"* ]] || { echo "changed: node says otherwise"; exit 1; }
echo "as described"
