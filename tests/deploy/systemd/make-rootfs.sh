#!/bin/bash
# make-rootfs.sh OUT.tar: a minimal Debian with systemd, for boot.sh, from the mirror in this
# machine's own apt sources. Does nothing when OUT.tar is there and was made by this very script.
#
# Needs root and mmdebstrap.
set -euo pipefail

out=${1:?"usage: make-rootfs.sh OUT.tar"}
readonly out
# procps: ExecReload's kill. What the exporter needs itself is copied by boot.sh, from this machine.
readonly packages=systemd,systemd-sysv,procps

# The binary and its libraries are this machine's, so the C library must not be older than theirs.
suite() {
  (
    # shellcheck disable=SC1091
    . /etc/os-release
    if [[ ${ID:-} == debian && -n ${VERSION_CODENAME:-} ]]; then
      echo "$VERSION_CODENAME"
    else
      echo bookworm
    fi
  )
}

# The first mirror of the Debian archive (not of its security updates), as ./dev takes it.
debian_mirror() {
  local deb822=/etc/apt/sources.list.d/debian.sources one_line=/etc/apt/sources.list
  {
    if [[ -r $deb822 ]]; then grep '^URIs:' "$deb822" || true; fi
    if [[ -r $one_line ]]; then grep '^deb ' "$one_line" || true; fi
  } | tr -s '[:blank:]' '\n' | grep -E '^[a-z+]+:/' | grep -v -m 1 security
}

fail() {
  printf 'make-rootfs.sh: %s\n' "$@" >&2
  exit 1
}

made_by=$(sha256sum <"$0") made_by="${made_by%% *} $(suite)"
if [[ -s $out && $(cat "$out.made-by" 2>/dev/null) == "$made_by" ]]; then exit 0; fi
((EUID == 0)) || fail "must be run as root"
command -v mmdebstrap >/dev/null || fail "needs the package mmdebstrap"
mirror=$(debian_mirror) || fail "no Debian mirror in /etc/apt"

mkdir -p "$(dirname "$out")"
rm -f "$out" "$out.made-by" "$out.new"
trap 'rm -f "$out.new"' EXIT
excluded=()
for folder in man doc locale info lintian; do excluded+=(--dpkgopt="path-exclude=/usr/share/$folder/*"); done
# An empty machine-id and no journal folder: the image is of no machine, and its journal is volatile.
# shellcheck disable=SC2016  # $1 is mmdebstrap's
mmdebstrap --variant=minbase --mode=root --format=tar --include="$packages" \
  --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
  --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "5"' \
  "${excluded[@]}" \
  --customize-hook='rm -rf "$1/var/log/journal" "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
  --customize-hook=': >"$1/etc/machine-id"' \
  "$(suite)" "$out.new" "deb $mirror $(suite) main"
mv "$out.new" "$out"
echo "$made_by" >"$out.made-by"
