#!/bin/bash
# What under_systemd.sh does inside of its systemd; see there. Says each step that held, and in
# /said/result whether all did.
set -uo pipefail
export DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
end() { echo "$1" > /said/result; systemctl exit 0; exit; }
fail() {
  echo "FAILED: $*"
  systemctl --no-pager --lines=20 status 'lars-*'
  end badly
}
# until SECONDS COMMAND...: looks ten times a second.
until_holds() {
  local tries=$(($1 * 10)); shift
  for _ in $(seq "$tries"); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  return 1
}
main_pid() { systemctl show -p MainPID --value "lars-$1"; }
is_ready() { systemctl show -p StatusText --value "lars-$1" | grep -q "^$1 ready"; }
has_node() { lars test gethost "$1" 1 --strict | grep -q "host is 127.0.0.1:$2"; }
is_another() { [ "$(main_pid "$1")" != "$2" ] && [ "$(main_pid "$1")" != 0 ] && is_ready "$1"; }
store=sqlite:/var/lib/lars/lars.db

cd /packages && apt-get install -y -qq ./*.deb >/tmp/install.log 2>&1 || { cat /tmp/install.log; fail install; }
for name in web dns reporter agent; do
  until_holds 120 is_ready "$name" || fail "the installation did not bring lars-$name to be ready"
  user=$(ps -o user= -p "$(main_pid "$name")")
  [ "$user" != root ] || fail "lars-$name runs as root"
done
for name in discovery relay export; do
  [ "$(systemctl is-active "lars-$name")" = inactive ] || fail "lars-$name started without a configuration"
done
echo "installed: web, dns, reporter and agent run, as users of their own"

lars route add 1 1 127.0.0.1:9001 --store "$store" >/dev/null || fail "no route could be added"
until_holds 60 has_node 1 9001 || fail "the agent has no node"

# A caller of the original asks all the while, by datagrams on the sockets that systemd holds.
cat > /tmp/caller.cpp <<'C'
#include <unistd.h>
#include <cstdio>
#include "lars_api.h"
int main() {
  lars_client client; std::string ip; int port = 0; long asked = 0, failed = 0;
  while (access("/tmp/asking", F_OK) == 0) {
    asked++; failed += client.get_host(1, 1, ip, port) != 0; usleep(2000);
  }
  std::printf("%ld %ld\n", asked, failed);
}
C
c++ /tmp/caller.cpp -llarsclient -pthread -o /tmp/caller || fail "a caller of the original does not compile"
# It waits long, as those of the original do, which wait without end.
ask() { touch /tmp/asking; LARS_AGENT_DEADLINE_MS=60000 /tmp/caller > /tmp/asked & caller=$!; }
answered() {
  rm /tmp/asking; wait "$caller"
  read -r asked failed < /tmp/asked
  [ "$failed" = 0 ] && [ "$asked" -gt 20 ] || fail "$1: of $asked calls $failed failed"
}

# Else a new agent knows no module until it has asked dns, and says so to callers.
until_holds 60 test -s /var/lib/lars-agent/routes.cache || fail "the agent keeps no routes"
ask; before=$(main_pid agent); kill -9 "$before"
until_holds 60 is_another agent "$before" || fail "a killed agent is not started again"
until_holds 60 has_node 1 9001 || fail "the agent has no node after it was killed"
answered "agent killed"
echo "agent killed: started again, $asked calls, none failed"

for _ in 1 2 3 4 5 6 7 8; do
  before=$(main_pid agent); kill -9 "$before"
  until_holds 60 is_another agent "$before" || fail "an agent that was killed again and again stays away"
done
echo "agent killed 8 times in a row: started again each time"

mkdir -p /etc/systemd/system/lars-dns.service.d
printf '[Service]\nWatchdogSec=2\n' > /etc/systemd/system/lars-dns.service.d/watchdog.conf
systemctl daemon-reload && systemctl restart lars-dns
until_holds 60 is_ready dns || fail "dns does not come back"
before=$(main_pid dns); kill -STOP "$before"
until_holds 60 is_another dns "$before" || fail "a dns that hangs is not started again"
echo "dns hung: the watchdog started it again"

ask
sed -i 's/^;table_feed = 1/table_feed = 1/' /etc/lars/agent.conf   # an operator's edit of a conffile
before=$(main_pid agent)
apt-get install -y -qq ./newer/lars-agent_*.deb >/tmp/upgrade.log 2>&1 || { cat /tmp/upgrade.log; fail upgrade; }
until_holds 60 is_another agent "$before" || fail "the upgrade did not bring a new agent"
until_holds 60 has_node 1 9001 || fail "the agent has no node after the upgrade"
answered upgrade
grep -q "^table_feed = 1" /etc/lars/agent.conf || fail "the upgrade wrote over an edited configuration"
echo "upgraded to $(dpkg-query -f '${Version}' -W lars-agent): $asked calls, none failed"

# A secret and the URL of the database that only root can read, as deploy/README.md hands them over.
for one in secret store.url; do install -m 600 /dev/null "/etc/lars/$one"; done
echo "a secret of at least sixteen bytes" > /etc/lars/secret
echo "$store" > /etc/lars/store.url
for name in dns reporter web agent; do
  mkdir -p "/etc/systemd/system/lars-$name.service.d"
  lines='[Service]\nLoadCredential=secret:/etc/lars/secret\nEnvironment=LARS_AUTH_TOKEN_FILE=%%d/secret\n'
  [ "$name" = agent ] || lines+='LoadCredential=store.url:/etc/lars/store.url\nEnvironment=LARS_STORE_URL=@%%d/store.url\n'
  printf "$lines" > "/etc/systemd/system/lars-$name.service.d/secret.conf"
done
systemctl daemon-reload && systemctl restart lars-dns lars-reporter lars-web lars-agent
for name in dns reporter web agent; do until_holds 60 is_ready "$name" || fail "lars-$name with a secret"; done
export LARS_AUTH_TOKEN_FILE=/etc/lars/secret
lars route add 2 1 127.0.0.1:9002 --store "$store" >/dev/null || fail "no second route could be added"
until_holds 60 has_node 2 9002 || fail "the agent gets no route by the secret"
for name in secret store.url; do
  [ "$(stat -c %U:%a "/etc/lars/$name")" = root:600 ] || fail "/etc/lars/$name is not root's alone any more"
done
before=$(main_pid dns)
echo "another secret of at least sixteen bytes" > /etc/lars/secret
systemctl restart lars-dns
until_holds 60 is_another dns "$before" || fail "lars-dns with another secret"
knows_no_peer() { systemctl is-active -q lars-agent && ! lars health agent; }
until_holds 60 knows_no_peer || fail "an agent with the old secret takes a dns with another one"
systemctl restart lars-reporter lars-web lars-agent
until_holds 60 lars health dns reporter web agent || fail "not all are ready with the new secret"
echo "a secret and a database's URL as credentials: dns and agent prove it to each other"

mkdir -p /etc/systemd/system/lars-reporter.service.d
printf '[Service]\nEnvironment=LARS_REACTOR_PORT=none\n' \
  > /etc/systemd/system/lars-reporter.service.d/wrong.conf
systemctl daemon-reload
systemctl restart lars-reporter 2>/dev/null
until_holds 30 sh -c '[ "$(systemctl show -p ActiveState --value lars-reporter)" = failed ]' \
  || fail "a wrong configuration is tried again and again"
echo "a wrong configuration is not tried again"

apt-get purge -y -qq lars-agent lars-server lars liblarsclient-dev >/tmp/purge.log 2>&1 || { cat /tmp/purge.log; fail purge; }
rm -rf /etc/systemd/system/lars-*.service.d
for path in /etc/lars/lars.conf /var/lib/lars /var/lib/private/lars /var/lib/lars-agent /usr/bin/lars; do
  [ ! -e "$path" ] || fail "$path is left: $(ls -R "$path")"
done
[ -z "$(pgrep -f /usr/bin/lars)" ] || fail "a service outlived its package"
systemctl daemon-reload
[ -z "$(systemctl list-unit-files --no-legend 'lars-*' | grep -v lars-test)" ] || fail "units are left"
echo "purged"
end well
