#!/usr/bin/env bash
# The tests, and what they need: real clients, a proxy, openssl for certificates, strace to slow a disk, sqlite3 as an auditor.
# As root missing Debian packages are installed; otherwise they are named. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

packages='gcc libc6-dev openssl strace procps curl swaks libnet-ssleay-perl sqlite3 python3 haproxy'
command -v systemd-sysusers > /dev/null || packages="$packages systemd-standalone-sysusers"
missing=$(for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || echo "$package"
done)
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    printf 'the tests need these packages, and only root can install them:\n  apt-get install %s\n' "$(echo $missing)" >&2
    exit 1
  fi
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi

exec cargo test --no-fail-fast "$@"
