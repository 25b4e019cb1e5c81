#!/bin/sh
# Cargo's wrapper of rustc: counts edges and traces comparisons in our own code, as cargo-fuzz does in all of it, in the other
# reader of SMTP, and in the reader of MIME. Without a sanitizer: what unsafe code there is (src/sys) is not reached from here.
case " $* " in
  *' --crate-name gatepost '* | *' --crate-name smtp_proto '* | *' --crate-name mail_parser '*)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$@"
