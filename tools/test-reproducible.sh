#!/usr/bin/env bash
# The program and its packages built twice, from the same sources at different places: other folders of other lengths, another home of
# cargo, another clock, language and umask. Both have to be the same to the octet.
#
# Two builds in release mode with link-time optimisation: about a quarter of an hour on two cores. CARGO_PROFILE_RELEASE_LTO=off and
# CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 in the environment make it quicker, and another program. Needs what tools/package.sh needs.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/reproducible-XXXXXX")
trap 'rm -rf "$work"' EXIT
home=${CARGO_HOME:-$HOME/.cargo}

# As it is committed or about to be: what git knows.
copy() { mkdir -p "$1" && git ls-files -z | xargs -0 cp --parents -t "$1"; }
say() { printf '%s test-reproducible: %s\n' "$(date +%H:%M:%S)" "$*"; }

one=$work/a two=$work/another-place-whose-name-is-longer
copy "$one"
copy "$two"
# The second has the same crates under another name.
mkdir "$work/cargo"
for part in registry git; do [ ! -e "$home/$part" ] || ln -s "$home/$part" "$work/cargo/$part"; done

say 'the first'
(cd "$one" && tools/package.sh --output out)
say 'the second'
(cd "$two" && umask 077 && CARGO_HOME=$work/cargo TZ=Pacific/Chatham LC_ALL=C tools/package.sh --output out)

failed=
for file in target/release/gatepost $(cd "$one" && echo out/*.deb); do
  if cmp "$one/$file" "$two/$file"; then
    say "the same to the octet: ${file##*/} $(sha256sum < "$one/$file" | cut -d ' ' -f 1)"
  else
    failed=yes
    say "differs: ${file##*/}"
    # Where, as far as a list of sections and of paths tells.
    for place in "$one" "$two"; do
      case $file in *.deb) dpkg-deb -c "$place/$file" ;; *) objdump -h "$place/$file"; strings "$place/$file" | grep -F "$work" | head -n 5 ;; esac \
        > "$work/$(basename "$place").told" || true
    done
    diff "$work/a.told" "$work/$(basename "$two").told" || true
  fi
done
[ -z "$failed" ] || exit 1
