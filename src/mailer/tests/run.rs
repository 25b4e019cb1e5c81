//! Runs of real programs: how they end, what they were given, and what they may leave behind.

use std::time::Instant as Clock;

use super::*;

const LETTER: &str = "Subject: x\n\nhello\n";
/// Far beyond what any of these needs.
const ENOUGH: Duration = Duration::from_secs(60);

fn run_within(limit: Duration, script: &str) -> Ended {
    let words = ["-c", script, "program"].map(OsString::from).to_vec();
    ended(Run { command: "/bin/sh".into(), words, letter: Arc::new(LETTER.into()), limit })
}

fn run(script: &str) -> Ended {
    run_within(ENOUGH, script)
}

fn ended(run: Run) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run.finish())
}

#[test]
fn a_program_is_given_the_letter_and_nothing_else_of_ours() {
    let ended = run("cat; echo; env | sort; pwd; grep SigIgn /proc/self/status");
    assert_eq!((ended.how, ended.read), (How::Exit(0), LETTER.len() as u64));
    let said: Vec<&str> = ended.output.split("; ").collect();
    assert_eq!(said[..2], ["Subject: x", "hello"], "{}", ended.output);
    let rest = &said[2..];
    // The shell adds its own.
    assert!(rest.iter().all(|line| !line.contains("CARGO") && !line.contains("HOME")), "{rest:?}");
    assert!(rest.contains(&"PATH=/usr/sbin:/usr/bin:/sbin:/bin") && rest.contains(&"/"), "{rest:?}");
    // SIGHUP, SIGINT, SIGPIPE and SIGTERM (bit 0 is signal 1); others stay as whoever started the tests has them.
    let ignored = rest.iter().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0x5003, 0, "{rest:?}");
}

#[test]
fn how_it_ended_and_how_far_it_read_is_told_with_the_first_of_its_words() {
    for code in [0, 64, 75, 127] {
        let ended = run(&format!("cat >/dev/null; echo no >&2; exit {code}"));
        assert_eq!(ended, Ended { how: How::Exit(code), read: LETTER.len() as u64, output: "no".into() });
    }
    assert_eq!(run("exec <&-; exit 0").read, 0);
    let some = run("dd bs=1 count=7 of=/dev/null 2>/dev/null");
    assert_eq!((some.how, some.read), (How::Exit(0), 7));
    assert_eq!(run("kill -SEGV $$").how, How::Signal(11));
    let noisy = run("cat >/dev/null; yes word | head -c 8000000; exit 70");
    assert_eq!(noisy.how, How::Exit(70));
    assert!(noisy.output.starts_with("word; word") && noisy.output.len() < 2 * MAX_OUTPUT);
    let absent =
        ended(Run { command: "/nonexistent/sendmail".into(), words: vec![], letter: Arc::default(), limit: ENOUGH });
    assert_eq!(absent.how, How::NotStarted);
    assert!(absent.output.contains("No such file"), "{absent:?}");
}

#[test]
fn one_whose_time_is_over_is_ended_with_all_that_it_started() {
    let mark = format!("{}.5", 100_000 + std::process::id());
    for (reads, read) in [("cat >/dev/null;", LETTER.len() as u64), ("", 0)] {
        let ended = run_within(
            Duration::from_millis(300),
            &format!("{reads} trap '' TERM; sleep {mark} & sleep {mark}; sleep {mark}"),
        );
        assert_eq!((ended.how, ended.read), (How::Late, read));
        let still = std::process::Command::new("pgrep").args(["-f", "-x", &format!("sleep {mark}")]).output().unwrap();
        assert!(still.stdout.is_empty(), "{still:?}");
    }
}

#[test]
fn one_that_is_asked_to_end_may_tidy_up() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("tidied");
    let script = format!("trap 'echo x > {}; exit 75' TERM; while :; do sleep 0.05; done", mark.display());
    assert_eq!(run_within(Duration::from_millis(300), &script).how, How::Late);
    assert!(mark.exists());
}

#[test]
fn what_a_program_leaves_behind_is_not_waited_for() {
    let begun = Clock::now();
    let ended = run("cat >/dev/null; echo queued; sleep 20 & exit 0");
    assert_eq!(ended, Ended { how: How::Exit(0), read: LETTER.len() as u64, output: "queued".into() });
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}
