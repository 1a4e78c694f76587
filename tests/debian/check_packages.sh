#!/bin/bash
# Installs the Debian packages of a folder over a copy of this machine's files, uses them, upgrades the
# agent while it is asked, and purges them. Nothing of the machine changes: files are an overlay, ports
# are in a network of their own. Wants root.
#
# usage: unshare --mount --net --pid --fork check_packages.sh FOLDER NEWER
#        NEWER has the agent's package of a later version
set -euo pipefail
folder=$1 newer=$2
fail() { echo "FAILED: $*" >&2; exit 1; }

base=$(mktemp -d)
mount -t tmpfs tmpfs "$base"
mkdir "$base"/{upper,work,root,debs}
cp "$folder"/*.deb "$base/debs/"
mkdir "$base/debs/newer" && cp "$newer"/lars-agent_*.deb "$base/debs/newer/"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
mount -t proc proc "$base/root/proc"
mount --rbind /dev "$base/root/dev"
mount -t tmpfs tmpfs "$base/root/dev/shm"
mount -t tmpfs tmpfs "$base/root/run"
mkdir -p "$base/root/debs" && mount --bind "$base/debs" "$base/root/debs"
ip link set lo up

cat > "$base/root/inside.sh" <<'INSIDE'
set -euo pipefail
fail() { echo "FAILED: $*" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8
cd /debs && apt-get install -y -qq ./*.deb >/tmp/install.log 2>&1 || { cat /tmp/install.log; fail install; }
for name in lars lars-agent lars-server liblarsclient-dev; do
  dpkg -s "$name" | grep -q "^Status: install ok installed" || fail "$name is not installed"
done
echo "installed $(lars --version)"

if command -v systemd-analyze >/dev/null; then
  systemd-analyze verify --man=no /usr/lib/systemd/system/lars-*.s* 2>/tmp/verify.log || true
  grep lars- /tmp/verify.log && fail "systemd does not like the units"
fi
if command -v man >/dev/null; then
  for page in /usr/share/man/man[18]/lars*.gz; do
    [ -z "$(man -l --warnings=w "$page" 2>&1 >/dev/null)" ] || fail "$page: $(man -l --warnings=w "$page" 2>&1 >/dev/null | head -3)"
  done
fi

# As the units start them, without systemd.
mkdir -p /var/lib/lars /var/lib/lars-agent
pids=()
for name in web dns reporter; do   # the console makes the tables of the embedded database
  "lars-$name" -c /etc/lars/lars.conf >"/tmp/$name.log" 2>&1 & pids+=($!)
  for _ in $(seq 100); do grep -qs "^$name ready" "/tmp/$name.log" && break; sleep 0.1; done
  grep -q "^$name ready" "/tmp/$name.log" || { cat "/tmp/$name.log"; fail "$name is not ready"; }
done
lars route add 1 1 127.0.0.1:9001 --store sqlite:/var/lib/lars/lars.db >/dev/null
agent() { lars-agent -c /etc/lars/agent.conf --agent-cache-dir /var/lib/lars-agent "$@"; }
agent >/tmp/agent.log 2>&1 & first=$!
for _ in $(seq 100); do lars test gethost 1 1 --strict >/dev/null 2>&1 && break; sleep 0.1; done
lars test gethost 1 1 --strict | grep -q "host is 127.0.0.1:9001" || fail "the agent has no node"
[ "$(stat -c %G /dev/shm/lars-agent-8888.table)" = lars-callers ] || fail "the table's group"
echo "answers get_host, its table belongs to lars-callers"

# A caller of the original, against the library of the package.
printf '#include "lars_api.h"\nint main() { lars_client c; std::string ip; int port = 0; return c.get_host(1, 1, ip, port); }\n' > /tmp/old.cpp
c++ /tmp/old.cpp -llarsclient -pthread -o /tmp/old && /tmp/old || fail "a caller of the original"
echo "a caller of the original compiles and gets a node"

# The upgrade: callers ask all the while.
touch /tmp/asking
( asked=0 failed=0
  while [ -e /tmp/asking ]; do
    asked=$((asked + 1)); lars test gethost 1 1 --strict >/dev/null 2>&1 || failed=$((failed + 1))
  done
  echo "$asked $failed" > /tmp/asked ) & asking=$!
sed -i 's/^;table_feed = 1/table_feed = 1/' /etc/lars/agent.conf   # an operator's edit of a conffile
apt-get install -y -qq ./newer/lars-agent_*.deb >/tmp/upgrade.log 2>&1 || { cat /tmp/upgrade.log; fail upgrade; }
agent --agent-take-over 1 >/tmp/second.log 2>&1 & second=$!
wait $first || fail "the first agent ended badly: $(cat /tmp/agent.log)"
sleep 1
rm /tmp/asking; wait $asking
read -r asked failed < /tmp/asked
[ "$failed" = 0 ] && [ "$asked" -gt 5 ] || fail "of $asked calls $failed failed during the upgrade"
grep -q "^table_feed = 1" /etc/lars/agent.conf || fail "the upgrade wrote over an edited configuration"
echo "upgraded to $(dpkg-query -f '${Version}' -W lars-agent), $asked calls, none failed"

kill "$second" "${pids[@]}"; wait
apt-get purge -y -qq lars-agent lars-server lars liblarsclient-dev >/tmp/purge.log 2>&1 || { cat /tmp/purge.log; fail purge; }
for path in /etc/lars /var/lib/lars /var/lib/lars-agent /usr/bin/lars /usr/include/lars.h; do
  [ ! -e "$path" ] || fail "$path is left: $(ls -R "$path")"
done
echo "purged"
INSIDE
chroot "$base/root" /bin/bash /inside.sh
