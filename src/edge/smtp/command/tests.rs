//! What is a command and what isn't, line by line.

use super::*;
use crate::mail::dsn::{Notify, Report, Ret};
use crate::policy::mechanism::Mechanism;

fn mailbox(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn is(line: &str, expected: Result<Command, Fault>) {
    assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
}

fn from(line: &str) -> Result<ReversePath, Fault> {
    match parse(line.as_bytes())? {
        Command::Mail(mail) => Ok(mail.from),
        other => panic!("{line:?} is {other:?}"),
    }
}

fn to(line: &str) -> Result<Recipient, Fault> {
    match parse(line.as_bytes())? {
        Command::Rcpt(rcpt) => Ok(rcpt.recipient),
        other => panic!("{line:?} is {other:?}"),
    }
}

#[test]
fn rule_l6_rule_l11_controls_and_eight_bit_octets_are_no_command() {
    for line in [
        "EHLO a\0b",
        "MAIL FROM:<a\0@b.net>",
        "NOOP\0",
        "NOOP \u{e4}",
        "NOOP a\nRSET",
        "NOOP a\rb",
        "MAIL FROM:<\u{e4}@b.net>",
        "MAIL FROM:<\"a\\",
        "NOOP \u{7f}",
    ] {
        assert!(matches!(parse(line.as_bytes()), Err(Fault::Octets | Fault::Sender | Fault::SenderUtf8)), "{line:?}");
    }
}

#[test]
fn rule_l11_rule_x3_utf8_is_taken_in_addresses_that_ask_for_it() {
    let jorg = Address::parse_international("jörg@bücher.example").unwrap();
    assert_eq!(from("MAIL FROM:<jörg@bücher.example> SMTPUTF8"), Ok(Some(jorg.clone())));
    assert_eq!(from("MAIL FROM:<jörg@bücher.example>"), Err(Fault::SenderUtf8));
    // A name in the DNS is ASCII; what was said isn't.
    assert_eq!(from("MAIL FROM:<joerg@bücher.example> SIZE=1"), Err(Fault::SenderUtf8));
    let Ok(Command::Rcpt(rcpt)) = parse("RCPT TO:<jörg@bücher.example>".as_bytes()) else { panic!("a good RCPT") };
    assert!(rcpt.recipient == Recipient::Mailbox(jorg) && rcpt.utf8);
    for (bad, name) in [
        ("SMTPUTF8=1", "SMTPUTF8"),
        ("SMTPUTF8 smtputf8", "SMTPUTF8"),
        ("SMTPUTF8 ENVID=ö", "ENVID"),
        ("SMTPUTF8 AUTH=ö", "AUTH"),
    ] {
        is(&format!("MAIL FROM:<a@b.net> {bad}"), Err(Fault::Parameter(name)));
    }
    is("MAIL FROM:<a@b.net> SMTPUTF8 BÖDY=7BIT", Err(Fault::Parameter("a parameter")));
    for bad in ["a\u{202e}b@c.net", "jo\u{308}rg@c.net", "a\u{9b}@c.net", "a@ｂ.net"] {
        is(&format!("MAIL FROM:<{bad}> SMTPUTF8"), Err(Fault::Sender));
        is(&format!("RCPT TO:<{bad}>"), Err(Fault::Recipient));
    }
    for bad in [&b"MAIL FROM:<\xf6@b.net> SMTPUTF8"[..], b"RCPT TO:<\xc0\xaf@b.net>", b"RCPT TO:<\xed\xa0\x80@b.net>"] {
        assert_eq!(parse(bad), Err(Fault::Octets), "{bad:?}");
    }
}

#[test]
fn rule_x5_rule_x3_an_original_recipient_in_utf8_is_kept_as_any_server_may_be_told_it() {
    let Ok(Command::Rcpt(rcpt)) = parse("RCPT TO:<a@b.net> ORCPT=UTF-8;jörg+2B@b.net".as_bytes()) else {
        panic!("a good RCPT")
    };
    assert_eq!(rcpt.wish.orcpt.unwrap().to_string(), r"UTF-8;j\x{F6}rg+2B@b.net");
    assert!(rcpt.utf8);
    is("RCPT TO:<a@b.net> ORCPT=rfc822;jörg@b.net", Err(Fault::Parameter("ORCPT")));
}

#[test]
fn rule_c12_a_parameter_that_is_wrong_is_named_and_one_that_is_unknown_is_not() {
    for (said, name) in [
        ("MAIL FROM:<a@b.net> SIZE=1 size=1", "SIZE"),
        ("MAIL FROM:<a@b.net> SIZE=1 ret=both", "RET"),
        ("MAIL FROM:<a@b.net> BODY=BINARYMIME", "BODY"),
        ("MAIL FROM:<a@b.net> HOLDFOR=60 HOLDUNTIL=2026-11-27T00:00:00Z", "HOLDUNTIL"),
        ("MAIL FROM:<a@b.net> requiretls=1", "REQUIRETLS"),
        ("MAIL FROM:<a@b.net> ENVID=", "ENVID"),
        ("MAIL FROM:<a@b.net> AUTH==", "AUTH"),
        ("RCPT TO:<a@b.net> Notify=NEVER,SUCCESS", "NOTIFY"),
        ("RCPT TO:<a@b.net> ORCPT=bad ORCPT=bad", "ORCPT"),
    ] {
        is(said, Err(Fault::Parameter(name)));
    }
    is("MAIL FROM:<a@b.net> X=1", Err(Fault::UnknownParameter));
    is("RCPT TO:<a@b.net> SIZE=1", Err(Fault::UnknownParameter));
}

/// Of the first parameter.
fn keyword(said: &'static str) -> &'static str {
    said.split(['=', ' ']).next().unwrap()
}

#[test]
fn rule_l10_verbs_compare_in_ascii_alone() {
    is("nOOp", Ok(Command::Noop));
    is("mail from:<>", Ok(Command::Mail(Box::default())));
    is("quit", Ok(Command::Quit));
    for verb in ["RſET", "BDAT 1 LAſT", "\u{212a}", "VR\u{17f}Y", "AUTH ſCRAM-SHA-256", "STARTTLſ"] {
        assert!(matches!(parse(verb.as_bytes()), Err(Fault::Octets | Fault::Chunk)), "{verb}");
    }
}

/// Where UTF-8 is legal nothing but the comparison keeps these from being what they look like.
#[test]
fn rule_l10_keywords_compare_in_ascii_alone_where_utf8_may_stand_too() {
    let sender = "MAIL FROM:<a@b.net>";
    for keyword in ["ſIZE=1", "SMTPUTF8 ſIZE=1", "ſMTPUTF8", "SMTPUTF8 REQUIRETLſ", "SMTPUTF8 bodY\u{212a}=7BIT"] {
        is(&format!("{sender} {keyword}"), Err(Fault::Parameter("a parameter")));
    }
    for (parameter, name) in [("SMTPUTF8 RET=HDRſ", "RET"), ("SMTPUTF8 BODY=8BıTMIME", "BODY")] {
        is(&format!("{sender} {parameter}"), Err(Fault::Parameter(name)));
    }
    is("RCPT TO:<a@b.net> NOTIFY=ſUCCESS", Err(Fault::Parameter("NOTIFY")));
    is("RCPT TO:<a@b.net> ORCPT=rſc822;a@b.net", Err(Fault::Parameter("ORCPT")));
    assert_eq!(to("RCPT TO:<poſtmaster>"), Err(Fault::Recipient));
    is("MAIL FROſ:<a@b.net>", Err(Fault::Argument));
}

#[test]
fn rule_l12_vector_v8_a_blank_is_the_only_separator() {
    is("AUTH\tPLAIN\tdGVzdA==", Err(Fault::Octets));
    is("MAIL\tFROM:<a@b.net>", Err(Fault::Octets));
    is("MAIL  FROM:<a@b.net>", Err(Fault::Argument));
    is("MAIL FROM:<a@b.net>  SIZE=1", Err(Fault::Parameter("a parameter")));
    // TAB, VT, FF, what other standards take for blanks, and the rest of Unicode's.
    for blank in ["\t", "\x0b", "\x0c", "\x1c", "\x1f", "\r", "\u{85}"] {
        for line in ["AUTH#PLAIN dGVzdA==", "MAIL#FROM:<a@b.net>", "MAIL FROM:<a@b.net>#SIZE=1", "RCPT TO:#<a@b.net>"] {
            let line = line.replace('#', blank);
            assert!(parse(line.as_bytes()).is_err(), "{line:?}");
        }
    }
    for blank in ["\u{a0}", "\u{1680}", "\u{2003}", "\u{2028}", "\u{202f}", "\u{3000}", "\u{feff}"] {
        is(&format!("AUTH{blank}PLAIN"), Err(Fault::Octets));
        is(&format!("MAIL{blank}FROM:<a@b.net> SMTPUTF8"), Err(Fault::Octets));
        is(&format!("MAIL FROM:{blank}<a@b.net> SMTPUTF8"), Err(Fault::Sender));
        is(&format!("MAIL FROM:<a@b.net>{blank}SMTPUTF8"), Err(Fault::Argument));
        is(&format!("MAIL FROM:<a@b.net> SMTPUTF8{blank}SIZE=1"), Err(Fault::Parameter("a parameter")));
        is(&format!("RCPT TO:<a@b.net> NOTIFY=NEVER{blank}ORCPT=rfc822;a@b.net"), Err(Fault::Parameter("NOTIFY")));
    }
}

#[test]
fn rule_l7_the_limit_goes_by_the_verb() {
    assert_eq!(limit(b"NOOP x"), 512);
    assert_eq!(limit(b"mail from"), 2048);
    assert_eq!(limit(b"RCPT TO:"), 2048);
    assert_eq!(limit(b"Auth PLAIN"), 12288);
    assert_eq!(limit(b"AUTHX"), 512);
}

#[test]
fn rule_c4_names_of_clients() {
    for name in ["client.example", "localhost", "WIN_10-PC", "[192.0.2.1]", "[IPv6:2001:db8::1]", "[ipv6:::1]"] {
        is(&format!("EHLO {name}"), Ok(Command::Ehlo(name.to_owned())));
    }
    for name in
        ["", " ", "a b", "[192.0.2]", "[192.0.2.1", "a..b", ".a", "a.", "<a>", "[IPv6:x]", "a;b", &"a".repeat(256)]
    {
        is(format!("EHLO {name}").trim_end(), Err(Fault::Hello));
        is(format!("HELO {name}").trim_end(), Err(Fault::Hello));
    }
}

#[test]
fn rule_c11_no_argument_where_none_belongs() {
    for verb in ["DATA", "RSET", "QUIT", "STARTTLS"] {
        is(&format!("{verb} x"), Err(Fault::Argument));
        assert!(parse(format!("{verb} ").as_bytes()).is_ok());
    }
    is("NOOP whatever <it> is", Ok(Command::Noop));
    is("HELP MAIL", Ok(Command::Help));
    is("VRFY root", Ok(Command::Vrfy));
}

#[test]
fn rule_c13_unknown_and_known_but_not_offered() {
    is("WIZ", Err(Fault::UnknownVerb));
    is("", Err(Fault::UnknownVerb));
    is("MAILFROM:<a@b.net>", Err(Fault::UnknownVerb));
    is("ETRN x", Err(Fault::NotOffered));
    is("XCLIENT ADDR=127.0.0.1", Ok(Command::Xclient("ADDR=127.0.0.1".into())));
}

#[test]
fn rule_d7_rule_l10_vector_v9_vector_v10_a_chunk_says_how_much_follows() {
    is("BDAT 0", Ok(Command::Bdat(Chunk { octets: 0, last: false })));
    is("bdat 18446744073709551615 last", Ok(Command::Bdat(Chunk { octets: u64::MAX, last: true })));
    for bad in [
        "BDAT",
        "BDAT ",
        "BDAT -1",
        "BDAT +1",
        "BDAT 1e3",
        "BDAT 0x10",
        "BDAT LAST",
        "BDAT 1  LAST",
        "BDAT 1 LAST x",
        "BDAT 1 LA",
        "BDAT 10 LA\u{17f}T",
        "BDAT\t10",
        "BDAT 1\tLAST",
        "BDAT 18446744073709551616",
        "BDAT 99999999999999999999",
        "BDAT 000000000000000000001",
    ] {
        is(bad, Err(Fault::Chunk));
    }
}

#[test]
fn rule_c12_vector_v17_parameters() {
    is(
        "MAIL FROM:<> SIZE=100 BODY=8bitmime",
        Ok(Command::Mail(Box::new(Mail { size: Some(100), body: true, ..Mail::default() }))),
    );
    is("MAIL FROM:<> BODY=7BIT", Ok(Command::Mail(Box::new(Mail { body: true, ..Mail::default() }))));
    for bad in [
        "SIZE=1 SIZE=2",
        "SIZE=-1",
        "SIZE=+1",
        "SIZE=1e9",
        "SIZE=",
        "SIZE",
        "SIZE=99999999999999999999",
        "SIZE=000000000000000000001",
        "BODY=BINARYMIME",
        "BODY",
        "BODY=7BIT BODY=8BITMIME",
        "SIZE=1=2",
    ] {
        is(&format!("MAIL FROM:<a@b.net> {bad}"), Err(Fault::Parameter(keyword(bad))));
    }
    for bad in ["=1", "-A=1", "S\"Z=1"] {
        is(&format!("MAIL FROM:<a@b.net> {bad}"), Err(Fault::Parameter("a parameter")));
    }
    for unknown in ["X-A", "XYZ=1"] {
        is(&format!("MAIL FROM:<a@b.net> {unknown}"), Err(Fault::UnknownParameter));
        is(&format!("RCPT TO:<a@b.net> {unknown}"), Err(Fault::UnknownParameter));
    }
    // Each has its place.
    is("MAIL FROM:<a@b.net> NOTIFY=NEVER", Err(Fault::UnknownParameter));
    is("RCPT TO:<a@b.net> SMTPUTF8", Err(Fault::UnknownParameter));
    is("RCPT TO:<a@b.net> RET=FULL", Err(Fault::UnknownParameter));
    is("MAIL FROM:<a@b.net>SIZE=1", Err(Fault::Argument));
    is("MAIL FROM:<a@b.net>, SIZE=1", Err(Fault::Argument));
}

#[test]
fn rule_x5_what_is_asked_of_reports_is_read_strictly() {
    let Ok(Command::Mail(mail)) = parse(b"MAIL FROM:<a@b.net> ret=hdrs ENVID=QQ+2B1") else { panic!("a good MAIL") };
    assert_eq!(mail.manner.report, Report { ret: Some(Ret::Headers), envid: "QQ+2B1".to_owned().try_into().ok() });
    let Ok(Command::Rcpt(rcpt)) = parse(b"RCPT TO:<a@b.net> ORCPT=rfc822;b+2Ba@b.net notify=success,Delay") else {
        panic!("a good RCPT")
    };
    let wish =
        Wish { notify: Notify::parse("SUCCESS,DELAY").ok(), orcpt: "rfc822;b+2Ba@b.net".to_owned().try_into().ok() };
    assert!(rcpt.wish == wish && wish.orcpt.is_some() && wish.notify.is_some());
    for bad in ["RET", "RET=", "RET=ALL", "RET=FULL RET=FULL", "ENVID", "ENVID=+0A", "ENVID=a ENVID=a", "ENVID=a=b"] {
        is(&format!("MAIL FROM:<a@b.net> {bad}"), Err(Fault::Parameter(keyword(bad))));
    }
    for bad in [
        "NOTIFY",
        "NOTIFY=NEVER,DELAY",
        "NOTIFY=SUCCESS NOTIFY=SUCCESS",
        "NOTIFY=SUCCESS, DELAY",
        "ORCPT=a@b.net",
        "ORCPT=rfc822;a+b",
        "ORCPT=rfc822;a ORCPT=rfc822;a",
    ] {
        is(&format!("RCPT TO:<a@b.net> {bad}"), Err(Fault::Parameter(keyword(bad))));
    }
}

#[test]
fn rule_l7_rule_x5_the_longest_parameters_fit_a_line() {
    let path = format!("{}@{}.{}.net", "a".repeat(64), "d".repeat(63), "d".repeat(63));
    let line = format!("RCPT TO:<{path}> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;{}\r\n", "x".repeat(493));
    assert!(parse(line.trim_end().as_bytes()).is_ok() && line.len() <= limit(line.as_bytes()));
}

#[test]
fn rule_a16_on_behalf_of_is_read_and_means_nothing() {
    for good in ["<>", "a@b.net", "e+3Dmc2@example.net", "+2B"] {
        assert!(from(&format!("MAIL FROM:<a@b.net> AUTH={good}")).is_ok(), "{good}");
    }
    for bad in ["+", "a+3", "a+3d", "a+zz"] {
        assert_eq!(from(&format!("MAIL FROM:<a@b.net> AUTH={bad}")), Err(Fault::Parameter("AUTH")), "{bad}");
    }
}

#[test]
fn rule_p1_rule_p2_paths() {
    assert_eq!(from("MAIL FROM:<>"), Ok(None));
    assert_eq!(from("MAIL FROM:<a@B.net>"), Ok(Some(mailbox("a@b.net"))));
    for bad in ["a@b.net", "<a@b.net", "a@b.net>", "<<a@b.net>>", "< a@b.net>", "<a>", "<@>", "<a@>", "<@b.net>", ""] {
        assert_eq!(from(&format!("MAIL FROM:{bad}")), Err(Fault::Sender), "{bad}");
        assert_eq!(to(&format!("RCPT TO:{bad}")), Err(Fault::Recipient), "{bad}");
    }
    assert_eq!(to("RCPT TO:<>"), Err(Fault::Recipient));
}

#[test]
fn rule_p2_vector_v15_a_shell_is_no_address() {
    assert_eq!(from("MAIL FROM:<;id;@>"), Err(Fault::Sender));
    assert_eq!(from("MAIL FROM:<;id;>"), Err(Fault::Sender));
}

#[test]
fn rule_p3_vector_v16_source_routes_are_stripped() {
    assert_eq!(to("RCPT TO:<@evil.example:user@ok.example>"), Ok(Recipient::Mailbox(mailbox("user@ok.example"))));
    assert_eq!(to("RCPT TO:<@a.example,@b.example:u@ok.example>"), Ok(Recipient::Mailbox(mailbox("u@ok.example"))));
    for bad in ["<@a.example:>", "<@a.example u@b.net>", "<@:u@b.net>", "<@a,b:u@b.net>", "<@a:@b:u@c.net>"] {
        assert_eq!(to(&format!("RCPT TO:{bad}")), Err(Fault::Recipient), "{bad}");
    }
}

#[test]
fn rule_p4_vector_v14_quotes_hide_brackets() {
    assert_eq!(from("MAIL FROM:<\"a> SIZE=\"@ok.net> SIZE=5"), Ok(Some(mailbox("\"a> SIZE=\"@ok.net"))));
    assert_eq!(from(r#"MAIL FROM:<"o'x\"; --"@c.net>"#), Ok(Some(mailbox(r#""o'x\"; --"@c.net"#))));
    assert_eq!(from(r#"MAIL FROM:<"a\"@c.net>"#), Err(Fault::Sender));
}

#[test]
fn rule_p6_one_blank_before_a_path_is_tolerated_and_two_are_not() {
    assert_eq!(from("MAIL FROM: <a@b.net>"), Ok(Some(mailbox("a@b.net"))));
    assert_eq!(from("MAIL FROM:  <a@b.net>"), Err(Fault::Sender));
    assert_eq!(from("MAIL FROM : <a@b.net>"), Err(Fault::Argument));
}

#[test]
fn rule_p7_address_literals_are_known_for_what_they_are() {
    assert_eq!(from("MAIL FROM:<a@[192.0.2.1]>"), Err(Fault::SenderLiteral));
    assert_eq!(to("RCPT TO:<a@[IPv6:::1]>"), Err(Fault::RecipientLiteral));
    assert_eq!(to("RCPT TO:<a@[x]>"), Err(Fault::Recipient));
}

#[test]
fn rule_p13_postmaster_needs_no_domain() {
    assert_eq!(to("RCPT TO:<PostMaster>"), Ok(Recipient::Postmaster));
    assert_eq!(from("MAIL FROM:<postmaster>"), Err(Fault::Sender));
}

#[test]
fn rule_a4_an_initial_response_is_one_word() {
    let plain = |initial: Option<&[u8]>| Command::Auth {
        asked: Asked::Ours(Mechanism::Plain),
        initial: initial.map(Said::from),
    };
    is("AUTH PLAIN", Ok(plain(None)));
    is("auth plain =", Ok(plain(Some(b"="))));
    is("AUTH PLAIN dGVzdA==", Ok(plain(Some(b"dGVzdA=="))));
    is("AUTH CRAM-MD5", Ok(Command::Auth { asked: Asked::Other("CRAM-MD5"), initial: None }));
    is("AUTH bearer", Ok(Command::Auth { asked: Asked::Word, initial: None }));
    is("AUTH", Err(Fault::Argument));
    is("AUTH PLAIN a b", Err(Fault::Argument));
}

proptest::proptest! {
    #[test]
    fn no_line_is_too_strange_to_be_answered(
        verb in proptest::sample::select(vec!["MAIL FROM:", "RCPT TO:", "AUTH ", "EHLO ", "", "MAIL FROM:<", "RCPT TO:<@a:"]),
        rest in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        ascii in "[ -~]{0,60}",
    ) {
        let _ = parse(&[verb.as_bytes(), &rest].concat());
        if let Ok(Command::Mail(mail)) = parse(format!("{verb}{ascii}").as_bytes()) && let Some(from) = mail.from {
            proptest::prop_assert_eq!(Address::parse(&from.to_string()).ok(), Some(from));
        }
    }
}
