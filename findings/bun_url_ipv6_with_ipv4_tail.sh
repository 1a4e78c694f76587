#!/usr/bin/env bash
# bun 1.4.5: `new URL` refuses valid IPv6 hosts that have pieces on both sides of `::` and end as IPv4.
#
# Expected: by the URL Standard (IPv6 parser) "[1::2:3:4:10.0.0.1]" is 1::2:3:4:a00:1, six pieces
#   and the dotted two, with `::` for one; Node.js and Deno read it so.
# Seen: TypeError "Invalid URL". The same tail without pieces in front of `::`, or without `::`, is read.
# Why it matters: an address that an operator writes this way is valid in one runtime only.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund bun@1.4.5 >/dev/null 2>&1 || { echo "bun 1.4.5 could not be installed"; exit 2; }
cat > read.mjs <<'JS'
const told = (text) => {
  try {
    return new URL(`http://[${text}]/`).hostname;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
for (const text of ["1::2:3:4:10.0.0.1", "::1:10.0.0.1", "1:2:3:4:5:6:10.0.0.1"]) {
  console.log(`${text} -> ${told(text)}`);
}
JS
seen=$(./node_modules/.bin/bun read.mjs)
reference=$(node read.mjs)
printf 'bun %s\n%s\nnode %s\n%s\n' "$(./node_modules/.bin/bun --version)" "$seen" "$(node --version)" "$reference"
[[ $seen == *"1::2:3:4:10.0.0.1 -> TypeError"* ]] || { echo "changed: bun reads the address"; exit 1; }
[[ $seen == *"::1:10.0.0.1 -> [::1:a00:1]"* && $seen == *"1:2:3:4:5:6:10.0.0.1 -> [1:2:3:4:5:6:a00:1]"* ]] ||
  { echo "changed: the other forms are read otherwise"; exit 1; }
[[ $reference == *"1::2:3:4:10.0.0.1 -> [1::2:3:4:a00:1]"* ]] || { echo "changed: node refuses it too"; exit 1; }
echo "as described"
