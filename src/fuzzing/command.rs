//! One command line: it is read or refused, and what is read means the same when it is written again.

use super::differences;
use crate::edge::smtp::command::{self, Command, Recipient};
use crate::mail::address::Address;

pub fn run(line: &[u8]) {
    let read = command::parse(line);
    match &read {
        Ok(Command::Mail(mail)) => {
            if let Some(from) = &mail.from {
                assert_plain(from);
            }
        }
        Ok(Command::Rcpt(rcpt)) => {
            if let Recipient::Mailbox(to) = &rcpt.recipient {
                assert_plain(to);
            }
        }
        Ok(Command::Ehlo(name) | Command::Helo(name)) => {
            assert!(name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.[]:".contains(&octet)), "{name:?}");
        }
        _ => (),
    }
    if read.is_ok() {
        assert!(!line.iter().any(u8::is_ascii_control), "a control character in a command");
        let upper = [&line.to_ascii_uppercase()[..4], &line[4..]].concat();
        assert_eq!(command::parse(&upper), read, "the verb's case matters");
    }
    differences::check(line);
}

/// An address has one spelling, which means the same and hides nothing.
fn assert_plain(address: &Address) {
    let text = address.to_string();
    assert_eq!(Address::parse_international(&text).as_ref(), Ok(address));
    for (verb, end) in [("MAIL FROM:<", "> SMTPUTF8"), ("RCPT TO:<", ">")] {
        let line = format!("{verb}{text}{end}");
        match command::parse(line.as_bytes()) {
            Ok(Command::Mail(mail)) => assert_eq!(mail.from.as_ref(), Some(address)),
            Ok(Command::Rcpt(rcpt)) => assert_eq!(rcpt.recipient, Recipient::Mailbox(address.clone())),
            other => panic!("{line:?} is {other:?}"),
        }
    }
}
