//! See docs/fuzzing.md.
#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| gatepost::fuzzing::forwarded::run(octets));
