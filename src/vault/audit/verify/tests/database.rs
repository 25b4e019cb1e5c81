//! What the vault's database adds to files that don't have everything.

use super::*;

/// Keeps the files as they are.
fn pause(bench: &Bench) -> crate::vault::audit::publish::Pause {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(bench.publisher.pause()).unwrap()
}

#[test]
fn a_head_kept_elsewhere_waits_for_the_files_as_far_as_the_service_or_its_database_has_its_events() {
    let bench = Bench::grown();
    let _paused = pause(&bench);
    bench.append(3);
    bench.seal();
    let heads =
        |sizes: &[u64]| -> Vec<KnownHead> { sizes.iter().map(|size| bench.head(*size, Verdict::Fork)).collect() };
    let state = || Some(bench.home.path().to_owned());
    let waits = || Known { published: Some(660), waiting: Some("3 events wait".into()), ..Known::default() };
    let forked = || vec![KnownHead { root: [7; 32], ..bench.head(662, Verdict::Fork) }];
    let verdict = |known: &Known| bench.against(known.clone()).unwrap_err().verdict;
    for (events, heads, state, expected) in [
        (Some(663), heads(&[661, 663]), None, Verdict::Unsealed),
        (Some(662), heads(&[663]), None, Verdict::Fork),
        (None, heads(&[663]), None, Verdict::Unsealed),
        (Some(663), heads(&[663]), state(), Verdict::Unsealed),
        // What root finds in the database is more than the service's word.
        (Some(663), forked(), None, Verdict::Unsealed),
        (Some(663), forked(), state(), Verdict::Fork),
    ] {
        let known = Known { events, heads, state, ..waits() };
        assert_eq!(verdict(&known), expected, "{known:?}");
    }
    let unasked = |state: Option<PathBuf>| Known { heads: heads(&[663]), state, ..Known::default() };
    assert_eq!(verdict(&unasked(state())), Verdict::Unsealed);
    assert_eq!(verdict(&unasked(None)), Verdict::Fork, "of a copy the end is what it is");
    bench.cut(253);
    let cut = Known { events: Some(663), heads: heads(&[260]), state: state(), ..waits() };
    assert_eq!(verdict(&cut), Verdict::Fork, "it had been there");
    assert_eq!(verdict(&unasked(state())), Verdict::Fork);
    let nothing = bench.against(Known { state: state(), ..Known::default() }).unwrap_err();
    assert!(nothing.verdict == Verdict::Altered && nothing.what.contains("the vault has written 663"), "{nothing}");
}

#[test]
fn what_a_command_wrote_while_the_service_was_stopped_waits_for_its_start() {
    let bench = Bench::grown();
    let _paused = pause(&bench);
    let known = || Known { state: Some(bench.home.path().to_owned()), ..Known::default() };
    assert!(bench.against(known()).is_ok());
    bench.append(2);
    let fault = bench.against(known()).unwrap_err();
    let says = |words: &str| fault.what.contains(words);
    assert_eq!(fault.verdict, Verdict::Unsealed, "{fault}");
    assert!(says("the newest 2 events") && says("under no signed head yet") && says("Start the service"), "{fault}");
}

#[test]
fn a_log_without_a_file_is_what_others_know_of_it() {
    let bench = Bench::grown();
    let known = |heads: &[KnownHead]| {
        let state = Some(bench.home.path().to_owned());
        bench.against(Known { state, heads: heads.to_vec(), ..Known::default() }).unwrap_err()
    };
    fs::remove_file(bench.audit().join("audit.db")).unwrap();
    let gone = |fault: Fault| fault.verdict == Verdict::Altered && fault.what.contains("audit resume");
    assert!(gone(known(&[bench.head(660, Verdict::Altered)])));
    assert!(gone(known(&[])), "by the vault's own database");
    fs::remove_dir_all(bench.audit()).unwrap();
    assert!(gone(known(&[])));
    assert_eq!(bench.verify().unwrap_err().verdict, Verdict::Unreadable, "a copy without files is a mistake");
}

#[test]
fn a_log_whose_service_ended_before_it_published_anything_waits() {
    let young = Bench::new();
    let _paused = pause(&young);
    let known = || Known { state: Some(young.home.path().to_owned()), ..Known::default() };
    let verdict = |known: Known| young.against(known).unwrap_err().verdict;
    assert_eq!(verdict(known()), Verdict::Unreadable);
    young.append(3);
    assert_eq!(verdict(known()), Verdict::Unsealed);
    young.seal();
    let heads = vec![young.head(3, Verdict::Altered)];
    assert_eq!(verdict(Known { heads, ..known() }), Verdict::Unsealed);
}
