#!/usr/bin/env bash
# README.md's two commands on a fresh Debian: a minimal one is made below /var/cache/gatepost-fresh, with what README.md asks for (Rust
# 1.95, a C compiler) and nothing else of this machine, and in a clone of what is committed they are typed as they stand there.
# Needs root, Debian, and the mirrors of Debian, of crates, of npm and of Python's packages. About an hour on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'test-fresh: must be root (debootstrap, chroot)' >&2; exit 1; }
# What is mounted is seen by this run alone, and ends with it; so do processes that were left.
[ -n "${GATEPOST_FRESH_INSIDE:-}" ] || GATEPOST_FRESH_INSIDE=1 exec unshare --mount --pid --fork --kill-child "$0" "$@"

say() { printf '%s test-fresh: %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { printf 'test-fresh: %s\n' "$*" >&2; exit 1; }

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
cache=/var/cache/gatepost-fresh
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
root=$(mktemp -d "$cache/root-XXXXXX")
chmod 755 "$root"  # users other than root walk through it
trap 'umount -R "$root"/{dev,sys,proc} "$root" 2> /dev/null || true; rm -rf --one-file-system "$root"' EXIT

command -v debootstrap > /dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap > /dev/null; }
say "a minimal $suite with a C compiler"
mirror=$({ cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2> /dev/null || true; } |
  awk '$1 == "URIs:" { mirror = mirror ? mirror : $2 } /^deb / { sub(/^deb (\[[^]]*\] )?/, ""); mirror = mirror ? mirror : $1 } END { print mirror }')
debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev "$suite" "$root" "$mirror" > "$cache/debootstrap.log" 2>&1 ||
  { tail -n 5 "$cache/debootstrap.log" >&2; die 'debootstrap failed'; }
# The way to mirrors is this machine's.
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2> /dev/null || true
cp -r /etc/ssl/certs/. "$root/etc/ssl/certs/"

say "$(rustc --version), and a clone of $(git rev-parse --short HEAD)"
mkdir -p "$root/opt"
cp -a "$(rustc --print sysroot)" "$root/opt/rust"
git clone --quiet --no-local . "$root/srv/gatepost"
[ -z "$(git status --porcelain)" ] || say 'what is not committed is not in it'

# A root that is no mount can not be made private, as tests do.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys" && mount --make-rslave "$root/sys"
mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev"

# The blocks of a shell under that heading, of which the page has two.
mapfile -t commands < <(sed -n '/^## See it work/,/^## A first/p' README.md | sed -n '/^```sh$/,/^```$/{/^```/d;p}')
[ ${#commands[@]} = 2 ] || die "README.md says ${#commands[@]} commands, not two"
in_root() {
  chroot "$root" env -i PATH=/opt/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=none CARGO_PROFILE_DEV_STRIP=debuginfo \
    sh -euc "cd /srv/gatepost && $1" < /dev/null 9>&-
}
for command in "${commands[@]}"; do
  # It stays until Ctrl-C where nobody says otherwise.
  [[ $command != *demo ]] || command="$command --once"
  say "\$ $command"
  in_root "$command"
done
say 'both hold on a fresh Debian'
