#!/bin/sh
# check-openbsd.sh - type-check Gatepost for OpenBSD on a Debian machine (no OpenBSD needed).
#
#   tools/check-openbsd.sh [PROJECT_DIR [cargo check arguments...]]
#
# PROJECT_DIR is this repository when it isn't given. It proves types, not behaviour: nothing is run or linked.
# A check that can't fail checks nothing: once, break a line inside cfg(target_os = "openbsd") and see it refused.
#
# OpenBSD is a tier-3 target: there is no ready-made std, and -Z build-std needs nightly features plus std's source.
# Debian trixie has both: rustc-web/cargo-web (Rust 1.96) and rust-web-src. They live in a chroot here, so that the
# machine itself may be bookworm. C code in build scripts is not compiled: a fake compiler makes empty objects, which
# is enough for "cargo check" (nothing is linked or generated).
#
# Needs: Debian (or anything with apt), root, network to a Debian mirror and the crate registry. No mount, no user namespace; CAP_MKNOD and
# CAP_SYS_CHROOT, as in a default container.
# Environment:
#   OPENBSD_CHECK_CACHE    folder to keep between runs (default /var/cache/openbsd-check); safe to delete at any time
#   OPENBSD_CHECK_TARGET   default x86_64-unknown-openbsd
#   OPENBSD_CHECK_MIRROR   default: the first mirror in this machine's apt sources
#   OPENBSD_CHECK_SUITE    default trixie
#   OPENBSD_CHECK_CA       CA bundle for the crate registry (default: this machine's, so that a company proxy works)
#   OPENBSD_CHECK_OFFLINE  set to 1 to forbid cargo the network (after one run with it)
set -eu

cache=${OPENBSD_CHECK_CACHE:-/var/cache/openbsd-check}
target=${OPENBSD_CHECK_TARGET:-x86_64-unknown-openbsd}
mirror=${OPENBSD_CHECK_MIRROR:-$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\(http[^ ]*\).*/\2/p' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -n 1)}
suite=${OPENBSD_CHECK_SUITE:-trixie}
ca=${OPENBSD_CHECK_CA:-/etc/ssl/certs/ca-certificates.crt}
packages='rustc-web cargo-web rust-web-src libc6-dev gcc ca-certificates'
recipe=3 # change to rebuild every cached chroot

say() { printf '%s check-openbsd: %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { printf 'check-openbsd: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die 'must be root (debootstrap and chroot)'

mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9 || die 'cannot lock the cache'

root=$cache/$suite
stamp="recipe $recipe, $suite, $packages"
if [ "$(cat "$root/.stamp" 2>/dev/null || true)" != "$stamp" ]; then
  if ! command -v debootstrap > /dev/null; then
    say 'installing debootstrap'
    apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap > /dev/null
  fi
  rm -rf "$root" "$root.part"
  say "building a minimal $suite in $root (about 33 MB to download)"
  debootstrap --variant=minbase "$suite" "$root.part" "$mirror" > "$cache/debootstrap.log" 2>&1 ||
    { tail -5 "$cache/debootstrap.log" >&2; die 'debootstrap failed'; }
  # nothing may start a service in there, and apt must not keep what it downloads
  printf '#!/bin/sh\nexit 101\n' > "$root.part/usr/sbin/policy-rc.d"; chmod 755 "$root.part/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf "$root.part/etc/resolv.conf"
  say "installing $packages (about 215 MB to download, 1.1 GB on disk)"
  chroot "$root.part" env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq &&
    apt-get install -y -qq --no-install-recommends $packages && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/locale/*" \
    > "$cache/apt.log" 2>&1 || { tail -5 "$cache/apt.log" >&2; die 'apt-get failed in the chroot'; }

  mkdir -p "$root.part/check/bin"
  # A C compiler that compiles nothing. cc-rs asks it what it is (-E), then wants one object per source.
  cat > "$root.part/check/bin/fakecc" <<'FAKE'
#!/bin/sh
out= prev= pre=
for a in "$@"; do
  case $a in -E) pre=1 ;; -o?*) out=${a#-o} ;; --version|-v) echo 'gcc (fake) 14.0.0'; exit 0 ;; -dumpmachine) echo x86_64-unknown-openbsd; exit 0 ;; esac
  [ "$prev" = -o ] && out=$a
  prev=$a
done
[ -n "$pre" ] && { echo gcc; exit 0; }
[ -n "$out" ] && : > "$out"
exit 0
FAKE
  cat > "$root.part/check/bin/fakear" <<'FAKE'
#!/bin/sh
for a in "$@"; do case $a in *.a) [ -e "$a" ] || printf '!<arch>\n' > "$a" ;; esac; done
exit 0
FAKE
  chmod 755 "$root.part/check/bin/fakecc" "$root.part/check/bin/fakear"
  printf '%s\n' "$stamp" > "$root.part/.stamp"
  mv "$root.part" "$root"
  say "chroot ready: $(chroot "$root" rustc --version)"
else
  say "cached chroot: $(chroot "$root" rustc --version)"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
[ -f "$ca" ] && cp "$ca" "$root/check/ca.crt" || cp "$root/etc/ssl/certs/ca-certificates.crt" "$root/check/ca.crt"

# check NAME DIR ARGS... : copies DIR in (no mount needed); one target folder for all, kept between runs
check() {
  name=$1 dir=$2; shift 2
  rm -rf "$root/check/src/$name"; mkdir -p "$root/check/src/$name"
  tar -C "$dir" --exclude=./target --exclude=./.git -cf - . | tar -C "$root/check/src/$name" -xf -
  up=$(printf %s "$target" | tr - _)
  chroot "$root" env -i PATH=/usr/bin:/bin HOME=/check LANG=C.UTF-8 \
    CARGO_HOME=/check/cargo CARGO_TARGET_DIR=/check/target CARGO_HTTP_CAINFO=/check/ca.crt CARGO_TERM_COLOR=never \
    ${OPENBSD_CHECK_OFFLINE:+CARGO_NET_OFFLINE=true} ${CARGO_BUILD_JOBS:+CARGO_BUILD_JOBS=$CARGO_BUILD_JOBS} \
    RUSTC_BOOTSTRAP=1 "CC_$up=/check/bin/fakecc" "CXX_$up=/check/bin/fakecc" "AR_$up=/check/bin/fakear" \
    sh -c 'cd "/check/src/$1" && shift && exec cargo check -Z build-std=std,panic_abort "$@"' sh "$name" --target "$target" "$@"
}

project=${1:-$(dirname "$0")/..}
[ $# = 0 ] || shift
[ -f "$project/Cargo.toml" ] || die "no Cargo.toml in $project"
project=$(cd "$project" && pwd)
say "cargo check of $project for $target"
check "$(printf %s "$project" | tr -c 'A-Za-z0-9\n' _)" "$project" "$@"
say "$target: type-checks"
