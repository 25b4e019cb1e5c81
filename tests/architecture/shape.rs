//! Sizes, names, the four lines of trust, and where what is dangerous may stand.

use std::fs;

use gatepost::role::TABLE;

use crate::source::{files, root, sources};

/// Where one looks for the seam, and the wall.
const SEAM: usize = 400;
const WALL: usize = 600;
/// Files beyond the seam, each with the reason why it is one thing.
const LONG: [(&str, &str); 0] = [];

/// Names that say nothing.
const EMPTY_NAMES: [&str; 11] =
    ["util", "utils", "common", "helper", "helpers", "manager", "misc", "info", "data", "types", "constants"];

fn lines(text: &str) -> usize {
    text.lines().count()
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let mut wrong = Vec::new();
    for path in files("src", &[".rs"]).into_iter().chain(files("tests", &[".rs"])) {
        let length = lines(&fs::read_to_string(&path).unwrap());
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        let known = LONG.iter().any(|(known, _)| *known == name);
        match length {
            _ if length > WALL => wrong.push(format!("{name} has {length} lines; the wall is {WALL}")),
            _ if length > SEAM && !known => {
                wrong.push(format!("{name} has {length} lines: look for the seam, or list it"))
            }
            _ if length <= SEAM && known => wrong.push(format!("{name} is listed as long and is not")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_opens_with_a_sentence() {
    let all = files("src", &[".rs"]).into_iter().chain(files("tests", &[".rs"]));
    let silent: Vec<_> = all.filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! ")).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn every_role_opens_with_its_four_lines_of_trust() {
    let all = sources();
    let mut wrong = Vec::new();
    for row in &TABLE {
        let room = row.name.split('-').next().unwrap();
        let Some(source) = all.iter().find(|source| source.path == format!("{room}/mod.rs")) else { continue };
        let head: String = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        let places: Vec<Option<usize>> =
            ["**Does.", "**Trusts.", "**Holds.", "**If it falls"].iter().map(|line| head.find(line)).collect();
        if !places.iter().all(Option::is_some) || !places.is_sorted() {
            wrong.push(format!("src/{room}/mod.rs: {places:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_say_what_a_file_is() {
    for source in sources() {
        for part in source.path.trim_end_matches(".rs").split('/') {
            // DATA is a verb of SMTP.
            let is_verb = ["edge/smtp/data", "fuzzing/data"].iter().any(|place| source.is_below(place));
            assert!(!EMPTY_NAMES.contains(&part) || part == "data" && is_verb, "src/{}", source.path);
        }
    }
}

#[test]
fn unsafe_code_stands_in_one_place() {
    for source in sources() {
        let is_sys = source.is_below("sys");
        assert!(is_sys || !source.has("unsafe "), "src/{} has unsafe code", source.path);
        let lifts = source.code.contains("allow(unsafe_code)");
        assert!(!lifts || source.path == "sys/mod.rs", "src/{} lifts the ban on unsafe code", source.path);
        for (at, _) in source.text.match_indices("unsafe {") {
            let before: Vec<&str> = source.text[..at].lines().rev().take(6).collect();
            assert!(before.iter().any(|line| line.contains("SAFETY:")), "src/{}: unsafe without SAFETY:", source.path);
        }
    }
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(library.contains("#![deny(unsafe_code)]"));
    assert!(library.contains("#[cfg(any(test, fuzzing))]\npub mod fuzzing;"), "what is fuzzed is in no release");
}

#[test]
fn systems_are_told_apart_in_two_places() {
    for source in sources() {
        let is_place = source.is_below("sandbox") || source.is_below("sys");
        let tells = ["cfg(target_os", "cfg(not(target_os", "cfg!(target_os", "cfg(any(target_os", "cfg(unix"];
        assert!(is_place || !tells.iter().any(|cfg| source.code.contains(cfg)), "src/{}", source.path);
    }
}

#[test]
fn nothing_is_left_for_later() {
    for source in sources() {
        for word in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "dbg!("] {
            assert!(!source.text.contains(word), "src/{} has {word}", source.path);
        }
    }
}
