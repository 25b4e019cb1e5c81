#!/usr/bin/env bash
# Makes the Debian packages and their bill of materials in target/packaging: tools/package.sh [--no-build] [--output FOLDER]
#
#   --no-build        takes target/release/gatepost as it is; else the program is built so that any place gives the same octets
#   --output FOLDER   where the packages go
#
# gatepost is the gate. gatepost-mta has nothing but the names sendmail, mailq and newaliases, which lead to it. Those names are one
# package's at a time (Debian policy 11.6: Provides, Conflicts and Replaces mail-transport-agent; no mail server there uses
# alternatives), and a gate must be installable beside Postfix: so they are two.
#
# GATEPOST_PACKAGE_FAST=1 compresses less, for trying things.
#
# The same program gives the same package to the octet: times are those of the newest entry in packaging/deb/changelog
# (or SOURCE_DATE_EPOCH). docs/installation.md says what the same program takes. Needs dpkg, gcc, python3; installs cargo-deb and
# cargo-auditable by cargo when they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

build=yes output=target/packaging
while [ $# -gt 0 ]; do
  case $1 in
    --no-build) build=no ;;
    --output) output=${2:?--output needs a folder}; shift ;;
    *) echo "package: $1: not known; see the top of $0" >&2; exit 2 ;;
  esac
  shift
done
# cargo-deb 3 writes the metadata that is in Cargo.toml.
command -v cargo-deb > /dev/null || cargo install --quiet --locked cargo-deb --version '^3'
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$(sed -n 's/^ -- .*>  //p' packaging/deb/changelog | head -n 1)" +%s)}
export SOURCE_DATE_EPOCH

if [ $build = yes ]; then
  # No path of this place in the program: neither the sources' nor those of the crates and of the compiler's library.
  home=${CARGO_HOME:-$HOME/.cargo}
  RUSTFLAGS="--remap-path-prefix=$PWD=/gatepost --remap-path-prefix=$home=/cargo"
  RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$(rustc --print sysroot)=/rust" tools/cargo-release.sh build --release --locked
fi
[ -x target/release/gatepost ] || { echo 'package: no target/release/gatepost: leave --no-build away' >&2; exit 1; }

made=target/packaging
mkdir -p "$made" "$output"
tools/bill_of_materials.py "$made"
gzip -9nc CHANGELOG.md > "$made/changelog.gz"
mkdir -p "$made/completions"
for shell in bash zsh fish; do target/release/gatepost completions "$shell" > "$made/completions/gatepost.$shell"; done
if objdump -h target/release/gatepost | grep -q '\.dep-v0'; then
  tools/bill_of_materials.py --compare "$made" target/release/gatepost
else
  echo 'package: the program has no list of dependencies in it: it was not built by tools/cargo-release.sh with cargo-auditable' >&2
fi
# Whoever unpacks it gets the modes that are written there, whatever the umask is here.
umask 022
cargo deb --quiet --no-build --no-strip ${GATEPOST_PACKAGE_FAST:+--fast} --output "$output"

version=$(sed -n '1s/^gatepost (\(.*\)) .*/\1/p' packaging/deb/changelog)
mta=$made/gatepost-mta
rm -rf "$mta"
mkdir -p "$mta"/DEBIAN "$mta"/usr/{sbin,bin,lib,share/doc,share/man/man{1,8}}
sed "s/@VERSION@/$version/" packaging/deb/mta.control > "$mta/DEBIAN/control"
ln -s ../bin/gatepost "$mta/usr/sbin/sendmail"
ln -s ../sbin/sendmail "$mta/usr/lib/sendmail"
ln -s gatepost "$mta/usr/bin/mailq"
ln -s gatepost "$mta/usr/bin/newaliases"
ln -s gatepost-sendmail.8.gz "$mta/usr/share/man/man8/sendmail.8.gz"
ln -s ../man8/gatepost-sendmail.8.gz "$mta/usr/share/man/man1/mailq.1.gz"
ln -s ../man8/gatepost-sendmail.8.gz "$mta/usr/share/man/man1/newaliases.1.gz"
ln -s gatepost "$mta/usr/share/doc/gatepost-mta"
find "$mta" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --build -Zxz --root-owner-group "$mta" "$output/gatepost-mta_${version}_all.deb" > /dev/null
