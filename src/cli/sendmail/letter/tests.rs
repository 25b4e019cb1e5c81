//! What comes from programs, octet by octet, and what goes to the gate.

use super::*;

fn settings() -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sendmail.conf");
    std::fs::write(&path, "username = \"a\"\npassword = \"b\"\nfrom = \"cron@example.net\"\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Settings::load(&path, nix::unistd::geteuid().as_raw()).unwrap()
}

fn whole(input: &str, name: Option<&str>) -> String {
    let mut letter = Letter::read(input.as_bytes()).unwrap();
    letter.complete(&settings(), None, name).unwrap();
    String::from_utf8(letter.into_octets()).unwrap()
}

#[test]
fn lines_become_those_of_mail_and_the_header_ends_where_it_does() {
    for (input, expected) in [
        ("From: a@b.c\nSubject: s\n\nx\ny", "From: a@b.c\r\nSubject: s\r\n\r\nx\r\ny\r\n"),
        ("From: a@b.c\r\nSubject: s\r\n\tt\r\n\r\nx\r\r\n\r\n", "From: a@b.c\r\nSubject: s\r\n\tt\r\n\r\nx\r\n\r\n"),
        ("From: a@b.c\nno field\nx\n", "From: a@b.c\r\n\r\nno field\r\nx\r\n"),
        ("From a@b.c Thu Jan  1 00:00:00 1970\nFrom: a@b.c\n\nx\n", "From: a@b.c\r\n\r\nx\r\n"),
        ("From: a@b.c\n", "From: a@b.c\r\n\r\n"),
        ("just text\n", "From: cron@example.net\r\n\r\njust text\r\n"),
        ("\nFrom: x\n", "From: cron@example.net\r\n\r\nFrom: x\r\n"),
        ("", "From: cron@example.net\r\n\r\n"),
        (" x: y\n", "From: cron@example.net\r\n\r\n x: y\r\n"),
        ("From: a@b.c\n\n 10%\r 50%\r\r\nx\0y\n", "From: a@b.c\r\n\r\n 10%\r\n 50%\r\nxy\r\n"),
    ] {
        assert_eq!(whole(input, None), expected, "{input:?}");
    }
    for input in ["From: a@b.c\nSubject: x\rBcc: y\n\n", "From: a@b.c\nSubject: x\0\n\n"] {
        let failure = Letter::read(input.as_bytes()).unwrap_err();
        assert!(failure.code == exit::DATAERR && failure.text.starts_with("line 2 of the header "), "{failure:?}");
    }
}

#[test]
fn a_header_has_an_end_and_where_recipients_are_read_from_it_an_empty_line() {
    let read = |input: &str| Letter::read(input.as_bytes());
    let failure = read("To: a@b.c\nSubject: x\nbroken\nBcc: d@e.f\n\nx\n").unwrap().take_recipients().unwrap_err();
    assert!(failure.code == exit::DATAERR && failure.text.starts_with("line 3 is no field"), "{failure:?}");
    assert_eq!(read("To: a@b.c\nSubject: x\n").unwrap().take_recipients().unwrap(), ["a@b.c"]);
    for field in ["X: y\n", "To: a,\n b\n"] {
        assert!(read(&field.repeat(1000)).is_ok());
        let failure = read(&field.repeat(1 << 18)).unwrap_err();
        assert!(failure.code == exit::DATAERR && failure.text.starts_with("the header has more"), "{failure:?}");
    }
    assert!(read(&format!("X: y\n\n{}", "X: y\n".repeat(1 << 18))).is_ok(), "the body may be long");
}

#[test]
fn a_line_that_is_too_long_is_broken_and_no_character_with_it() {
    let long = format!("{}\u{20ac}{}", "x".repeat(997), "y".repeat(1500));
    let text = whole(&format!("From: a@b.c\n\n{long}\n"), None);
    assert!(text.lines().all(|line| line.len() <= 998), "{text}");
    assert_eq!(text.replace("\r\n", ""), format!("From: a@b.c{long}"));
}

#[test]
fn names_without_a_domain_get_it_and_nothing_else_changes() {
    let cron = "From: root (Cron Daemon)\nTo: root\nCc: a@b.c, \"x, y\" <me>,\n you\nSubject: root\nX: root\n\nroot\n";
    let expected = "From: root@example.net (Cron Daemon)\r\nTo: root@example.net\r\nCc: a@b.c, \"x, y\" <me@example.net>,\r\n you@example.net\r\n\
                    Subject: root\r\nX: root\r\n\r\nroot\r\n";
    assert_eq!(whole(cron, None), expected);
    assert_eq!(whole("To: a b\nFrom: a@b.c\n\n", None), "To: a b\r\nFrom: a@b.c\r\n\r\n");
}

#[test]
fn an_author_is_added_where_there_is_none_and_a_name_is_only_a_name() {
    for (name, expected) in [
        ("Cron Daemon", "From: \"Cron Daemon\" <cron@example.net>"),
        ("a \"b\" \\", "From: \"a \\\"b\\\" \\\\\" <cron@example.net>"),
        ("J\u{fc}rgen", "From: =?utf-8?B?SsO8cmdlbg==?= <cron@example.net>"),
        (
            "J\u{fc}rgen von Dannen",
            "From: =?utf-8?B?SsO8cmdlbiB2b24=?=\r\n =?utf-8?B?IERhbm5lbg==?= <cron@example.net>",
        ),
    ] {
        assert_eq!(whole("\n", Some(name)), format!("{expected}\r\n\r\n"));
    }
    assert_eq!(whole("From: a@b.c\n\n", Some("x")), "From: a@b.c\r\n\r\n");
}

#[test]
fn recipients_are_read_from_the_header_and_hidden_ones_go() {
    let taken = |input: &str| {
        let mut letter = Letter::read(input.as_bytes()).unwrap();
        let found = letter.take_recipients();
        (found, String::from_utf8(letter.into_octets()).unwrap())
    };
    let (found, rest) = taken("to: a@b.c, Ann <d@e.f>\nBCC: g@h.i,\n\tj@k.l\nCc : root\nSubject: s\n\nBcc: x@y.z\n");
    assert_eq!(found.unwrap(), ["a@b.c", "d@e.f", "g@h.i", "j@k.l", "root"]);
    assert_eq!(rest, "to: a@b.c, Ann <d@e.f>\r\nCc : root\r\nSubject: s\r\n\r\nBcc: x@y.z\r\n");
    let (found, rest) = taken("Resent-To: a@b.c\nResent-Bcc: d@e.f\nTo: x@y.z\nBcc: u@v.w\n\n");
    assert_eq!(found.unwrap(), ["a@b.c", "d@e.f"]);
    assert_eq!(rest, "Resent-To: a@b.c\r\nTo: x@y.z\r\n\r\n");
    assert_eq!(taken("Subject: s\n\n").0.unwrap(), Vec::<String>::new());
    assert_eq!(taken("To: a@b.c d@e.f\n\n").0.unwrap_err().code, exit::DATAERR);
}

#[test]
fn a_name_that_would_hide_lines_in_an_encoded_word_is_refused() {
    for name in ["A\r\nBcc: v@example.org", "A\nB", "A\0", "J\u{fc}rg\u{7f}", "A\u{85}B"] {
        let mut letter = Letter::read(&b"x\n"[..]).unwrap();
        let failure = letter.complete(&settings(), None, Some(name)).unwrap_err();
        assert!(failure.code == exit::DATAERR && failure.text.contains("(-F)"), "{name:?}: {failure:?}");
    }
    assert!(whole("x\n", Some("J\u{fc}rg")).starts_with("From: =?utf-8?B?"));
}
