#!/usr/bin/env bash
# cargo for the program that is released: tools/cargo-release.sh build --release ...
# Under cargo-auditable, which puts the list of dependencies into the program (`cargo audit bin` reads it); installs that when it is
# missing. Whatever makes target/release goes through here, so that it is not compiled twice.
set -euo pipefail
command -v cargo-auditable > /dev/null || cargo install --quiet --locked cargo-auditable
exec cargo auditable "$@"
