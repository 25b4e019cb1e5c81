//! Proofs out of the auditors' files alone: over several months, and when the earlier ones are gone.

use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::merkle::proof::is_included;
use crate::merkle::{fold, node_hash};
use crate::vault::audit::schema::{NEWEST, STEPS};
use crate::vault::audit::specimen::Specimen;

/// Three months, with tiles that are full, that span two months, and that aren't full yet.
fn grown() -> Specimen {
    let mut log = Specimen::grown(&[3, 250, 7, 400]);
    log.end_month("2020-01");
    log.grow(300);
    log.end_month("2020-02");
    log.grow(41);
    log
}

fn sizes(archive: &Archive) -> Vec<u64> {
    archive.heads(0, u64::MAX >> 1).unwrap().iter().map(|head| head.size).collect()
}

#[test]
fn every_event_that_is_here_has_a_proof_under_every_head_also_when_earlier_months_are_gone() {
    let log = grown();
    for (gone, first) in [(None, 0), (Some("audit-2020-01.db"), 660), (Some("audit-2020-02.db"), 960)] {
        if let Some(gone) = gone {
            fs::remove_file(log.audit().join(gone)).unwrap();
        }
        let archive = Archive::open(&log.audit()).unwrap();
        assert_eq!((archive.first(), archive.size()), (first, 1001));
        let heads: Vec<Head> = archive.heads(first, 1001).unwrap();
        assert_eq!(heads.last().map(|head| head.size), Some(1001));
        let seqs: BTreeSet<u64> = (first..1001).step_by(7).chain([first, 1000]).collect();
        for seq in seqs {
            let row = archive.event(seq).unwrap();
            for head in heads.iter().filter(|head| head.size > seq) {
                let proof = archive.prover().inclusion(seq, head.size).unwrap();
                assert!(is_included(seq, &row.leaf_hash, head.size, &head.root, &proof), "{seq} in {}", head.size);
            }
        }
        if let Some(before) = first.checked_sub(1) {
            let gone = archive.event(before).map(|row| row.seq).unwrap_err();
            assert!(gone.what.contains("a month that isn't here"), "{gone}");
        }
        assert!(archive.event(1001).unwrap_err().what.contains("there is no event 1001"));
    }
}

#[test]
fn a_single_file_of_several_is_enough_for_what_is_in_it() {
    let log = grown();
    let archive = Archive::open(&log.audit().join("audit-2020-02.db")).unwrap();
    // The head over the month before came too late for that month's file, too.
    assert_eq!((archive.first(), archive.size(), sizes(&archive)), (660, 960, vec![660, 960]));
    let head = archive.newest().unwrap().unwrap();
    let proof = archive.prover().inclusion(700, 960).unwrap();
    assert!(is_included(700, &archive.event(700).unwrap().leaf_hash, 960, &head.root, &proof));
}

#[test]
fn heads_are_found_by_size_by_cover_and_by_time() {
    let log = grown();
    let archive = Archive::open(&log.audit()).unwrap();
    assert_eq!(sizes(&archive), [3, 253, 260, 660, 960, 1001]);
    let size = |head: Result<Option<Head>, Fault>| head.unwrap().map(|head| head.size);
    assert_eq!(size(archive.newest()), Some(1001));
    assert_eq!((size(archive.head_of(260)), size(archive.head_of(261))), (Some(260), None));
    assert_eq!((size(archive.head_from(261)), size(archive.head_from(1002))), (Some(660), None));
    let time_us = |size: u64| archive.head_of(size).unwrap().unwrap().time_us;
    assert_eq!(size(archive.head_before(time_us(960))), Some(660));
    assert_eq!(size(archive.head_before(time_us(3))), None);
}

/// What a reader of an export does: subtrees pushed in order, each merged with its like.
fn root(subtrees: impl IntoIterator<Item = (u32, Hash)>) -> Hash {
    let mut stack: Vec<(u32, Hash)> = Vec::new();
    for (mut height, mut hash) in subtrees {
        while let Some((_, left)) = stack.pop_if(|(top, _)| *top == height) {
            (height, hash) = (height + 1, node_hash(&left, &hash));
        }
        stack.push((height, hash));
    }
    fold(&stack.into_iter().map(|(_, hash)| hash).collect::<Vec<_>>())
}

