//! The little that a submission changes in a message: RFC 6409 section 8. Everything else passes octet by octet.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::address::Address;
use super::facts::Facts;
use super::header::{Fault, Field, Header};
use super::id::MessageId;

/// What the Received field says. Where the client sat is in the audit log, not in the mail.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// What the client called itself, checked to be a domain or an address literal.
    pub helo: &'a str,
    pub hostname: &'a str,
    pub listener: &'a str,
    /// RFC 3848: ESMTPSA and its kin; HTTP for a message that came that way.
    pub with: &'a str,
    pub cipher: Option<&'a str>,
    pub id: MessageId,
    /// Named when it is the only recipient; otherwise it would betray one of several (RFC 5321 section 7.2).
    pub only_recipient: Option<&'a Address>,
}

/// How our own Received fields show themselves, so that circles are seen.
pub fn mark(hostname: &str, listener: &str) -> String {
    format!("by {hostname} (Gatepost {listener})")
}

impl Trace<'_> {
    /// The field, folded, with its CRLF (RFC 5321 section 4.4, RFC 8314 section 4.3).
    fn field(&self, now: &str) -> String {
        let Self { helo, hostname, listener, with, cipher, id, only_recipient } = self;
        // An address literal would tell the address that is not to be told.
        let helo = if helo.starts_with('[') { "localhost" } else { helo };
        let mut field = format!("Received: from {helo} (address not shown)\r\n\t{}\r\n\t", mark(hostname, listener));
        // Writing to a string can't fail.
        let _ = write!(field, "with {with} id {id}");
        if let Some(recipient) = only_recipient {
            let _ = write!(field, "\r\n\tfor <{recipient}>");
        }
        if let Some(cipher) = cipher {
            let _ = write!(field, "\r\n\ttls {cipher}");
        }
        let _ = write!(field, ";\r\n\t{now}\r\n");
        field
    }
}

/// The header as it goes out, without the empty line behind it, and the facts of it: one Received on top, Date and
/// Message-ID where they are missing, Bcc gone. Refused where that would break a signature.
pub fn apply(header: &Header<'_>, trace: &Trace<'_>, now: Timestamp) -> Result<(Vec<u8>, Facts), Fault> {
    let mut facts = header.facts.clone();
    facts.received = facts.received.saturating_add(1);
    let message_id = format!("{}@{}", trace.id, trace.hostname);
    let now = jiff::fmt::rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default();
    let mut out = trace.field(&now).into_bytes();
    for field in header.fields() {
        match dropped(field, trace.hostname) {
            Some(name) if header.signs(name) => return Err(Fault::Signed(name)),
            Some(_) => (),
            None => out.extend_from_slice(field.whole),
        }
    }
    let added = [("Date", format!("Date: {now}\r\n")), ("Message-ID", format!("Message-ID: <{message_id}>\r\n"))];
    for (name, text) in added {
        // A signature over a field that isn't there says that it must not be added.
        if !header.has(name) && !header.signs(name) {
            out.extend_from_slice(text.as_bytes());
            if name == "Message-ID" {
                facts.message_id.clone_from(&message_id);
            }
        }
    }
    Ok((out, facts))
}

/// The name of a field that must not go out: Bcc betrays its recipients, Return-Path and a verdict in our name are ours to
/// write (RFC 5321 section 4.4, RFC 8601 section 5).
fn dropped(field: &Field<'_>, hostname: &str) -> Option<&'static str> {
    let name = ["Bcc", "Resent-Bcc", "Return-Path"].into_iter().find(|name| field.is(name));
    name.or_else(|| {
        let text = field.text();
        let authority = text.split([';', ' ', '\t', '(']).next().unwrap_or_default();
        (field.is("Authentication-Results") && authority.eq_ignore_ascii_case(hostname))
            .then_some("Authentication-Results")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::header;

    fn fixed(block: &str, recipient: Option<&str>) -> Result<String, Fault> {
        let recipient = recipient.map(|text| Address::parse(text).unwrap());
        let trace = Trace {
            helo: "[192.0.2.7]",
            hostname: "gate.example.net",
            listener: "submission",
            with: "ESMTPSA",
            cipher: Some("TLS_AES_128_GCM_SHA256"),
            id: "01890000-0000-7000-8000-000000000000".parse().unwrap(),
            only_recipient: recipient.as_ref(),
        };
        let header = header::read(block.as_bytes(), "by x", false).unwrap();
        apply(&header, &trace, Timestamp::UNIX_EPOCH).map(|(out, facts)| {
            assert_eq!(facts.received, header.facts.received + 1);
            String::from_utf8(out).unwrap()
        })
    }

    const RECEIVED: &str = "Received: from localhost (address not shown)\r\n\tby gate.example.net (Gatepost submission)\
        \r\n\twith ESMTPSA id 01890000-0000-7000-8000-000000000000\r\n\ttls TLS_AES_128_GCM_SHA256;\
        \r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n";

    #[test]
    fn rule_h1_one_received_on_top_and_the_rest_untouched() {
        let block =
            "received: from  a\r\n\tby b;  now\r\nX-Odd:odd \r\nFROM:a@ok.net\r\ndate: x\r\nMessage-Id: <1@x>\r\n";
        assert_eq!(fixed(block, None).unwrap(), format!("{RECEIVED}{block}"));
    }

    #[test]
    fn rule_h1_the_recipient_is_named_when_it_is_the_only_one() {
        let out = fixed("From: a@ok.net\r\n", Some("\"a b\"@c.net")).unwrap();
        assert!(out.contains("\r\n\tfor <\"a b\"@c.net>\r\n\ttls "), "{out}");
    }

    #[test]
    fn rule_h2_rule_t10_no_client_address_and_the_cipher_is_said() {
        let out = fixed("From: a@ok.net\r\n", None).unwrap();
        assert!(
            !out.contains("192.0.2.7") && out.contains("with ESMTPSA") && out.contains("tls TLS_AES_128_GCM_SHA256")
        );
    }

    #[test]
    fn rule_h4_date_and_message_id_are_added_when_missing() {
        let out = fixed("From: a@ok.net\r\n", None).unwrap();
        assert_eq!(
            out,
            format!(
                "{RECEIVED}From: a@ok.net\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
                 Message-ID: <01890000-0000-7000-8000-000000000000@gate.example.net>\r\n"
            )
        );
    }

    #[test]
    fn rule_h5_a_signature_is_not_broken() {
        let signed = "From: a@ok.net\r\nDKIM-Signature: h=from:date; b=x\r\n";
        assert!(!fixed(signed, None).unwrap().contains("\nDate:"));
        let signed = "From: a@ok.net\r\nBcc: b@ok.net\r\nDKIM-Signature: h=from:bcc; b=x\r\n";
        assert_eq!(fixed(signed, None), Err(Fault::Signed("Bcc")));
    }

    #[test]
    fn rule_h6_rule_h7_bcc_return_path_and_verdicts_in_our_name_are_dropped() {
        let block = "Return-Path: <x@y.net>\r\nFrom: a@ok.net\r\nBCC: b@ok.net,\r\n c@ok.net\r\nResent-Bcc: d@ok.net\r\n\
                     Authentication-Results: gate.example.net; spf=pass\r\nAuthentication-Results: other.net; spf=fail\r\n";
        let out = fixed(block, None).unwrap();
        for gone in ["x@y.net", "b@ok.net", "c@ok.net", "d@ok.net", "spf=pass"] {
            assert!(!out.contains(gone), "{gone}: {out}");
        }
        assert!(out.contains("other.net; spf=fail"));
    }
}
