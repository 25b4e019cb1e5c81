//! Where bare line feeds are repaired: what becomes of them, and that nothing else does.

use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    content: Vec<u8>,
    taken: usize,
    ended: bool,
    fault: Option<Fault>,
    repaired: u64,
}

fn scan(input: &[u8], step: usize, repairs: bool) -> Seen {
    let mut scanner = Scanner::new(repairs);
    let (mut content, mut taken, mut ended) = (Vec::new(), 0, false);
    for part in input.chunks(step.max(1)) {
        let scanned = scanner.scan(part, &mut content);
        taken += scanned.consumed;
        ended = scanned.ended;
        if ended {
            break;
        }
    }
    let tally = scanner.tally();
    assert!(tally.fault().is_some() || tally.octets() == content.len() as u64);
    Seen { content, taken, ended, fault: tally.fault(), repaired: scanner.repaired() }
}

/// The same at every segmentation.
fn all(input: &[u8]) -> Seen {
    let whole = scan(input, input.len(), true);
    for step in 1..input.len() {
        let seen = scan(input, step, true);
        assert_eq!((seen.taken, seen.ended, seen.fault), (whole.taken, whole.ended, whole.fault), "{step} {input:?}");
        if whole.fault.is_none() {
            assert_eq!(seen, whole, "{step} {input:?}");
        }
    }
    whole
}

#[test]
fn rule_l5_a_bare_line_feed_becomes_a_line_end_and_a_dot_behind_it_is_no_end() {
    for (input, content, repaired) in [
        (&b"a\nb\n\nc\r\n.\r\n"[..], &b"a\r\nb\r\n\r\nc\r\n"[..], 3),
        (b"\na\r\n.\r\n", b"\r\na\r\n", 1),
        (b"a\r\n\n\nb\n\r\n.\r\n", b"a\r\n\r\n\r\nb\r\n\r\n", 3),
        (b"a\n.b\n..c\r\n..d\r\n.\r\n", b"a\r\nb\r\n.c\r\n.d\r\n", 2),
        (b"\n..\n...\n. \n.\n..\r\n.\r\n", b"\r\n.\r\n..\r\n \r\n.\r\n.\r\n", 5),
        (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n", 1),
        (b"a\n.\nMAIL FROM:<x@y>\n\r\n.\r\n", b"a\r\n.\r\nMAIL FROM:<x@y>\r\n\r\n", 3),
        (b"a\n.\r\nMAIL FROM:<x@y>\r\n.\r\n", b"a\r\n.\r\nMAIL FROM:<x@y>\r\n", 1),
    ] {
        let seen = all(input);
        assert_eq!(seen.fault, None, "{input:?}");
        assert!(seen.ended && seen.taken == input.len(), "{input:?}");
        assert_eq!((seen.content.as_slice(), seen.repaired), (content, repaired), "{input:?}");
    }
}

#[test]
fn rule_l5_rule_l2_what_only_resembles_the_end_is_none_where_line_feeds_are_repaired() {
    for false_end in [
        &b"a\n.\n"[..],
        b"a\n.\r\n",
        b"a\r\n.\n",
        b"a\n.\r",
        b".\n",
        b"\n.\r\n",
        b"\n.\n",
        b"a\n\r\n\n.\r\n",
        b"a\r.\r\n",
    ] {
        assert!(!all(false_end).ended, "{false_end:?}");
    }
}

#[test]
fn rule_l5_rule_l4_a_bare_carriage_return_and_nul_are_never_repaired() {
    for bad in [&b"a\rb\n\r\n.\r\n"[..], b"a\n\r\r\n.\r\n", b"a\r\r\n.\r\n", b"\n\0\r\n.\r\n", b"a\r\n.\rb\n\r\n.\r\n"]
    {
        let seen = all(bad);
        assert!(seen.ended && seen.fault == Some(Fault::Framing), "{bad:?}");
    }
}

#[test]
fn rule_l5_rule_l9_a_repaired_line_is_no_longer_than_another() {
    let line = |n: usize| [&vec![b'x'; n][..], b"\n"].concat();
    for step in [1, 2, 998, 999, 1000, 4096] {
        assert_eq!(scan(&[&line(998)[..], &line(998), b"\r\n.\r\n"].concat(), step, true).fault, None, "{step}");
        let seen = scan(&[&line(999)[..], b"\r\n.\r\n"].concat(), step, true);
        assert_eq!(seen.fault, Some(Fault::LineTooLong), "{step}");
    }
}

/// What an upstream is sent by DATA.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b".\r\n");
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The invariant: with repair the content ends exactly where it ends without, in whatever segments it comes; and what was
    /// kept is one message to the strictest reader, octet for octet.
    #[test]
    fn rule_l5_rule_l2_repair_moves_no_end_and_what_comes_out_is_exactly_one_message(
        parts in prop::collection::vec(
            prop::sample::select(vec![".", "\r\n", "\r", "\n", "\n", "a", "..", "\n.\n", "\r\n.\n", "MAIL FROM:<a@b>"]), 0..24,
        ),
        step in 1usize..9,
    ) {
        let input = parts.concat().into_bytes();
        let (repaired, strict) = (scan(&input, step, true), scan(&input, input.len(), false));
        prop_assert_eq!((repaired.taken, repaired.ended), (strict.taken, strict.ended));
        if strict.fault.is_none() {
            prop_assert_eq!(&repaired, &strict);
        }
        if repaired.ended && repaired.fault.is_none() {
            let bare = String::from_utf8_lossy(&repaired.content).replace("\r\n", "");
            prop_assert!(!bare.contains(['\r', '\n']));
            let sent = stuffed(&repaired.content);
            let read = scan(&sent, sent.len(), false);
            prop_assert_eq!((read.ended, read.taken, read.fault), (true, sent.len(), None));
            prop_assert_eq!(read.content, repaired.content);
        }
    }
}
