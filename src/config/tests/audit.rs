//! `[audit]`: how long what is kept.

use super::*;

/// What is written in place of a line of `[audit]`, and what is said of it.
fn warnings(written: &str) -> Vec<String> {
    load(&FULL.replacen("retain_events = \"forever\"", written, 1)).unwrap().warnings
}

#[test]
fn a_clock_that_can_do_nothing_is_a_warning() {
    for (written, expected) in [
        ("least_kept = \"9d\"\nretain_events = \"9d\"", "for want of room"),
        ("retain_events = \"forever\"\nretain_hashes = \"900d\"", "as long as the events"),
        ("retain_events = \"901d\"\nretain_hashes = \"900d\"", "as long as the events"),
    ] {
        assert!(warnings(written).iter().any(|line| line.contains(expected)), "{written}");
    }
    let fine = "least_kept = \"9d\"\nretain_events = \"10d\"\nretain_hashes = \"10d\"";
    assert!(!warnings(fine).iter().any(|line| line.contains("for want of room") || line.contains("as long as")));
}

#[test]
fn hashes_are_kept_for_ever_unless_it_is_said_how_long() {
    let retention =
        |written: &str| load(&FULL.replacen("retain_events = \"forever\"", written, 1)).unwrap().audit.retention;
    assert_eq!(retention("").hashes, None);
    assert_eq!(retention("retain_hashes = \"forever\"").hashes, None);
    assert_eq!(retention("retain_hashes = \"900d\"").hashes, Some(Duration::from_secs(900 * 86_400)));
    let short = complaint("retain_events = \"forever\"", "retain_hashes = \"1h\"");
    assert!(short.contains("retain_hashes: must be from"), "{short}");
}
