//! Exports of a log of three months, each read by something else than what wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::merkle::note::Checkpoint;
use crate::merkle::tree::subtree;
use crate::merkle::{Frontier, Hash, leaf_hash};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::second_opinion::second_opinion;
use crate::vault::audit::specimen::Specimen;
use crate::vault::audit::verify::{Known, time, verify};

fn grown() -> Specimen {
    let mut log = Specimen::grown(&[3, 250, 7, 400]);
    log.end_month("2020-01");
    log.grow(300);
    log.end_month("2020-02");
    log.grow(41);
    log
}

fn export(log: &Specimen, format: Format, from: Option<u64>, to: Option<u64>, output: &Path) -> Result<(), Fault> {
    let place = Place { config: PathBuf::new(), directory: Some(log.audit()) };
    let export = Export { place, format, from, to, output: Some(output.to_owned()), spreadsheet: false, json: false };
    export.check()?;
    let mut archive = Archive::open(&log.audit())?;
    let range = export.range(&archive)?;
    let way = Way { stop: Arc::new(|| false), progress: Progress::new("exporting", true, || None) };
    export.write(Target::new(output)?, &mut archive, &log.audit(), &range, way)
}

fn jsonl(log: &Specimen, from: Option<u64>, to: Option<u64>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x");
    export(log, Format::Jsonl, from, to, &file).unwrap();
    fs::read_to_string(file).unwrap()
}

fn opinion(log: &Specimen, text: &str, from: u64) -> u8 {
    opinion_with(log, text, &["--from", &from.to_string()])
}

fn opinion_with(log: &Specimen, text: &str, words: &[&str]) -> u8 {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    second_opinion(file.path(), log.key(), words)
}

#[test]
fn json_lines_are_verified_by_python_from_anywhere_to_anywhere_and_when_months_are_gone() {
    let log = grown();
    for (from, to) in [(None, None), (Some(5), Some(700)), (Some(253), Some(260)), (Some(660), None), (None, Some(1))] {
        let text = jsonl(&log, from, to);
        assert_eq!(opinion(&log, &text, from.unwrap_or(0)), 0, "{from:?} {to:?}");
        let count = to.unwrap_or(1001) - from.unwrap_or(0);
        assert_eq!(text.lines().filter(|line| line.contains("\"leaf_hash\"")).count() as u64, count);
        assert!(text.lines().last().unwrap().starts_with("{\"checkpoint\":"));
    }
    fs::remove_file(log.audit().join("audit-2020-01.db")).unwrap();
    assert_eq!(opinion(&log, &jsonl(&log, None, Some(990)), 660), 0);
}

#[test]
fn json_lines_that_were_changed_are_found_out() {
    let log = grown();
    let text = jsonl(&log, Some(600), Some(1000));
    let lines: Vec<&str> = text.lines().collect();
    let found = |lines: &[&str]| opinion(&log, &(lines.join("\n") + "\n"), 600);
    assert_eq!(found(&lines), 0);
    let without = |at: usize| [&lines[..at], &lines[at + 1..]].concat();
    assert_eq!(found(&without(200)), 10, "an event removed");
    assert_eq!(found(&without(lines.len() - 1)), 10, "the end removed");
    assert_eq!(found(&[&lines[..200], &lines[199..]].concat()), 10, "an event doubled");
    let mut swapped = lines.clone();
    swapped.swap(200, 201);
    assert_eq!(found(&swapped), 10, "events out of order");
    for (old, new, code) in [
        ("\"bytes\":1200", "\"bytes\":1201", 10),
        ("\"value\":\"shop\"", "\"value\":\"stop\"", 10),
        ("***@example.net", "***@example.com", 10),
        ("msg.accept", "msg.reject", 10),
        (",\"value\":\"shop\"", "", 10),
    ] {
        let changed = lines[200].replace(old, new);
        assert_ne!(changed, lines[200], "{old}");
        assert_eq!(found(&[&lines[..200], &[&changed], &lines[201..]].concat()), code, "{old}");
    }
    // What nobody hashed, and what another reader would read otherwise.
    let seq: serde_json::Value = serde_json::from_str(lines[200]).unwrap();
    let seq = format!("\"seq\":{}", seq["seq"]);
    let (more, float) = (format!("\"account\":\"mallory\",{seq}"), format!("{seq}.0"));
    for (old, new) in [
        ("\"time\":\"20", "\"time\":\"19"),
        ("\"bytes\":1200", "\"bytes\":\"1200\""),
        ("\"event\":\"msg.accept\"", "\"event\":\"msg.reject\",\"event\":\"msg.accept\""),
        ("\"value\":\"shop\"", "\"value\":\"stop\",\"value\":\"shop\""),
        (&seq, &more),
        (&seq, &float),
        ("\"hash\":\"", "\"more\":\"x\",\"hash\":\""),
    ] {
        let changed = lines[200].replacen(old, new, 1);
        assert_ne!(changed, lines[200], "{old}");
        assert_eq!(found(&[&lines[..200], &[&changed], &lines[201..]].concat()), 10, "{new}");
    }
    for (at, old, new) in [
        (0, "\"first\":600", "\"first\":600,\"more\":1"),
        (0, "\"origin\":null", "\"origin\":\"else.example.net/audit\""),
        (lines.len() - 1, "{\"checkpoint\"", "{\"more\":1,\"checkpoint\""),
    ] {
        let changed = lines[at].replacen(old, new, 1);
        assert_ne!(changed, lines[at], "{old}");
        assert_eq!(found(&[&lines[..at], &[&changed], &lines[at + 1..]].concat()), 10, "{new}");
    }
    let mut event: serde_json::Value = serde_json::from_str(lines[200]).unwrap();
    for member in ["value", "salt"] {
        event["committed"]["account"].as_object_mut().unwrap().remove(member);
    }
    let event = event.to_string();
    let erased = [&lines[..200], &[event.as_str()], &lines[201..]].concat();
    assert_eq!(found(&erased), 1, "a value erased: an event behind the last one here may say so");
    let now = time(now_us());
    let words = ["--from", "600", "--as-of", &now];
    assert_eq!(opinion_with(&log, &erased.join("\n"), &words), 11, "and none can when this was all");
}

