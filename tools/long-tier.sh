#!/usr/bin/env bash
# The proofs at full length: 5,000 live sessions under 100 kills, 1,000 kills under load, 2,000 power cuts, and the others
# accordingly. Some forty minutes on two cores, in release mode. Needs what tools/test.sh needs; run it as root to have every descriptor
# counted.
set -euo pipefail
cd "$(dirname "$0")/.."
export GATEPOST_LONG=1
exec tools/test.sh --release --test isolation --test crash --test power_cut -- --nocapture
