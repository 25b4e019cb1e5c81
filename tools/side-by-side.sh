#!/usr/bin/env bash
# The test programs, several at a time: they wait for most of their time.
#
#   tools/side-by-side.sh --list             builds them, and names them, those that take long first
#   tools/side-by-side.sh COMMAND PROGRAM…   runs each with that command before it (an exported function, or env)
#
# What one says comes in one piece. All are run, and one that failed fails this: what those said that did is shown again at the end.
set -euo pipefail

if [ "${1:?}" = --list ]; then
  cd "$(dirname "$0")/.."
  cargo test --no-run --message-format=json | python3 -c '
import json, os, sys
found = []
for line in sys.stdin:
    made = json.loads(line)
    if made.get("reason") == "compiler-artifact" and made.get("executable") and made["profile"]["test"]:
        found.append(made["executable"])
print("\n".join(sorted(found, key=os.path.getsize, reverse=True)))'
  exit
fi

# On two processors four at a time take half of what two do, and a processor still has nothing to do for half of that.
LANES=${LANES:-4}
command=$1
shift
one() {
  local said status=0
  said=$(mktemp) && "$command" "$1" > "$said" 2>&1 || status=$?
  { flock 9 && echo "-- $(basename "$1")" && cat "$said"; } 9> "$lock"
  [ "$status" = 0 ] || { echo "ended with $status" >> "$said" && mv "$said" "$failed/$(basename "$1")"; }
  rm -f "$said"
  return "$status"
}
lock=$(mktemp) failed=$(mktemp -d)
export -f one
export command lock failed
status=0
printf '%s\0' "$@" | xargs -0 -P "$LANES" -I{} bash -c 'one "$1"' one {} || status=1
for said in "$failed"/*; do
  [ -e "$said" ] || continue
  echo "-- FAILED: $(basename "$said")"
  if grep -q '^failures:$' "$said"; then sed -n '/^failures:$/,$p' "$said"; else tail -n 20 "$said"; fi
done
rm -r "$lock" "$failed"
exit "$status"
