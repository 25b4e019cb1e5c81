#!/usr/bin/env bash
# Fuzzes one target for so many seconds, or all of them, on the stable toolchain: tools/fuzz.sh TARGET [SECONDS]
#
#   tools/fuzz.sh all 30          each target for 30 seconds, as many at a time as there are processors
#   tools/fuzz.sh data            until it is stopped
#   tools/fuzz.sh --build         builds them all and fuzzes nothing
#   tools/fuzz.sh --long [TARGET] each until no new edge was found for ten minutes, and an hour at most (or GATEPOST_FUZZ_MOST
#                                 seconds); says executions and edges
#   tools/fuzz.sh --shrink TARGET brings what is new into fuzz/corpus, as few and as small files as cover the same edges
#
# What is found grows in fuzz/target/corpus; a crash ends it and leaves its input in fuzz/target/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
targets=$(sed -n 's/^path = "targets\/\(.*\)\.rs"$/\1/p' fuzz/Cargo.toml)
FLAT=600
MOST=${GATEPOST_FUZZ_MOST:-3600}
host=$(rustc -vV | sed -n 's/^host: //p')
programs=fuzz/target/$host/release

build() {
  command -v g++ > /dev/null || {
    [ "$(id -u)" = 0 ] || { echo 'fuzzing needs g++, and only root can install it: apt-get install g++' >&2; exit 1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ > /dev/null
  }
  RUSTFLAGS='--cfg fuzzing' RUSTC_WRAPPER=$PWD/fuzz/instrument.sh cargo build --quiet --locked --release \
    --manifest-path fuzz/Cargo.toml --target "$host" --target-dir fuzz/target
}

# Sets `run` to what fuzzes a target: libFuzzer's options may follow.
prepare() {
  mkdir -p "fuzz/target/corpus/$1" "fuzz/target/artifacts/$1"
  run=("$programs/$1" "fuzz/target/corpus/$1" "fuzz/corpus/$1" -dict="fuzz/dictionaries/$1.txt" -max_len=8192 -timeout=10
    -rss_limit_mb=1024 -artifact_prefix="fuzz/target/artifacts/$1/")
}

# What a log of libFuzzer says: the edges so far, and at the end the executions.
edges() { grep -aE '^#[0-9]+.*cov: ' "$1" | tail -1 | sed 's/.*cov: \([0-9]*\).*/\1/'; }
executions() { sed -n 's/^stat::number_of_executed_units: *//p' "$1"; }

is_hash() { [[ ${1##*/} =~ ^[0-9a-f]{40}$ ]]; }

fail() {
  tail -60 "$1"
  echo "fuzzing $2 found something: its input is in fuzz/target/artifacts/$2" >&2
  exit 1
}

brief() {
  local log=fuzz/target/$1.log
  prepare "$1"
  # The same inputs each time: a check of what was changed must not fail over what --long has yet to find.
  "${run[@]}" -seed=1 -max_total_time="$2" -print_final_stats=1 > "$log" 2>&1 || fail "$log" "$1"
  echo "$1: $(executions "$log") executions, $(edges "$log") edges"
}

long() {
  local log=fuzz/target/$1.log most=0 begun since now seen job
  begun=$(date +%s) since=$(date +%s)
  prepare "$1"
  "${run[@]}" -print_final_stats=1 > "$log" 2>&1 &
  job=$!
  # shellcheck disable=SC2064 # this job
  trap "kill $job 2> /dev/null" EXIT
  while kill -0 "$job" 2> /dev/null; do
    sleep 5
    now=$(date +%s)
    seen=$(edges "$log" || true)
    [ "${seen:-0}" -le "$most" ] || { most=$seen since=$now; }
    [ $((now - since)) -lt $FLAT ] && [ $((now - begun)) -lt "$MOST" ] || kill -TERM "$job" 2> /dev/null || true
  done
  wait "$job" || grep -aq 'libFuzzer: run interrupted' "$log" || fail "$log" "$1"
  trap - EXIT
  [ $((now - since)) -ge $FLAT ] || echo "$1 was stopped before its coverage was flat for $FLAT seconds"
  echo "$1: $(executions "$log") executions, $most edges in $((now - begun)) seconds, none new for the last $((now - since))"
}

case ${1-} in
  --build) build ;;
  --long)
    build
    for target in ${2:-$targets}; do long "$target"; done
    ;;
  --shrink)
    target=${2:?a target}
    build
    # What has a name stays; what libFuzzer named by its hash stays where it covers an edge that nothing before it does.
    shrunk=fuzz/target/shrunk/$target
    rm -rf "$shrunk"
    mkdir -p "$shrunk" "fuzz/target/corpus/$target"
    for file in "fuzz/corpus/$target/"*; do is_hash "$file" || cp "$file" "$shrunk/"; done
    "$programs/$target" -merge=1 -use_counters=0 -max_len=8192 "$shrunk" "fuzz/corpus/$target" "fuzz/target/corpus/$target"
    for file in "fuzz/corpus/$target/"*; do ! is_hash "$file" || rm "$file"; done
    cp "$shrunk/"* "fuzz/corpus/$target/"
    ;;
  all)
    build
    lanes=$(nproc) pids=() failed=0
    for ((lane = 0; lane < lanes; lane++)); do
      (
        at=0
        for target in $targets; do
          [ $((at++ % lanes)) -ne "$lane" ] || brief "$target" "${2:-30}"
        done
      ) &
      pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    [ "$failed" = 0 ] || exit 1
    echo "fuzzed $(wc -w <<< "$targets") targets for ${2:-30} seconds each, and nothing was found"
    ;;
  '' | -*) usage ;;
  *)
    grep -qx "$1" <<< "$targets" || usage
    build
    prepare "$1"
    exec "${run[@]}" -max_total_time="${2:-0}"
    ;;
esac
