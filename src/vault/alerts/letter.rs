//! What is told, as people read it and as a receiver does. Whatever others have named or said in it is plain and bounded.

use serde_json::{Value, json};

use super::look::span;
use super::watch::{Change, Turn};
use crate::vault::feedback::happened::{VERSION, time};

/// The type of the events.
pub const TYPE: &str = "gate.alert";
/// Characters of a text and of a subject.
const TEXT: usize = 300;
pub const LINE: usize = 300;
pub const SUBJECT: usize = 80;

/// One line, in ASCII.
pub fn plain(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(most).map(plain).collect()
}

fn title(change: &Change) -> String {
    plain(&format!("{} {}", change.kind.word(), change.subject), SUBJECT).trim_end().to_owned()
}

/// Of a mail.
pub fn subject(hostname: &str, changes: &[Change]) -> String {
    let count = |turn| changes.iter().filter(|change| change.turn == turn).count();
    let what = match changes {
        [Change { turn: Turn::Begins, .. }] => title(&changes[0]),
        [Change { turn: Turn::GoesOn, .. }] => format!("still: {}", title(&changes[0])),
        [Change { turn: Turn::Over, .. }] => format!("over: {}", title(&changes[0])),
        _ => {
            let counts = [("new", Turn::Begins), ("still", Turn::GoesOn), ("over", Turn::Over)];
            let counts = counts.map(|(word, turn)| (word, count(turn)));
            let counts: Vec<String> =
                counts.iter().filter(|(_, n)| *n > 0).map(|(word, n)| format!("{n} {word}")).collect();
            counts.join(", ")
        }
    };
    format!("[gatepost] {}: {what}", plain(hostname, SUBJECT))
}

/// Of a mail; LF ends its lines.
pub fn text(hostname: &str, changes: &[Change], now_us: u64) -> String {
    let mut text = format!("{} tells of itself at {}:\n", plain(hostname, SUBJECT), time(now_us));
    for change in changes {
        let Change { turn, kind, text: words, since_us, .. } = change;
        let head = match turn {
            Turn::Begins => "NEW",
            Turn::GoesOn => "STILL",
            Turn::Over => "OVER",
        };
        text += &format!("\n{head:<6} {}\n       {}\n", title(change), plain(words, TEXT));
        let age = span(now_us.saturating_sub(*since_us));
        text += &format!("       since {} ({age})\n", time(*since_us));
        if *turn != Turn::Over {
            text += &format!("       do: {}\n", kind.advice());
        }
    }
    text + FOOT
}

/// Behind each of these mails.
pub const FOOT: &str = "\n-- \nWhat goes on now: gatepost alert status. What each word means and what to do: docs/operations.md, Alerts.\n\
                        Who gets this: [alerts] in gatepost.toml.\n";

/// The event of one, for a webhook.
pub fn event(hostname: &str, change: &Change, now_us: u64) -> Value {
    let Change { turn, kind, subject, text, since_us } = change;
    let text = plain(text, TEXT);
    let now = time(now_us);
    json!({
        "type": TYPE, "version": VERSION, "timestamp": now, "created_at": now,
        "data": {
            "hostname": hostname, "alert": kind.word(), "subject": plain(subject, TEXT), "state": turn.word(), "text": text,
            "since": time(*since_us), "advice": kind.advice(),
        },
    })
}

/// The same of a test, of which nothing is wrong.
pub fn test_event(hostname: &str, now_us: u64) -> Value {
    let now = time(now_us);
    json!({
        "type": TYPE, "version": VERSION, "timestamp": now, "created_at": now,
        "data": {
            "hostname": hostname, "alert": "test", "subject": "", "state": "test", "text": "nothing is wrong", "since": now,
            "advice": "nothing is to be done",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::feedback::MAX_BODY;
    use crate::vault::alerts::sign::Kind;
    use crate::vault::alerts::watch::ROUND;

    fn change(turn: Turn, subject: &str, text: &str) -> Change {
        let (subject, text) = (subject.to_owned(), text.to_owned());
        Change { turn, kind: Kind::Upstream, subject, text, since_us: 1_800_000_000_000_000 }
    }

    #[test]
    fn what_others_have_said_stays_on_its_line_and_has_an_end() {
        let evil = "a\r\nBcc: x@example.org\u{202e}\u{0}".repeat(200);
        for changes in [vec![change(Turn::Begins, &evil, &evil)], vec![change(Turn::Over, &evil, &evil); ROUND]] {
            let now = 1_800_000_060_000_000;
            let subject = subject("gate.example.net", &changes);
            assert!(subject.len() < 200 && subject.bytes().all(|b| (b' '..0x7f).contains(&b)), "{subject}");
            let text = text("gate.example.net", &changes, now);
            assert!(text.is_ascii() && text.lines().all(|line| line.len() < 400), "{text}");
            assert!(!text.lines().any(|line| line.starts_with("Bcc")) && text.len() < 100_000);
            assert!(event("gate.example.net", &changes[0], now).to_string().len() < MAX_BODY);
        }
    }

    #[test]
    fn one_is_named_in_the_subject_and_several_are_counted() {
        let one = |turn| subject("gate.example.net", &[change(turn, "smarthost", "")]);
        assert_eq!(one(Turn::Begins), "[gatepost] gate.example.net: upstream smarthost");
        assert_eq!(one(Turn::Over), "[gatepost] gate.example.net: over: upstream smarthost");
        assert_eq!(one(Turn::GoesOn), "[gatepost] gate.example.net: still: upstream smarthost");
        let several = [Turn::Begins, Turn::Begins, Turn::Over].map(|turn| change(turn, "a", ""));
        assert_eq!(subject("gate.example.net", &several), "[gatepost] gate.example.net: 2 new, 1 over");
    }
}
