//! Where content ends and where it doesn't.

use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    content: Vec<u8>,
    octets: u64,
    ended: bool,
    left: Vec<u8>,
    fault: Option<Fault>,
}

fn scan(input: &[u8], step: usize) -> Seen {
    let mut scanner = Scanner::default();
    let (mut content, mut taken, mut ended) = (Vec::new(), 0, false);
    for part in input.chunks(step.max(1)) {
        let scanned = scanner.scan(part, &mut content);
        taken += scanned.consumed;
        ended = scanned.ended;
        if ended {
            break;
        }
        assert_eq!(scanned.consumed, part.len());
    }
    Seen {
        content,
        octets: scanner.tally().octets(),
        ended,
        left: input[taken..].to_vec(),
        fault: scanner.tally().fault(),
    }
}

/// The same at every segmentation.
fn all(input: &[u8]) -> Seen {
    let whole = scan(input, input.len());
    for step in 1..input.len() {
        let seen = scan(input, step);
        assert_eq!((&seen.left, seen.ended, seen.fault), (&whole.left, whole.ended, whole.fault), "{step} {input:?}");
        assert_eq!(seen.octets, whole.octets, "{step}");
        if whole.fault.is_none() {
            assert_eq!(seen.content, whole.content, "{step}");
        }
    }
    whole
}

fn sound(input: &[u8], content: &[u8], left: &[u8]) {
    let expected =
        Seen { content: content.to_vec(), octets: content.len() as u64, ended: true, left: left.to_vec(), fault: None };
    assert_eq!(all(input), expected, "{input:?}");
}

#[test]
fn rule_l3_vector_v1_a_dot_at_the_very_start_ends_an_empty_message() {
    sound(b".\r\nQUIT\r\n", b"", b"QUIT\r\n");
}

#[test]
fn rule_d2_vector_v2_one_leading_dot_is_taken_off_every_line() {
    sound(b"..x\r\n.\r\n", b".x\r\n", b"");
    sound(b"..\r\n...\r\na..b\r\n.c\r\n\r\n..\r\n.\r\n", b".\r\n..\r\na..b\r\nc\r\n\r\n.\r\n", b"");
}

#[test]
fn rule_l14_commands_behind_the_final_dot_are_commands() {
    sound(b"a\r\n.\r\nMAIL FROM:<a@b>\r\n", b"a\r\n", b"MAIL FROM:<a@b>\r\n");
}

#[test]
fn rule_l1_rule_l2_vector_v3_vector_v4_nothing_else_ends_the_content() {
    for false_end in [
        &b"a\r\n.\r\r\nMAIL FROM:<x@y>\r\n"[..],
        b"a\n.\r\n",
        b"a\r\n.\n",
        b"a\n.\n",
        b"a\r.\r",
        b"a\r.\r\n",
        b"a\r\n.\r",
        b"a\r\r\n.\n\r\n",
        b".\n",
        b".\r.\r\n",
        b"\n.\r\n",
    ] {
        assert!(!all(false_end).ended, "{false_end:?}");
        let with_end = [false_end, b"\r\n.\r\nRSET\r\n"].concat();
        let seen = all(&with_end);
        assert!(seen.ended && seen.left == b"RSET\r\n", "{false_end:?}");
        assert_eq!(seen.fault, Some(Fault::Framing), "{false_end:?}");
    }
}

#[test]
fn rule_l4_rule_l6_vector_v19_bare_cr_lf_and_nul_spoil_the_content() {
    for bad in
        [&b"a\nb\r\n.\r\n"[..], b"a\rb\r\n.\r\n", b"a\0b\r\n.\r\n", b"\n\r\n.\r\n", b"\r\r\n.\r\n", b"\0\r\n.\r\n"]
    {
        let seen = all(bad);
        assert!(seen.ended && seen.fault == Some(Fault::Framing), "{bad:?}");
    }
}

#[test]
fn rule_l9_a_line_of_a_thousand_octets_passes_and_no_longer_one() {
    let line = |n: usize| [&vec![b'x'; n][..], b"\r\n"].concat();
    let end = b".\r\n";
    assert_eq!(scan(&[&line(998)[..], end].concat(), 3).fault, None);
    assert_eq!(scan(&[&line(998)[..], &line(998), end].concat(), 5000).fault, None);
    assert_eq!(scan(&[b".", &[b'.'; 998][..], b"\r\n", end].concat(), 4096).fault, None);
    for step in [1, 2, 998, 999, 1000, 1001, 4096] {
        assert_eq!(scan(&[&line(999)[..], end].concat(), step).fault, Some(Fault::LineTooLong), "{step}");
        assert_eq!(scan(&[&line(5)[..], &line(2000), &line(5), end].concat(), step).fault, Some(Fault::LineTooLong));
    }
}

#[test]
fn rule_d12_octets_are_counted_without_stuffed_dots_and_on_after_a_fault() {
    assert_eq!(all(b"..x\r\n.\r\n").octets, 4);
    assert_eq!(all(b"a\nbcd\r\n.\r\n").octets, 7);
}

/// As slow and plain as the RFC's own words.
fn plainly(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut at_start = true;
    let (mut content, mut at) = (Vec::new(), 0);
    while at < input.len() {
        if at_start && input[at..].starts_with(b".\r\n") {
            return Some((content, at + 3));
        }
        if at_start && input[at] == b'.' {
            at += 1;
            at_start = false;
            continue;
        }
        content.push(input[at]);
        at_start = content.ends_with(b"\r\n") && input[at] == b'\n' && at > 0 && input[at - 1] == b'\r';
        at += 1;
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn rule_d3_the_end_and_the_content_are_those_of_the_plain_reading(
        parts in prop::collection::vec(prop::sample::select(vec![".", "\r\n", "\r", "\n", "a", "\0", "..", "bcd"]), 0..24),
        step in 1usize..9,
    ) {
        let input = parts.concat().into_bytes();
        let seen = scan(&input, step);
        match plainly(&input) {
            None => prop_assert!(!seen.ended),
            Some((content, taken)) => {
                prop_assert!(seen.ended);
                prop_assert_eq!(&seen.left, &input[taken..]);
                prop_assert_eq!(seen.octets, content.len() as u64);
                let canonical = String::from_utf8_lossy(&content).replace("\r\n", "");
                prop_assert_eq!(seen.fault.is_some(), canonical.contains(['\r', '\n', '\0']));
                if seen.fault.is_none() {
                    prop_assert_eq!(seen.content, content);
                }
            }
        }
    }
}
