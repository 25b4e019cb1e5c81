//! What each end of a program means.

use super::*;

const SIZE: u64 = 100;

fn judged(how: How, read: u64) -> Judgement {
    judge(&Ended { how, read, output: "its\u{1b}[31m words".into() }, SIZE, Duration::from_secs(7))
}

/// The outcome in one word.
fn word(judgement: &Judgement) -> &'static str {
    match judgement {
        Judgement::All(Outcome::Delivered(_)) => "delivered",
        Judgement::OneOf(Outcome::Failed(_)) => "one failed",
        Judgement::All(Outcome::Unknown(_)) => "unknown",
        Judgement::PutOff(_) => "put off",
        Judgement::Route(_) => "route",
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_number_that_a_program_ends_with_decides() {
    for (code, expected) in [
        (0, "delivered"),
        (1, "put off"),
        (64, "put off"),
        (65, "one failed"),
        (66, "put off"),
        (67, "one failed"),
        (68, "put off"),
        (69, "put off"),
        (70, "put off"),
        (71, "put off"),
        (72, "put off"),
        (73, "put off"),
        (74, "put off"),
        (75, "put off"),
        (76, "put off"),
        (77, "put off"),
        (78, "put off"),
        (79, "put off"),
        (127, "put off"),
        (128, "put off"),
        (137, "unknown"),
        (143, "unknown"),
        (255, "put off"),
    ] {
        assert_eq!(word(&judged(How::Exit(code), SIZE)), expected, "{code}");
    }
    assert_eq!(word(&judged(How::NotStarted, 0)), "route");
    assert_eq!(word(&judged(How::Signal(9), SIZE)), "unknown", "it may have taken what it has read");
    assert_eq!(word(&judged(How::Signal(9), SIZE - 1)), "put off");
    assert_eq!(word(&judged(How::Exit(143), SIZE - 1)), "put off");
}

#[test]
fn nothing_is_delivered_that_was_not_read_and_nobody_knows_of_what_was_when_time_is_over() {
    for read in [0, SIZE - 1] {
        assert_eq!(word(&judged(How::Exit(0), read)), "unknown", "it may have had it otherwise");
        assert_eq!(word(&judged(How::Late, read)), "put off");
    }
    assert_eq!(word(&judged(How::Late, SIZE)), "unknown");
    let Judgement::All(Outcome::Unknown(said)) = judged(How::Late, SIZE) else { panic!("another") };
    assert!(said.text.starts_with(UNANSWERED) && said.text.contains("within 7 s"), "{}", said.text);
}

#[test]
fn a_programs_words_are_data() {
    let Judgement::PutOff(said) = judged(How::Exit(75), SIZE) else { panic!("another") };
    assert_eq!(said.text, "exit 75 (temporary failure): its [31m words");
    assert_eq!(words(&format!("exit 1: {}", "\u{fc}".repeat(1000))).len(), MAX_TEXT);
    assert_eq!(words("exit 1: "), "exit 1");
}
