//! Headers that are read, and those that are not.

use std::cell::Cell;

use super::*;
use crate::policy::refusal::Refusal;

thread_local! {
    static LOOKED: Cell<usize> = const { Cell::new(0) };
}

/// Counts octets that are unfolded.
pub fn look(octets: &[u8]) {
    LOOKED.with(|looked| looked.set(looked.get() + octets.len()));
}

/// How many octets were unfolded meanwhile, on this thread.
pub fn looked(work: impl FnOnce()) -> usize {
    let before = LOOKED.with(Cell::get);
    work();
    LOOKED.with(Cell::get) - before
}

const OWN: &str = "by gate.example.net (Gatepost submission)";

fn fault(block: &str) -> Flaw {
    read(block.as_bytes(), OWN, false).unwrap_err()
}

#[test]
fn what_policy_needs_is_read() {
    let block = "Received: from a by b; now\r\nFROM: Ann <a@ok.net>\r\nsender: b@ok.net\r\n\
                 Message-Id:\r\n <1@ok.net>\r\nSubject: a\r\n b\r\nTo: x@y.net\r\n";
    let header = read(block.as_bytes(), OWN, false).unwrap();
    let authors: Vec<_> = header.facts.authors.iter().map(ToString::to_string).collect();
    assert_eq!(authors, ["a@ok.net", "b@ok.net"]);
    assert_eq!((header.facts.message_id.as_str(), header.facts.subject_octets), ("1@ok.net", 3));
    assert_eq!((header.facts.received, header.has("Date"), header.has("to")), (1, false, true));
}

#[test]
fn rule_p11_one_of_each_and_a_from() {
    assert_eq!(fault("From: a@ok.net\r\nFrom: b@evil.net\r\n"), Flaw::Twice(Named::of("From")));
    // As RFC 5322 section 3.6 has them, whatever we have.
    for name in ["From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID"] {
        let block = format!("{name}: a@ok.net\r\nX: y\r\n{}: a@ok.net\r\n", name.to_uppercase());
        assert_eq!(fault(&block), Flaw::Twice(Named::of(name)));
    }
    assert_eq!(fault("To: a@ok.net\r\n"), Flaw::NoFrom);
    assert_eq!(fault(""), Flaw::NoFrom);
}

#[test]
fn rule_h9_a_header_has_no_more_fields_than_anybody_needs() {
    let block = |n: usize| format!("{}From: a@ok.net\r\n", "X:\r\n".repeat(n - 1));
    assert!(read(block(MAX_FIELDS).as_bytes(), OWN, false).is_ok());
    assert_eq!(fault(&block(MAX_FIELDS + 1)), Flaw::TooManyFields);
    // Whatever else is wrong: none of it is looked at.
    assert_eq!(fault(&"From:\r\n".repeat(MAX_FIELDS + 1)), Flaw::TooManyFields);
}

#[test]
fn rule_h9_a_line_that_is_no_field_is_refused() {
    for block in [
        " From: b@evil.net\r\nFrom: a@ok.net\r\n",
        "From: a@ok.net\r\nno colon\r\n",
        "From: a@ok.net\r\nFrom : b@evil.net\r\n",
        "From: a@ok.net\r\nFr\tom: b@evil.net\r\n",
        "From: a@ok.net\r\n: nothing\r\n",
        "From: a@ok.net\r\n \r\n b\r\n",
        "From: a@ok.net\r\n\rFrom: b@evil.net\r\n",
    ] {
        assert_eq!(fault(block), Flaw::Line, "{block:?}");
    }
}

#[test]
fn rule_h10_eight_bit_octets_are_refused() {
    assert_eq!(fault("From: a@ok.net\r\nSubject: gr\u{fc}n\r\n"), Flaw::EightBit);
}

