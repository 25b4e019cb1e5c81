#!/usr/bin/env bash
# The proofs at full length: 5,000 live sessions under 100 kills, 1,000 kills under load, 2,000 power cuts, 100,000 messages
# for upstreams that fail three times in ten, an hour of mixed load, 20,000 TLS connections, a backlog of 100,000 messages done
# by the runbook, and the others accordingly. About two hours on two cores, in release mode. Then the packages built twice at
# different places and compared, a quarter of an hour, and as root the container's image built and run. Then each fuzzing
# target until no new edge was found for ten minutes, an hour at most: between seventy minutes and seven hours. Needs what
# tools/test.sh, tools/package.sh and tools/fuzz.sh need; run it as root to have every descriptor counted.
set -euo pipefail
cd "$(dirname "$0")/.."
GATEPOST_LONG=1 tools/test.sh --release --test isolation --test crash --test power_cut --test soak --test endurance --test drills \
  --test load -- --nocapture
tools/test-reproducible.sh
if [ "$(id -u)" = 0 ]; then
  tools/test-container.sh
else
  echo 'NOT RUN: the container, which only root can build here'
fi
exec tools/fuzz.sh --long
