#!/bin/bash
# Boots Debian's systemd in namespaces of its own, with the shipped unit and the built binary in it, and
# looks (checks.py) whether the unit does what it promises. Prints TAP; exit code 0: all well, 1: not,
# 77: it cannot run here, and "SKIP-LOUD: why" says so.
#
# Needs root, a writable cgroup2 hierarchy, util-linux, python3, openssl, and the image of
# make-rootfs.sh. Leaves nothing behind: no process, no mount, no cgroup, no file.
#
#   BAO_EXPORTER            the binary                        build/dev/bao-exporter
#   BAO_EXPORTER_HANGING    it with the test's hook           build/dev/tests/bao-exporter-hanging
#   BAO_EXPORTER_ROOTFS     the image                         build/deps/boot-rootfs.tar
#   BAO_EXPORTER_BOOT_KEEP  a folder to keep the journal in
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
binary=${BAO_EXPORTER:-$root/build/dev/bao-exporter}
hanging=${BAO_EXPORTER_HANGING:-$root/build/dev/tests/bao-exporter-hanging}
image=${BAO_EXPORTER_ROOTFS:-$root/build/deps/boot-rootfs.tar}
folder=${TMPDIR:-/tmp}
readonly here root binary hanging image folder seconds_max=180

skip() {
  printf 'SKIP-LOUD: %s\n' "$*"
  exit 77
}

fail() {
  printf 'Bail out! %s\n' "$*"
  exit 1
}

# ---- can it run here?

((EUID == 0)) || skip "not root"
for tool in unshare nsenter setpriv pivot_root python3 openssl tar timeout; do
  command -v "$tool" >/dev/null || skip "no $tool"
done
[[ -s $image ]] || skip "no image $image (tests/deploy/systemd/make-rootfs.sh makes it)"
cgroup2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[[ -n $cgroup2 ]] || skip "no cgroup2 hierarchy is mounted"
cgroup=$cgroup2/bao-exporter-boot.$$
mkdir "$cgroup" 2>/dev/null || skip "no cgroup can be made in $cgroup2"
work=

# remove CGROUP WORK: with all that is in them.
remove() {
  if [[ -w $1/cgroup.kill ]]; then echo 1 >"$1/cgroup.kill"; fi
  for _ in {1..50}; do
    find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || true
    [[ -d $1 ]] || break
    sleep 0.1
  done
  if [[ -d $1 ]]; then echo "# cannot be removed: $1" >&2; fi
  if [[ -n $2 ]]; then rm -rf --one-file-system "$2"; fi
}

child=
# shellcheck disable=SC2317  # called by the trap
clean_up() {
  if [[ -n $child ]]; then kill -KILL "$child" 2>/dev/null || true; fi
  wait
  remove "$cgroup" "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# What a run left behind that was killed and could not clean up.
for old in "$cgroup2"/bao-exporter-boot.*; do
  if ! kill -0 "${old##*.}" 2>/dev/null; then
    remove "$old" ""
    rm -rf --one-file-system "$folder/bao-exporter-boot.${old##*.}."*
  fi
done

unshare --net --pid --mount --cgroup --ipc --uts --fork true 2>/dev/null || skip "no namespaces can be made"
[[ -x $binary ]] || fail "no $binary: build first"
[[ -x $hanging ]] || fail "no $hanging: build first"

# ---- the machine to boot

work=$(mktemp -d "$folder/bao-exporter-boot.$$.XXXXXX")
chmod 0755 "$work" # the dynamic user has to get through
machine=$work/machine
mkdir "$machine"
tar -xf "$image" -C "$machine" --exclude='./dev/*'

install -m 0755 "$binary" "$machine/usr/bin/bao-exporter"
install -m 0755 "$hanging" "$machine/usr/bin/bao-exporter-hanging"
# This machine's libraries, at their own places; what the image has stays (the C library). ldconfig makes
# the links.
copy_libraries() {
  local library real
  while read -r library; do
    [[ -e $machine$library ]] && continue
    real=$(readlink -f "$library")
    install -D -m 0644 "$real" "$machine$real"
  done < <(ldd "$binary" "$hanging" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u)
  chroot "$machine" /sbin/ldconfig
  chroot "$machine" /usr/bin/bao-exporter --version >/dev/null
}
copy_libraries || fail "the binary does not run in the image"

# ---- boot

# Two process namespaces, one in the other: the outer one is checks.py's, and all ends when it ends,
# which it does when this shell does. In the background: a trap would wait for what is in front.
status=0
setpriv --pdeathsig KILL timeout --signal=KILL "$seconds_max" setpriv --pdeathsig KILL \
  unshare --net --pid --mount --mount-proc --fork --kill-child \
  python3 -B "$here/checks.py" "$machine" "$cgroup" "$here/pid1.sh" "$root" &
child=$!
wait "$child" || status=$?
child=
if [[ -n ${BAO_EXPORTER_BOOT_KEEP:-} ]]; then
  cp "$work"/*.log "$BAO_EXPORTER_BOOT_KEEP/" 2>/dev/null || true
fi
((status != 137)) || fail "not finished within $seconds_max s, or killed"
exit "$status"
