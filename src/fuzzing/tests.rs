//! What fuzzing has found worth keeping, as ordinary tests.

use super::*;

/// Every file of a target's corpus, and that it is fed.
fn feed(name: &str) {
    let (_, run) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let folder = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut fed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        eprintln!("{}", path.display());
        run(&std::fs::read(&path).unwrap());
        fed += 1;
    }
    assert!(fed >= 5, "{folder} has {fed} files");
}

#[test]
fn the_corpus_of_command() {
    feed("command");
}

#[test]
fn the_corpus_of_data() {
    feed("data");
}

#[test]
fn the_corpus_of_bdat() {
    feed("bdat");
}

#[test]
fn the_corpus_of_sasl() {
    feed("sasl");
}

#[test]
fn the_corpus_of_proxy() {
    feed("proxy");
}

#[test]
fn the_corpus_of_header() {
    feed("header");
}

#[test]
fn the_corpus_of_mime() {
    feed("mime");
}

#[test]
fn rule_w6_the_corpus_of_framing() {
    feed("framing");
}

#[test]
fn rule_w13_the_corpus_of_forwarded() {
    feed("forwarded");
}

#[test]
fn the_corpus_of_letter() {
    feed("letter");
}

#[test]
fn the_corpus_of_session() {
    feed("session");
}

#[test]
fn every_target_has_its_program() {
    for (name, _) in TARGETS {
        let path = format!("{}/fuzz/targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(text.contains(&format!("gatepost::fuzzing::{name}::run(")), "{path}");
    }
}
