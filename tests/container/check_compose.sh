#!/bin/bash
# Runs the services from their image as deploy/README.md says, by podman as a user without rights, with
# a network of its own: started, asked, killed, restarted, with configuration files and a secret, taken
# away. Nothing of the machine changes; the user exists in here only. Wants root.
#
# usage: unshare --mount --net --pid --fork --kill-child check_compose.sh FOLDER IMAGE LARS COMPOSE
#        FOLDER   empty, for everything that is written
#        IMAGE    archive of the image lars:latest
#        LARS     the compiled command, for callers outside of the containers
#        COMPOSE  docker-compose
set -euo pipefail
id=31337 name=larsbox

if [ "${1:-}" != --user ]; then
  folder=$1 compose_files=$(cd "$(dirname "$0")/../../deploy/container" && pwd)
  mount --make-rprivate /
  mount -t proc proc /proc
  # What a machine with systemd has, and this one may not.
  mkdir "$folder/dev" && mount -t tmpfs -o mode=755 tmpfs "$folder/dev"
  for one in null zero full random urandom tty; do
    touch "$folder/dev/$one" && mount --bind "/dev/$one" "$folder/dev/$one"
  done
  mkdir "$folder"/dev/{shm,mqueue,pts}
  mount -t tmpfs -o mode=1777 tmpfs "$folder/dev/shm"
  mount -t mqueue mqueue "$folder/dev/mqueue"
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$folder/dev/pts"
  ln -s pts/ptmx "$folder/dev/ptmx" && ln -s /proc/self/fd "$folder/dev/fd"
  mount --move "$folder/dev" /dev
  ip link set lo up
  # crun takes either kind of control groups, and not both at once.
  if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi
  as_file() { cat "/etc/$1" > "$folder/$1" 2>/dev/null || true; echo "$2" >> "$folder/$1"; }
  as_file passwd "$name:x:$id:$id::$folder/home:/bin/sh"
  as_file group "$name:x:$id:"
  echo "$name:200000:65536" > "$folder/subuid"
  cp "$folder/subuid" "$folder/subgid"
  for one in passwd group subuid subgid; do
    touch "/etc/$one" && mount --bind "$folder/$one" "/etc/$one"
  done
  mkdir -p "$folder"/home/.config/containers "$folder"/run
  cp -r "$compose_files" "$folder/home/lars"
  cp "$0" "$folder/home/check.sh"   # where that user may read it
  printf '[storage]\ndriver = "vfs"\n' > "$folder/home/.config/containers/storage.conf"
  # No systemd of a user is here.
  printf '[containers]\nlog_driver = "k8s-file"\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' \
    > "$folder/home/.config/containers/containers.conf"
  chown -R $id:$id "$folder/home" "$folder/run"
  chmod 700 "$folder/run"
  exec env -i PATH="$PATH" HOME="$folder/home" USER=$name LOGNAME=$name XDG_RUNTIME_DIR="$folder/run" \
    setpriv --reuid $id --regid $id --clear-groups --inh-caps=-all "$folder/home/check.sh" --user "$@"
fi

shift
image=$2 lars=$3 compose=$4
cd "$HOME/lars"
fail() {
  echo "FAILED: $*" >&2
  podman ps -a >&2 || true
  for one in web dns reporter agent; do podman logs --tail 5 "lars_${one}_1" >&2 || true; done
  cat "$HOME/service.log" >&2 || true
  exit 1
}
# until_holds SECONDS COMMAND...: looks five times a second.
until_holds() {
  local tries=$(($1 * 5)); shift
  for _ in $(seq "$tries"); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done
  return 1
}
container() { echo "lars_$1_1"; }
main_pid() { podman inspect --format '{{.State.Pid}}' "$(container "$1")"; }
is_well() { podman healthcheck run "$(container "$1")"; }
all_well() { is_well web && is_well dns && is_well reporter && is_well agent; }
has_node() { "$lars" test gethost "$1" 1 --strict 2>&1 | grep -q "host is 127.0.0.1:$2"; }
inside() { local one; one=$(container "$1"); shift; podman exec "$one" /usr/bin/lars "$@"; }
status() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$(main_pid "$1")/status"; }

