//! What stands beside the events, edited.

use super::*;

#[test]
fn what_no_hash_covers_is_what_is_written_there() {
    let bench = Bench::grown();
    let right = format!("INSERT INTO info VALUES('origin', '{ORIGIN}'), ('vkey', '{}')", key(1).verifier());
    assert_eq!(bench.after(&right), Verdict::Sound);
    for sql in [
        "UPDATE info SET value = '1000000' WHERE key = 'published_size'",
        "UPDATE info SET value = '0660' WHERE key = 'published_size'",
        "DELETE FROM info WHERE key = 'published_size'",
        "UPDATE info SET value = '2020-01' WHERE key = 'month'",
        "DELETE FROM info WHERE key = 'month'",
        "UPDATE info SET value = '00' WHERE key = 'first_seq'",
        "INSERT INTO info VALUES('origin', 'gate.example.net/other')",
        "INSERT INTO info VALUES('more', 'x')",
        "INSERT INTO tile VALUES(0, 2, zeroblob(8192))",
        "INSERT INTO tile VALUES(1, 0, zeroblob(8192))",
        "INSERT INTO tile VALUES('x', 0, zeroblob(8192))",
        "INSERT INTO tile VALUES(9, 0, zeroblob(8192))",
        "UPDATE checkpoint SET time_us = 'x' WHERE size = 660",
        "UPDATE checkpoint SET time_us = x'00' WHERE size = 660",
        "UPDATE checkpoint SET time_us = -1 WHERE size = 660",
        "UPDATE checkpoint SET note = CAST(note AS BLOB) WHERE size = 660",
        "INSERT INTO anchor VALUES('w1', 5, 'x', NULL)",
        "INSERT INTO anchor VALUES('w1', 'x', 1, NULL)",
        "INSERT INTO anchor VALUES(x'00', 5, 1, NULL)",
        "INSERT INTO anchor VALUES('w1', 5, 1, x'00')",
    ] {
        assert_eq!(bench.after(sql), Verdict::Altered, "{sql}");
    }
    let other = format!("INSERT INTO info VALUES('vkey', '{}')", key(2).verifier());
    assert_eq!(bench.after(&other), Verdict::Signature);
    for version in [3, 999, -1] {
        assert_eq!(bench.after(&format!("PRAGMA user_version = {version}")), Verdict::Unreadable, "{version}");
    }
}

#[test]
fn a_note_that_steers_a_terminal_is_none() {
    let bench = Bench::grown();
    let add = |name: &str| {
        let line = format!("'\u{2014} ' || {name} || ' AAAAAAAAAA==' || char(10)");
        bench.after(&format!("UPDATE checkpoint SET note = note || {line} WHERE size = 660"))
    };
    assert_eq!(add("'witness.example.com/w1'"), Verdict::Sound);
    for unseen in [0x1b, 0x7f, 0x9b, 0x202e, 0x2028, 0xfeff, 0xe0001] {
        assert_eq!(add(&format!("'w' || char({unseen})")), Verdict::Signature, "{unseen:x}");
    }
}
