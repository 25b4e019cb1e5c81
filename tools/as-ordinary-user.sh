#!/usr/bin/env bash
# Runs the demonstration and the tests as a user without any rights (nobody), from copies that this user can reach.
# Needs root to become that user. The tests find the program by GATEPOST_BIN and the sources by CARGO_MANIFEST_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'as-ordinary-user: must be started as root, to become somebody else' >&2; exit 1; }

user=$(id -u nobody) group=$(id -g nobody)
place=$(mktemp -d /tmp/ordinary-XXXXXX)
trap 'rm -rf "$place"' EXIT

tools/cargo-release.sh build --release
tests=$(tools/side-by-side.sh --list)

git ls-files -z | xargs -0 cp --parents -t "$place"
cp target/release/gatepost "$place/gatepost-release"
cp target/debug/gatepost "$place/gatepost"
if [ -d target/clients ]; then mkdir "$place/target" && cp -r target/clients "$place/target"; fi
# shellcheck disable=SC2086 # a list of paths without spaces
mkdir "$place/programs" && { ln $tests "$place/programs" 2> /dev/null || cp -f $tests "$place/programs"; }
chmod -R a+rX "$place"
mkdir -m 700 "$place/home" "$place/tmp"
chown "$user:$group" "$place/home" "$place/tmp"

as_user() {
  (cd "$place" && setpriv --reuid="$user" --regid="$group" --clear-groups \
    env -i PATH=/usr/local/bin:/usr/bin:/bin HOME="$place/home" TMPDIR="$place/tmp" LANG=C.UTF-8 \
    GATEPOST_BIN="$place/gatepost" CARGO_MANIFEST_DIR="$place" "$@")
}

as_user "$place/gatepost-release" demo --once

# With what passing tests say: which of their claims only root can check.
run() { as_user "$1" --show-output; }
export -f as_user run
export place user group
# shellcheck disable=SC2086 # a list of paths without spaces
programs=$(for test in $tests; do echo "$place/programs/$(basename "$test")"; done)
# shellcheck disable=SC2086
tools/side-by-side.sh run $programs
