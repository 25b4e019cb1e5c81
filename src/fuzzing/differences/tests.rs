//! Which differences are excused, and that no others are.

use super::*;

/// Both take these, and read the same.
const UNDISPUTED: [&str; 22] = [
    "EHLO a.example",
    "HELO a",
    "LHLO a",
    "MAIL FROM:<>",
    "mail from:<a@b.net> size=1 body=8BITMIME smtputf8 requiretls",
    "MAIL FROM: <a.b@c.net> RET=HDRS ENVID=abc-1 AUTH=<> HOLDFOR=10 ",
    "RCPT TO:<a@b.net>",
    "RCPT TO:<a@b.net> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a@b.net",
    "RCPT TO:<a@b.net> NOTIFY=NEVER",
    "AUTH PLAIN",
    "AUTH LOGIN YQ==",
    "AUTH OAUTHBEARER",
    "AUTH XOAUTH2 YQ==",
    "AUTH EXTERNAL =",
    "AUTH CRAM-MD5",
    "DATA",
    "BDAT 10",
    "bdat 18446744073709551614 last",
    "RSET",
    "QUIT",
    "STARTTLS ",
    "NOOP",
];

const FAULTS: [Fault; 14] = [
    Fault::Octets,
    Fault::UnknownVerb,
    Fault::NotOffered,
    Fault::Chunk,
    Fault::Hello,
    Fault::Argument,
    Fault::Sender,
    Fault::Recipient,
    Fault::SenderLiteral,
    Fault::RecipientLiteral,
    Fault::SenderUtf8,
    Fault::RecipientUtf8,
    Fault::UnknownParameter,
    Fault::Parameter("SIZE"),
];

fn both(line: &str) -> (Result<Command, Fault>, Option<Difference>) {
    let framed = format!("{line}\r\n");
    let (ours, theirs) = (command::parse(line.as_bytes()), Request::parse(&mut framed.as_bytes().iter()));
    let known = match (&ours, &theirs) {
        (Ok(read), Ok(theirs)) => match same(read, theirs) {
            Some(is_same) => {
                assert!(is_same, "{line:?}: {ours:?}, and theirs is {theirs:?}");
                None
            }
            None => spelled(line.as_bytes(), read),
        },
        (Err(fault), Ok(_)) => stricter(line.as_bytes(), *fault),
        (Ok(read), Err(_)) => looser(line.as_bytes(), read),
        (Err(_), Err(_)) => panic!("{line:?} is refused by both"),
    };
    (ours, known)
}

#[test]
fn what_nobody_disputes_is_read_alike_and_no_refusal_of_it_would_be_excused() {
    for line in UNDISPUTED {
        let (ours, known) = both(line);
        assert_eq!(known, None, "{line:?}");
        for fault in FAULTS {
            assert_eq!(stricter(line.as_bytes(), fault), None, "{line:?} refused for {fault:?}");
        }
        let ours = ours.unwrap_or_else(|fault| panic!("{line:?}: {fault:?}"));
        if ours != Command::Lhlo(None) {
            assert_eq!(looser(line.as_bytes(), &ours), None, "{line:?} refused there");
            assert_eq!(spelled(line.as_bytes(), &ours), None, "{line:?}");
        }
    }
}

#[test]
fn another_meaning_is_no_kind_of_difference() {
    for (ours, there) in [
        ("EHLO a", "EHLO b\n"),
        ("MAIL FROM:<a@b.net> SIZE=1", "MAIL FROM:<a@b.net> SIZE=2\n"),
        ("MAIL FROM:<a@b.net>", "MAIL FROM:<a@b.net> REQUIRETLS\n"),
        ("RCPT TO:<a@b.net> NOTIFY=NEVER", "RCPT TO:<a@b.net> NOTIFY=DELAY\n"),
        ("RCPT TO:<a@b.net> ORCPT=rfc822;a", "RCPT TO:<a@b.net>\n"),
        ("AUTH PLAIN", "AUTH LOGIN\n"),
        ("AUTH CRAM-MD5", "AUTH PLAIN\n"),
        ("AUTH PLAIN YQ==", "AUTH PLAIN YR==\n"),
        ("BDAT 1", "BDAT 1 LAST\n"),
        ("DATA", "RSET\n"),
    ] {
        let theirs = Request::parse(&mut there.as_bytes().iter()).unwrap();
        assert_eq!(same(&command::parse(ours.as_bytes()).unwrap(), &theirs), Some(false), "{ours} {there}");
    }
    let other = command::parse(b"MAIL FROM:<a@b.net>").unwrap();
    assert_eq!(same(&other, &Request::parse(&mut b"MAIL FROM:<c@b.net>\n".iter()).unwrap()), None);
    assert_eq!(spelled(b"MAIL FROM:<a@b.net>", &other), None, "another address of a plain one");
}

#[test]
fn each_kind_has_its_example() {
    for (line, kind) in [
        ("NOOP \u{e4}", Difference::Octets),
        ("BDAT\t1", Difference::Octets),
        (" NOOP", Difference::Blanks),
        ("MAIL  FROM:<a@b.net>", Difference::Blanks),
        ("MAIL FROM:  <a@b.net>", Difference::Blanks),
        ("MAIL FROM:<a@b.net>SIZE=1", Difference::Blanks),
        ("DATA x", Difference::Blanks),
        ("AUTH  PLAIN", Difference::Blanks),
        ("AUTH PLAIN a b", Difference::Blanks),
        ("BDAT  1", Difference::Blanks),
        ("BDAT 1 !", Difference::Blanks),
        ("ETRN a", Difference::Verb),
        ("XCLIENT a", Difference::Verb),
        ("VRFY", Difference::Idle),
        ("EHLO a..b", Difference::Name),
        ("MAIL FROM:<a@-b.net>", Difference::Path),
        ("MAIL FROM:<a@b\u{fc}cher.example> SMTPUTF8", Difference::Spelling),
        ("RCPT TO:<>", Difference::Nobody),
        ("RCPT TO:<postmaster>", Difference::Postmaster),
        ("MAIL FROM:<> SIZE=1 SIZE=2", Difference::Parameters),
        ("MAIL FROM:<> MT-PRIORITY=3", Difference::Parameters),
        ("RCPT TO:<a@b.net> ORCPT=x-a;b", Difference::Parameters),
        ("BDAT 18446744073709551615", Difference::Number),
        ("BDAT 184467440737095516171", Difference::Number),
    ] {
        assert_eq!(both(line).1, Some(kind), "{line:?}");
    }
}