#[test]
fn rule_h10_with_smtputf8_a_header_is_utf8_and_its_authors_are_who_they_are() {
    let block = "From: J\u{f6}rg \"\u{dc}\" (\u{fc}) <j\u{f6}rg@b\u{fc}cher.example>\r\nSubject: gr\u{fc}n\r\n";
    let facts = read(block.as_bytes(), OWN, true).unwrap().facts;
    assert_eq!(facts.authors.iter().map(ToString::to_string).collect::<Vec<_>>(), ["j\u{f6}rg@xn--bcher-kva.example"]);
    assert!(facts.utf8 && !read(b"From: a@ok.net\r\n", OWN, true).unwrap().facts.utf8);
    let reads = |block: &[u8]| read(block, OWN, true).map(|_| ());
    assert_eq!(reads(b"From: a@ok.net\r\nSubject: gr\xfcn\r\n"), Err(Flaw::NotUtf8));
    assert_eq!(reads("From: a@ok.net\r\nBetr\u{e4}ff: x\r\n".as_bytes()), Err(Flaw::Line));
    // What one reader skips as blank or unseen, and another takes for a part of the address.
    for odd in
        ["a\u{200b}@ok.net", "a@ok.net\u{a0}", "\u{a0}a@ok.net", "a@ok.net\u{3000}<b@evil.net>", "a\u{ff20}ok.net"]
    {
        assert_eq!(reads(format!("From: {odd}\r\n").as_bytes()), Err(Flaw::Author(Named::of("From"))), "{odd:?}");
    }
}

#[test]
fn rule_h3_circles_are_seen() {
    let from = "From: a@ok.net\r\n".to_owned();
    assert!(read((from.clone() + &"Received: x\r\n".repeat(99)).as_bytes(), OWN, false).is_ok());
    assert_eq!(fault(&(from.clone() + &"Received: x\r\n".repeat(100))), Flaw::Loop);
    let own = format!("Received: from x\r\n\t{OWN};\r\n\tnow\r\n");
    assert!(read((from.clone() + &own).as_bytes(), OWN, false).is_ok());
    assert_eq!(fault(&(from + &own.repeat(2))), Flaw::Loop);
}

#[test]
fn rule_p10_vector_v26_a_from_without_a_mailbox_is_no_author_whatever_sender_says() {
    for from in ["\"CEO <ceo@bank.test>\":;", "nobody:;", "a:;, b:;", "\r\n team:\r\n ;"] {
        assert_eq!(fault(&format!("From: {from}\r\n")), Flaw::Nobody);
        assert_eq!(fault(&format!("From: {from}\r\nSender: a@ok.net\r\n")), Flaw::Nobody);
        assert_eq!(fault(&format!("Sender: a@ok.net\r\nFrom: {from}\r\n")), Flaw::Nobody);
    }
    assert!(read(b"From: nobody:;, a@ok.net\r\n", OWN, false).is_ok());
    assert_eq!(Flaw::Nobody.refusal(), Refusal::Header);
}

#[test]
fn a_sender_is_one_mailbox_and_authors_are_few() {
    assert_eq!(fault("From: a@ok.net\r\nSender: a@ok.net, b@ok.net\r\n"), Flaw::Author(Named::of("Sender")));
    assert_eq!(fault("From: a@ok.net <b@evil.net>\r\n"), Flaw::Author(Named::of("From")));
    let many = vec!["a@ok.net"; MAX_AUTHORS + 1].join(", ");
    assert_eq!(fault(&format!("From: {many}\r\n")), Flaw::TooManyAuthors);
}

proptest::proptest! {
    #[test]
    fn no_header_is_too_strange_to_be_judged(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "From:", "Sender:", "\r\n", " ", "a@ok.net", "<", ">", ",", ";", ":", "\"", "(", ")", "\\", "@", "\r", "\n", "x",
            ]),
            0..30,
        ),
    ) {
        let block = format!("From: {}\r\n", parts.concat());
        if let Ok(header) = read(block.as_bytes(), OWN, false) {
            // Whatever passes is read alike once more, when it is unfolded.
            let unfolded = block.replace("\r\n ", " ");
            let again = read(unfolded.as_bytes(), OWN, false);
            proptest::prop_assert_eq!(again.map(|again| again.facts.authors), Ok(header.facts.authors));
        }
    }
}

#[test]
fn rule_q13_a_report_of_deliveries_is_known_by_its_type() {
    for (kind, expected) in [
        ("multipart/report; report-type=delivery-status; boundary=x", true),
        ("Multipart/Report;\r\n\tboundary=\"x\"; report-type=\"delivery-status\"", true),
        ("multipart/report; report-type=global-delivery-status; boundary=x", true),
        ("multipart/report; report-type=feedback-report; boundary=x", false),
        ("multipart/mixed; boundary=delivery-status", false),
        ("text/plain", false),
    ] {
        let block = format!("From: a@ok.net\r\nContent-Type: {kind}\r\n");
        assert_eq!(read(block.as_bytes(), OWN, false).unwrap().facts.is_report, expected, "{kind}");
    }
}
