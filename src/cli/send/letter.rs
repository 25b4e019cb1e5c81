//! The test message: one that is made up, or a file as it would come in by SMTP.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::cli::queue::lines::{Fault, Lines};
use crate::mail::address::Address;
use crate::mail::facts::Facts;
use crate::mail::fixup::{self, Orders, Trace};
use crate::mail::header;
use crate::mail::id::MessageId;
use crate::policy::Policy;

/// What stands for a listener in the Received field.
const LISTENER: &str = "control";
/// Characters of a subject: one line of a header.
const MOST_SUBJECT: usize = 200;

pub struct About<'a> {
    pub message: MessageId,
    pub hostname: &'a str,
    pub from: &'a Address,
    pub to: &'a [Address],
    pub subject: &'a str,
}

/// The message as it is handed over, with our Received field, and what its header says.
///
/// Errors: the file can't be read, or the message would be refused as it stands; with why.
pub fn compose(about: &About<'_>, file: Option<&Path>, policy: &Policy) -> Result<(Vec<u8>, Facts), String> {
    let text = match file {
        Some(path) => fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => made_up(about)?.into_bytes(),
    };
    let text = canonical(&text);
    let mut lines = Lines::default();
    lines.take(&text);
    // Every LF has its CR by now, and the last line its end.
    lines.verdict().map_err(|fault| match fault {
        Fault::Broken => "the message has a CR or a NUL within a line, which no server takes".to_owned(),
        Fault::Long(_) => format!("the message would be refused: {}", fault.told()),
    })?;
    let end = match text.starts_with(b"\r\n") {
        true => 0,
        false => text.windows(4).position(|part| part == b"\r\n\r\n").map_or(text.len(), |at| at + 2),
    };
    let (block, rest) = text.split_at_checked(end).unwrap_or((&text, &[]));
    let mut recipients = about.to.iter();
    let trace = Trace {
        helo: "localhost",
        hostname: about.hostname,
        listener: LISTENER,
        with: "local",
        cipher: None,
        id: about.message,
        only_recipient: recipients.next().filter(|_| recipients.next().is_none()),
    };
    let orders = Orders { rewrite: &|_| None, remove: &policy.remove_headers };
    let own = fixup::mark(about.hostname, LISTENER);
    let fixed =
        header::read(block, &own, false).and_then(|header| fixup::apply(&header, &trace, orders, Timestamp::now()));
    let (mut out, facts) = fixed.map_err(|flaw| format!("the message would be refused: {}", flaw.said()))?;
    out.extend_from_slice(rest);
    Ok((out, facts))
}

fn made_up(about: &About<'_>) -> Result<String, String> {
    let About { hostname, from, to, subject, .. } = about;
    if subject.len() > MOST_SUBJECT || !subject.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Err(format!("--subject: at most {MOST_SUBJECT} characters of ASCII; give other messages by --file"));
    }
    let to = to.iter().map(Address::to_string).collect::<Vec<_>>().join(",\r\n ");
    Ok(format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nThis is a test of the mail gate {hostname}: somebody gave the \
         command\r\n`gatepost send` there. Nothing needs to be done.\r\n"
    ))
}

/// With lines that end in CR LF, as editors don't write them.
fn canonical(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32 + 2);
    let mut before = 0;
    for octet in text {
        if *octet == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(*octet);
        before = *octet;
    }
    if !out.is_empty() && before != b'\n' {
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_what_would_come_by_smtp_or_is_refused() {
        let address = Address::parse("a@example.net").unwrap();
        let about = About {
            message: MessageId::now(),
            hostname: "gate.example.net",
            from: &address,
            to: std::slice::from_ref(&address),
            subject: "x",
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.eml");
        let composed = |text: &str| {
            fs::write(&path, text).unwrap();
            compose(&about, Some(&path), &Policy::default())
        };
        let (content, facts) = composed("From: a@example.net\nSubject: s\n\nfirst\nlast").unwrap();
        let content = String::from_utf8(content).unwrap();
        assert!(content.starts_with("Received: from localhost") && content.contains("Message-ID: "), "{content}");
        assert!(content.ends_with("\r\n\r\nfirst\r\nlast\r\n"), "{content}");
        assert_eq!(facts.authors, std::slice::from_ref(&address));
        for (text, why) in [
            ("Subject: s\n\nx\n", "From"),
            ("From: a@example.net\nno field\n\nx\n", "no field"),
            ("From: a@example.net\n\na\rb\n", "CR"),
            (&format!("From: a@example.net\n\nfirst\n{}\n", "x".repeat(999)), "line 4 has more than 1000 octets"),
        ] {
            assert!(composed(text).unwrap_err().contains(why), "{text:?}");
        }
        let strange = About { subject: "a\r\nBcc: b@example.org", ..about };
        assert!(compose(&strange, None, &Policy::default()).unwrap_err().contains("--subject"));
    }
}
