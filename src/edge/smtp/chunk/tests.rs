//! Counted content, however it is cut.

use proptest::prelude::*;

use super::*;

/// The content and its fault, after chunks of these octets.
fn scan(chunks: &[&[u8]]) -> (Vec<u8>, Option<Fault>) {
    let (mut scanner, mut out) = (Scanner::default(), Vec::new());
    for chunk in chunks {
        scanner.scan(chunk, &mut out);
    }
    scanner.finish(&mut out);
    (out, scanner.tally().fault())
}

/// The same at every segmentation.
fn all(input: &[u8]) -> (Vec<u8>, Option<Fault>) {
    let whole = scan(&[input]);
    for step in 1..=input.len() {
        let seen = scan(&input.chunks(step).collect::<Vec<_>>());
        assert_eq!(seen.1, whole.1, "{step} {input:?}");
        assert!(whole.1.is_some() || seen.0 == whole.0, "{step} {input:?}");
    }
    whole
}

#[test]
fn rule_d8_vector_v27_dots_mean_nothing() {
    let content = b".\r\n..\r\na\r\n.\r\nMAIL FROM:<a@example.net>\r\n";
    assert_eq!(all(content), (content.to_vec(), None));
}

#[test]
fn rule_d4_a_last_line_without_its_end_gets_one() {
    assert_eq!(all(b"a\r\nb"), (b"a\r\nb\r\n".to_vec(), None));
    assert_eq!(all(b""), (Vec::new(), None));
}

#[test]
fn rule_d11_vector_v11_a_crlf_may_lie_across_an_edge_and_nothing_else_is_one() {
    assert_eq!(scan(&[b"abc\r", b"", b"\nd"]), (b"abc\r\nd\r\n".to_vec(), None));
    for bad in [&b"a\nb"[..], b"\n", b"a\rb", b"a\r", b"a\r\r\n", b"a\0", b"a\r\n\nb", b"\r\n\r"] {
        assert_eq!(all(bad).1, Some(Fault::Framing), "{bad:?}");
    }
    assert_eq!(scan(&[b"abc\r", b"d\r\n"]).1, Some(Fault::Framing));
    assert_eq!(scan(&[b"abc", b"\n"]).1, Some(Fault::Framing));
}

#[test]
fn rule_l9_a_line_beyond_a_thousand_octets_is_a_fault_across_chunks_too() {
    let line = |octets: usize| [&vec![b'x'; octets - 2][..], b"\r\n"].concat();
    assert_eq!(scan(&[&line(1000), &line(1000)]).1, None);
    assert_eq!(scan(&[&line(1001)[..600], &line(1001)[600..]]).1, Some(Fault::LineTooLong));
    assert_eq!(scan(&[&line(1001), b"\n"]).1, Some(Fault::Framing), "a fault of framing is told before any other");
}

proptest! {
    /// What is faultless is what was sent; whatever has a bare CR, a bare LF or NUL has a fault; the edges change nothing.
    #[test]
    fn rule_d11_the_verdict_is_that_of_the_whole(input in "[\r\n\0.a]{0,40}", cut in 0usize..40) {
        let input = input.as_bytes();
        let (left, right) = input.split_at(cut.min(input.len()));
        let (content, fault) = scan(&[left, right]);
        let rest = String::from_utf8(input.to_vec()).unwrap().replace("\r\n", "");
        let sound = !rest.contains(['\r', '\n', '\0']);
        prop_assert_eq!(fault.is_none(), sound);
        if sound {
            let expected = if input.is_empty() || input.ends_with(b"\r\n") { input.to_vec() } else { [input, b"\r\n"].concat() };
            prop_assert_eq!(content, expected);
        }
    }
}
