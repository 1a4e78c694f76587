#!/bin/bash
# Three hosts, 10.0.0.1 to 10.0.0.3, each with a network, /etc, /var/lib and shared memory of its own,
# and a MariaDB on the first. Types lines into them, and prints each with what it wrote. Nothing of the
# machine changes. Wants root.
#
# usage: unshare --mount --net --pid --fork --kill-child type_hosts.sh FOLDER BIN < LINES
#        FOLDER  empty, for everything that is written
#        BIN     has the programs that are typed
#        LINES   "10.0.0.1# COMMAND", in order
set -euo pipefail
folder=$1 bin=$2
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs "$folder"
ip link set lo up
ip link add bridge type bridge && ip link set bridge up
mkdir "$folder/bin"

# What differs on a real host: a server of the distribution, and scp by way of sshd.
printf '#!/bin/sh\nexec %s --no-defaults --socket=%s/db/socket --user=root "$@"\n' \
  "$(command -v mariadb)" "$folder" > "$folder/bin/mariadb"
cat > "$folder/bin/scp" <<SCP
#!/bin/bash
set -e
[ "\$1" = -p ] && shift
target=\${!#}
files=("\${@:1:\$#-1}")
for one in "\${files[@]}"; do
  tar -C "\$(dirname "\$one")" -c "\$(basename "\$one")" |
    nsenter -t "\$(cat "$folder/pid.\${target%%:*}")" -m tar -C "\${target#*:}" -x
done
SCP
chmod +x "$folder"/bin/*
export PATH="$folder/bin:$bin:$PATH"

cat > "$folder/begin.sh" <<'BEGIN'
set -e
mount --make-rprivate /
for one in etc var/lib; do
  upper=$FOLDER/$HOST/$one
  mkdir -p "$upper/up" "$upper/work"
  mount -t overlay overlay -o "lowerdir=/$one,upperdir=$upper/up,workdir=$upper/work" "/$one"
done
rm -rf /etc/lars /var/lib/lars
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
ip addr add "$HOST/24" dev eth0
ip link set eth0 up
if [ "$HOST" = 10.0.0.1 ]; then
  mkdir -p "$FOLDER/db/data" && chown -R mysql "$FOLDER/db"
  mariadb-install-db --no-defaults --user=mysql --datadir="$FOLDER/db/data" --skip-test-db \
    --auth-root-authentication-method=normal >"$FOLDER/db/install.log" 2>&1
  mariadbd --no-defaults --user=mysql --datadir="$FOLDER/db/data" --socket="$FOLDER/db/socket" \
    --bind-address=0.0.0.0 --port=3306 --pid-file="$FOLDER/db/pid" >"$FOLDER/db/log" 2>&1 &
  disown
  until mariadb -e "SELECT 1" >/dev/null 2>&1; do sleep 0.1; done
fi
set +e
cd /root 2>/dev/null || cd /
BEGIN

declare -A input
for host in 10.0.0.1 10.0.0.2 10.0.0.3; do
  mkfifo "$folder/in.$host"
  HOST=$host FOLDER=$folder unshare --mount --net bash --norc --noprofile \
    < "$folder/in.$host" >> "$folder/out.$host" 2>&1 &
  pid=$!
  exec {fd}> "$folder/in.$host"
  input[$host]=$fd
  echo "$pid" > "$folder/pid.$host"
  # unshare becomes the bash of that host: from then on its network is another one.
  until [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
  link=link${host##*.}
  ip link add "$link" type veth peer name eth0 netns "$pid"
  ip link set "$link" master bridge up
  echo ". $folder/begin.sh" >&"$fd"
done

while IFS= read -r line; do
  host=${line%%#*} command=${line#*# }
  out=$folder/out.$host
  # What looks at everything gives each half a second, and agents tell of themselves now and then: it is
  # asked until it is well and has said the same three times.
  case $command in
    "lars doctor"*) typed="bad=1 same=0 last=; for try in {1..30}; do said=\$($command); bad=\$?; if [ \$bad = 0 ] && [ \"\$said\" = \"\$last\" ] && ! grep -q 'none is known' <<<\"\$said\"; then same=\$((same + 1)); else same=0; fi; last=\$said; [ \$same = 2 ] && break; sleep 1; done; echo \"\$said\"; (exit \$bad)" ;;
    *) typed=$command ;;
  esac
  printf '%s\necho "::typed::$?"\n' "$typed" >&"${input[$host]}"
  tries=0
  until grep -q '::typed::' "$out"; do
    sleep 0.1
    tries=$((tries + 1))
    if [ "$tries" -gt 1200 ]; then echo "$line"; cat "$out" "$folder"/db/*log; echo "FAILED: no end" >&2; exit 1; fi
  done
  echo "$line"
  grep -v '::typed::' "$out" || true
  code=$(sed -n 's/.*::typed:://p' "$out")
  : > "$out"
  [ "$code" = 0 ] || { echo "FAILED: $line ended with $code" >&2; exit 1; }
done