/// The hashes of a level, from its tiles in order.
fn level(folder: &Path, level: u32, hashes: u64) -> Vec<Hash> {
    let read = |number: u64, width: u64| {
        let name =
            format!("tile/{level}/{number:03}{}", if width < 256 { format!(".p/{width}") } else { String::new() });
        let octets = fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(octets.len() as u64, width * 32, "{name}");
        octets.as_chunks::<32>().0.to_vec()
    };
    let widths = (0..hashes.div_ceil(256)).map(|number| (number, 256.min(hashes - number * 256)));
    widths.flat_map(|(number, width)| read(number, width)).collect()
}

/// The entries, from their bundles in order.
fn entries(folder: &Path, size: u64) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for number in 0..size.div_ceil(256) {
        let width = 256.min(size - number * 256);
        let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
        let bundle = fs::read(folder.join(format!("tile/entries/{number:03}{partial}"))).unwrap();
        let mut rest = bundle.as_slice();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            entries.push(entry.to_vec());
            rest = after;
        }
    }
    entries
}

#[test]
fn tiles_hold_the_tree_that_their_checkpoint_signs_and_the_entries_it_was_made_from() {
    let log = grown();
    for size in [1001, 660, 253] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("log");
        export(&log, Format::Tiles, None, Some(size), &folder).unwrap();
        let head = log.key().checkpoint(&fs::read_to_string(folder.join("checkpoint")).unwrap()).unwrap();
        assert_eq!(head.size, size);
        let leaves = level(&folder, 0, size);
        let hashed: Vec<Hash> = entries(&folder, size).iter().map(|entry| leaf_hash(entry)).collect();
        assert_eq!(hashed, leaves);
        let mut tree = Frontier::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        assert_eq!(tree.root(), head.root);
        if size >= 256 {
            let above: Vec<Hash> = leaves.chunks_exact(256).map(subtree).collect();
            assert_eq!(level(&folder, 1, size / 256), above);
        }
        let files = fs::read_dir(folder.join("tile")).unwrap().count();
        assert_eq!(files, if size < 256 { 2 } else { 3 }, "entries and the levels that there are");
    }
    let place = tempfile::tempdir().unwrap();
    let no_head = export(&log, Format::Tiles, None, Some(700), &place.path().join("log")).unwrap_err();
    assert!(no_head.what.contains("no signed head of 700 events"), "{no_head}");
    fs::remove_file(log.audit().join("audit-2020-01.db")).unwrap();
    let pruned = export(&log, Format::Tiles, None, None, &place.path().join("log")).unwrap_err();
    assert!(pruned.what.contains("begin with event 660"), "{pruned}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn csv_has_a_record_for_each_event_and_one_for_the_head() {
    let log = grown();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("x.csv");
    export(&log, Format::Csv, Some(600), Some(1000), &file).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("seq,time,") && text.ends_with("\r\n"));
    // Only the head has line feeds in it.
    let (records, head) = text.split_once("\r\n,,,audit.checkpoint,").unwrap();
    let seqs: Vec<u64> =
        records.split("\r\n").skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(seqs, (600..1000).collect::<Vec<_>>());
    let note = head.split('"').nth(1).unwrap();
    assert_eq!(Checkpoint::of(note).map(|head| head.size), Some(1001));
}

#[test]
fn sqlite_copies_verify_and_are_the_whole_log() {
    let log = grown();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("copy");
    export(&log, Format::Sqlite, None, None, &folder).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o027, 0, "{entry:?}");
    }
    assert_eq!(verify(&folder, log.key(), &Known::default(), |_| {}).unwrap().size, 1001);
    assert_eq!(second_opinion(&folder, log.key(), &["--head", folder.join("checkpoint").to_str().unwrap()]), 0);
    assert!(export(&log, Format::Sqlite, None, None, &folder).unwrap_err().what.contains("exists already"));
}

#[test]
fn what_cant_be_exported_is_refused_with_the_reason() {
    let log = grown();
    log.append(vec![crate::vault::audit::specimen::accepted()]);
    log.publish();
    let place = tempfile::tempdir().unwrap();
    let refused: BTreeMap<&str, (Option<u64>, Option<u64>, Verdict)> = BTreeMap::from([
        ("no events from 7 up to 7", (Some(7), Some(7), Verdict::Usage)),
        ("no events from 2000", (Some(2000), None, Verdict::Usage)),
        ("not yet 1002", (None, Some(1002), Verdict::Unsealed)),
    ]);
    for (what, (from, to, verdict)) in refused {
        let fault = export(&log, Format::Jsonl, from, to, &place.path().join("x")).unwrap_err();
        assert!(fault.what.contains(what) && fault.verdict == verdict, "{fault}");
    }
    assert_eq!(jsonl(&log, None, None).lines().filter(|line| line.contains("\"leaf_hash\"")).count(), 1001);
    log.tamper("UPDATE event SET reason = 'x' WHERE seq = 970");
    let fault = export(&log, Format::Tiles, None, None, &place.path().join("tiles")).unwrap_err();
    assert_eq!(fault.verdict, Verdict::Altered);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}
