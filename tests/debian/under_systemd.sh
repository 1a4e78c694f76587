#!/bin/bash
# Boots a systemd of its own over a copy of this machine's files, and has it run what the Debian
# packages bring: installed, started, killed, hung, upgraded while callers ask, with a secret as a
# credential, purged. Nothing of the machine changes: files are an overlay; processes, network and host
# name are its own. Wants root and a systemd of the machine's own files.
#
# usage: under_systemd.sh FOLDER NEWER
#        NEWER has the agent's package of a later version
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ "${1:-}" != --boot ]; then
  folder=$1 newer=$2 out=$(mktemp -d) box=lars-test-$$
  # A part of the tree of control groups, as the second systemd must not meet the first one's.
  groups=()
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then groups=("/sys/fs/cgroup/$box")
  else for one in /sys/fs/cgroup/*/; do [ -e "$one/cgroup.procs" ] && groups+=("$one$box"); done
  fi
  clean() { find "${groups[@]}" -depth -type d -exec rmdir {} + 2>/dev/null || true; rm -rf "$out"; }
  trap clean EXIT
  mkdir -p "${groups[@]}"
  code=0
  ( for one in "${groups[@]}"; do echo $BASHPID > "$one/cgroup.procs" || true; done
    exec unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child \
      "$0" --boot "$folder" "$newer" "$out" ) >"$out/boot.log" 2>&1 </dev/null || code=$?
  cat "$out/said" 2>/dev/null || cat "$out/boot.log"
  [ "$code" = 0 ] && [ "$(cat "$out/result" 2>/dev/null)" = well ] && exit 0
  tail -20 "$out/boot.log" >&2
  exit 1
fi

shift
folder=$1 newer=$2 out=$3
base=$(mktemp -d)
mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
mkdir "$base"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
root=$base/root
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
# In this name space the roots of these trees are the parts made above.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
mount -t tmpfs -o mode=755 tmpfs "$root/run" && mkdir "$root/run/lock"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for one in null zero full random urandom tty; do
  touch "$root/dev/$one" && mount --bind "/dev/$one" "$root/dev/$one"
done
mkdir "$root/dev/shm" "$root/dev/pts" && mount -t tmpfs tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd" && ln -s pts/ptmx "$root/dev/ptmx"
mkdir -p "$root/packages/newer" "$root/said"
mount --bind "$out" "$root/said"
cp "$folder"/*.deb "$root/packages/" && cp "$newer"/lars-agent_*.deb "$root/packages/newer/"
cp "$here/inside_systemd.sh" "$root/inside.sh"
# Only what the packages bring is to run: no other service of the machine.
echo 0123456789abcdef0123456789abcdef > "$root/etc/machine-id"
: > "$root/etc/fstab"
rm -rf "$root"/etc/systemd/system/*.wants "$root/usr/sbin/policy-rc.d"
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\nWants=inside.service\n' \
  > "$root/etc/systemd/system/lars-test.target"
ln -sf lars-test.target "$root/etc/systemd/system/default.target"
printf '[Unit]\nAfter=basic.target\n[Service]\nType=simple\nExecStart=/bin/bash /inside.sh\nStandardOutput=file:/said/said\nStandardError=inherit\n' \
  > "$root/etc/systemd/system/inside.service"
ip link set lo up
cd "$root" && mkdir -p old && pivot_root . old && umount -l /old
# As a kernel hands it over: what systemd mounts beside a service, its credentials, is else not seen by it.
mount --make-rshared /
exec env -i container=lars-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --show-status=0