podman load -q -i "$image" >/dev/null 2>"$HOME/load.log" || { cat "$HOME/load.log" >&2; fail "the image does not load"; }
[ "$(podman info --format '{{.Host.Security.Rootless}}')" = true ] || fail "podman is not rootless"
export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/podman.sock
podman system service --time=0 "$DOCKER_HOST" >"$HOME/service.log" 2>&1 &
until_holds 30 test -S "$XDG_RUNTIME_DIR/podman.sock" || fail "podman does not serve its API"

"$compose" up -d >"$HOME/up.log" 2>&1 || { cat "$HOME/up.log" >&2; fail "up"; }
until_holds 120 all_well || fail "not all services are well"
echo "up: web, dns, reporter and agent are well by their health checks"

for one in web dns reporter agent; do
  [ "$(status "$one" Uid)" -ge 200000 ] || fail "$one is user $(status "$one" Uid) of the host"
  [ "$(status "$one" CapEff)$(status "$one" CapBnd)" = 00000000000000000000000000000000 ] || fail "$one has capabilities"
  [ "$(status "$one" NoNewPrivs)" = 1 ] || fail "$one could get rights"
  grep -q ' / / ro[, ]' "/proc/$(main_pid "$one")/mountinfo" || grep -qE '^[0-9]+ [0-9]+ \S+ \S+ / ro[, ]' "/proc/$(main_pid "$one")/mountinfo" \
    || fail "$one can write to its root"
done
if inside web config example --hosts 1 --out /etc/lars >/dev/null 2>&1; then fail "the console could write to /etc"; fi
echo "no user of the host, no capabilities, no new rights, nothing to write to but the volumes"

inside web route add 1 1 127.0.0.1:9001 >/dev/null || fail "no route could be added"
until_holds 30 has_node 1 9001 || fail "a caller on the host gets no node"
[ -e /dev/shm/lars-agent-8888.table ] || fail "the agent's table is not in the shared memory of the host"
for _ in 1 2 3; do "$lars" test report 1 1 127.0.0.1 9001 0 >/dev/null || fail "no report"; done
has_results() { inside web status --json | grep -q '"succ":3'; }
until_holds 60 has_results || fail "the results of calls do not reach the database: $(inside web status --json)"
echo "a caller on the host gets a node, its results reach the database"

before=$(main_pid agent)
kill -9 "$before" 2>/dev/null || podman kill --signal KILL "$(container agent)" >/dev/null
is_another() { local pid; pid=$(main_pid agent); [ "$pid" != "$before" ] && [ "$pid" != 0 ] && is_well agent; }
until_holds 60 is_another || fail "a killed agent is not started again"
until_holds 30 has_node 1 9001 || fail "the agent has no node after it was killed"
echo "agent killed: started again, with its routes"

"$compose" restart >"$HOME/restart.log" 2>&1 || { cat "$HOME/restart.log" >&2; fail "restart"; }
until_holds 120 all_well || fail "not all services are well after a restart"
has_node 1 9001 || fail "the agent has no node after a restart"
echo "restarted"

"$compose" down >"$HOME/down.log" 2>&1 || { cat "$HOME/down.log" >&2; fail "down"; }
"$lars" config example --hosts 1 --out config >/dev/null || fail "no example configuration"
sed -i 's/^;\?level = .*/level = debug/' config/lars.conf config/agent.conf
echo 'a secret of at least sixteen bytes' > secret && chmod 400 secret
podman unshare chown -R 65532:65532 config secret
two=(-f compose.yaml -f with-files.yaml)
"$compose" "${two[@]}" up -d >"$HOME/files.log" 2>&1 || { cat "$HOME/files.log" >&2; fail "up with files"; }
until_holds 120 all_well || fail "not all services are well with a configuration and a secret"
inside web route add 2 1 127.0.0.1:9002 >/dev/null || fail "no second route could be added"
until_holds 30 has_node 2 9002 || fail "the agent gets no route by the secret"
has_node 1 9001 || fail "the volumes did not keep the first route"
podman logs "$(container dns)" 2>&1 | grep -q DEBUG || fail "dns does not read its configuration file"
if "$lars" health dns >/dev/null && "$lars" health agent >/dev/null; then :; else fail "not ready by the secret"; fi
echo "with configuration files and a secret: dns and agent prove it, the volumes kept the routes"

"$compose" "${two[@]}" down -v >"$HOME/gone.log" 2>&1 || { cat "$HOME/gone.log" >&2; fail "down -v"; }
[ -z "$(podman ps -aq)" ] && [ -z "$(podman volume ls -q)" ] || fail "containers or volumes are left"
echo "taken away"