#[test]
fn base_events_and_rest_lead_to_the_root_from_anywhere_to_anywhere() {
    let log = grown();
    fs::remove_file(log.audit().join("audit-2020-01.db")).unwrap();
    let archive = Archive::open(&log.audit()).unwrap();
    let head = archive.newest().unwrap().unwrap();
    let mut prover = archive.prover();
    for (from, to) in [(660, 1001), (660, 661), (700, 701), (768, 1000), (799, 960), (1000, 1001)] {
        let base = prover.frontier_at(from).unwrap();
        let mut all: Vec<(u32, Hash)> = subtrees::places(&base).map(|((height, _), hash)| (height, hash)).collect();
        archive
            .each(from, to, |rows| {
                all.extend(rows.iter().map(|row| (0, row.leaf_hash)));
                Ok(())
            })
            .unwrap();
        all.extend(rest(&mut prover, to, 1001).unwrap());
        assert_eq!(root(all), head.root, "{from} {to}");
    }
}

#[test]
fn a_month_missing_in_the_middle_is_told_by_whoever_needs_it_and_by_nobody_else() {
    let log = grown();
    fs::remove_file(log.audit().join("audit-2020-02.db")).unwrap();
    let archive = Archive::open(&log.audit()).unwrap();
    let missing = archive.each(650, 970, |_| Ok(())).unwrap_err();
    assert!(missing.what.contains("event 660"), "{missing}");
    let head = archive.newest().unwrap().unwrap();
    let proof = archive.prover().inclusion(970, 1001).unwrap();
    assert!(is_included(970, &archive.event(970).unwrap().leaf_hash, 1001, &head.root, &proof));
}

#[test]
fn an_event_or_head_that_is_not_what_is_written_there_is_altered_and_a_foreign_file_is_unreadable() {
    for (sql, verdict) in [
        ("DELETE FROM event WHERE seq = 970", Verdict::Altered),
        ("UPDATE event SET leaf_hash = x'00' WHERE seq = 970", Verdict::Altered),
        ("UPDATE info SET value = 'x' WHERE key = 'first_seq'", Verdict::Altered),
        ("UPDATE info SET value = '' WHERE key = 'base'", Verdict::Altered),
        ("PRAGMA application_id = 7", Verdict::Unreadable),
    ] {
        let log = grown();
        log.tamper(sql);
        let found = Archive::open(&log.audit()).and_then(|archive| archive.each(0, 1001, |_| Ok(())));
        assert_eq!(found.unwrap_err().verdict, verdict, "{sql}");
    }
}

#[test]
fn a_month_that_was_only_just_made_is_no_obstacle() {
    let mut log = grown();
    log.end_month("2020-03");
    let fresh = log.audit().join("audit.db");
    fs::write(&fresh, b"").unwrap();
    assert_eq!(Archive::open(&log.audit()).unwrap().size(), 1001);
    rusqlite::Connection::open(&fresh)
        .unwrap()
        .execute_batch(&format!(
            "{} PRAGMA application_id = 0x47545041; PRAGMA user_version = {NEWEST};",
            STEPS.concat()
        ))
        .unwrap();
    assert_eq!(Archive::open(&log.audit()).unwrap().size(), 1001);
}

#[test]
fn a_copy_of_the_files_is_the_same_log_and_is_given_up_when_somebody_wants_that() {
    let log = grown();
    let mut archive = Archive::open(&log.audit()).unwrap();
    let place = tempfile::tempdir().unwrap();
    copy(&mut archive, place.path(), || false).unwrap();
    let summary = verify::verify(place.path(), log.key(), &verify::Known::default(), |_| {}).unwrap();
    assert_eq!((summary.size, summary.sealed, summary.files), (1001, 1001, 3));
    let other = tempfile::tempdir().unwrap();
    assert!(copy(&mut archive, other.path(), || true).is_err());
}
