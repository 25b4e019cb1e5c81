//! The fix-ups, field by field.

use proptest::prelude::*;

use super::*;
use crate::mail::header;
use crate::policy::Policy;

fn fixed(block: &str, recipient: Option<&str>) -> Result<String, Flaw> {
    ordered(block, recipient, &Policy::default()).map(|(out, facts)| {
        assert_eq!(facts.received, header::read(block.as_bytes(), "by x", false).unwrap().facts.received + 1);
        out
    })
}

/// As this policy wants it.
fn ordered(block: &str, recipient: Option<&str>, policy: &Policy) -> Result<(String, Facts), Flaw> {
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
    let grant = policy.grant("x", &[]);
    let rewrite = |author: &Address| grant.rewritten(author).cloned();
    let orders = Orders { rewrite: &rewrite, remove: &grant.remove_headers };
    apply(&header, &trace, orders, Timestamp::UNIX_EPOCH).map(|(out, facts)| (String::from_utf8(out).unwrap(), facts))
}

const RECEIVED: &str = "Received: from localhost (address not shown)\r\n\tby gate.example.net (Gatepost submission)\
    \r\n\twith ESMTPSA id 01890000-0000-7000-8000-000000000000\r\n\ttls TLS_AES_128_GCM_SHA256;\
    \r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n";

#[test]
fn rule_h1_one_received_on_top_and_the_rest_untouched() {
    let block = "received: from  a\r\n\tby b;  now\r\nX-Odd:odd \r\nFROM:a@ok.net\r\ndate: x\r\nMessage-Id: <1@x>\r\n";
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
    assert!(!out.contains("192.0.2.7") && out.contains("with ESMTPSA") && out.contains("tls TLS_AES_128_GCM_SHA256"));
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
    assert_eq!(fixed(signed, None), Err(Flaw::Signed(Named::of("Bcc"))));
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

#[test]
fn rule_h7_a_verdict_in_our_name_is_dropped_in_whatever_spelling_and_one_that_nobody_can_read() {
    for gone in
        ["(x) gate.example.net; auth=pass", "\"gate.example.net\" 1; auth=pass", "gate.example.net/1; auth=pass"]
    {
        let block = format!("From: a@ok.net\r\nAuthentication-Results: {gone}\r\n{PRESENT}");
        assert_eq!(rest(&fixed(&block, None).unwrap()), format!("From: a@ok.net\r\n{PRESENT}"), "{gone}");
    }
}

#[test]
fn rule_h2_an_address_without_brackets_is_not_told_either() {
    let trace = |helo| Trace {
        helo,
        hostname: "gate.example.net",
        listener: "submission",
        with: "ESMTPA",
        cipher: None,
        id: "01890000-0000-7000-8000-000000000000".parse().unwrap(),
        only_recipient: None,
    };
    for helo in ["192.168.77.5", "192.168.77.5.", "3232255237", "0xC0A84D05", "192.168.0x4d05", "2001:db8::7", "[::1]"]
    {
        assert!(trace(helo).field("now").starts_with("Received: from localhost (address"), "{helo}");
    }
    for helo in ["pc-5.example.net", "192.168.77.5.example.net", "4d05.example", "0x", "localhost"] {
        assert!(trace(helo).field("now").starts_with(&format!("Received: from {helo} (address")), "{helo}");
    }
}

#[test]
fn rule_h4_an_empty_date_or_message_id_is_none() {
    let out = fixed("Date: \r\nFrom: a@ok.net\r\nmessage-id:\r\n", None).unwrap();
    assert_eq!(out, fixed("From: a@ok.net\r\n", None).unwrap());
    let signed = "Date:\r\nFrom: a@ok.net\r\nDKIM-Signature: h=from:date; b=x\r\n";
    assert_eq!(fixed(signed, None), Err(Flaw::Signed(Named::of("Date"))));
}

#[test]
fn rule_h5_signatures_are_read_once_however_many_fields_there_are() {
    let signature = format!("DKIM-Signature: {};h=x\r\n", "\r\n ;;;;;;;;".repeat(50));
    let removed = policy(&[], &["X-Mailer"]);
    let octets = |n: usize| {
        let block = format!("{}From: a@ok.net\r\n{}", signature.repeat(9), "Bcc:\r\nX-Mailer: y\r\n".repeat(n));
        header::tests::looked(|| drop(ordered(&block, None, &removed).unwrap()))
    };
    assert_eq!(octets(1), octets(400), "nothing is unfolded for a field that is dropped");
    assert!(octets(1) <= 9 * signature.len());
}

fn policy(rewrite: &[&str], removed: &[&str]) -> Policy {
    Policy {
        senders: vec!["@ok.net".parse().unwrap()],
        rewrite: rewrite.iter().map(|line| line.parse().unwrap()).collect(),
        remove_headers: removed.iter().map(|name| name.parse().unwrap()).collect(),
        ..Policy::default()
    }
}

/// What stands behind our Received.
fn rest(out: &str) -> &str {
    out.strip_prefix(RECEIVED).unwrap()
}

const PRESENT: &str = "Date: x\r\nMessage-ID: <1@x>\r\n";

#[test]
fn rule_p10_row_55a_authors_that_are_not_its_own_become_others_and_nothing_else_does() {
    let rewrite = policy(&["root@web.internal=web@ok.net", "@lan=b@ok.net"], &[]);
    for (from, expected, authors) in [
        ("From: root@web.internal", "From: web@ok.net", &["web@ok.net"][..]),
        ("from:Root <root@WEB.internal> (at web)", "from:Root <web@ok.net> (at web)", &["web@ok.net"]),
        (
            "From: \"root@web.internal\"\r\n\t<root@web.internal>,\r\n a@ok.net , x@lan",
            "From: \"root@web.internal\"\r\n\t<web@ok.net>,\r\n a@ok.net , b@ok.net",
            &["web@ok.net", "a@ok.net", "b@ok.net"],
        ),
        ("From: a@ok.net\r\nSender: <x@lan>", "From: a@ok.net\r\nSender: <b@ok.net>", &["a@ok.net", "b@ok.net"]),
        // Who else it is stays, and the pin refuses it.
        ("From: root@web.example", "From: root@web.example", &["root@web.example"]),
    ] {
        let (out, facts) =
            ordered(&format!("{from}\r\nReply-To: root@web.internal\r\n{PRESENT}"), None, &rewrite).unwrap();
        assert_eq!(rest(&out), format!("{expected}\r\nReply-To: root@web.internal\r\n{PRESENT}"));
        assert_eq!(facts.authors.iter().map(ToString::to_string).collect::<Vec<_>>(), authors, "{from}");
    }
}

#[test]
fn row_55a_what_the_credential_may_be_itself_is_not_rewritten() {
    let (out, facts) = ordered("From: a@ok.net\r\n", None, &policy(&["*=b@ok.net"], &[])).unwrap();
    assert!(rest(&out).starts_with("From: a@ok.net\r\n"), "{out}");
    assert_eq!(facts.changes, crate::mail::facts::Changes::default());
}

#[test]
fn rule_h5_row_55a_a_signed_author_is_not_rewritten_and_a_signed_field_not_removed() {
    let rewrite = policy(&["@lan=b@ok.net"], &["X-Mailer", "Received"]);
    for signature in [
        "DKIM-Signature: a=x; h=To:from; b=x\r\n",
        "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"\r\n",
        "Content-Type:\r\n\tMultipart/Signed; protocol=\"application/pkcs7-signature\"\r\n",
        "Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n",
    ] {
        let block = format!("From: x@lan\r\n{signature}");
        assert_eq!(
            ordered(&block, None, &rewrite).map(|(out, _)| out),
            Err(Flaw::Signed(Named::of("From"))),
            "{signature}"
        );
        // Nothing of it is to be changed, so it goes.
        assert!(ordered(&format!("From: a@ok.net\r\n{signature}"), None, &rewrite).is_ok(), "{signature}");
    }
    assert!(
        ordered("From: x@lan\r\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n", None, &rewrite)
            .is_ok()
    );
    let signed = "From: a@ok.net\r\nX-Mailer: y\r\nDKIM-Signature: h=from:x-mailer; b=x\r\n";
    assert_eq!(ordered(signed, None, &rewrite).map(|(out, _)| out), Err(Flaw::SignedAway));
    let sealed = "From: a@ok.net\r\nX-Mailer: y\r\nARC-Message-Signature: i=1; h=from:x-mailer; b=x\r\n";
    assert_eq!(ordered(sealed, None, &rewrite).map(|(out, _)| out), Err(Flaw::SignedAway));
}

#[test]
fn rule_h3_row_55a_fields_are_removed_by_name_and_the_received_of_every_gatepost_stays() {
    let by = |host| {
        format!("Received: from a (address not shown)\r\n\tby {host} (Gatepost other)\r\n\twith HTTP id 1; x\r\n")
    };
    let ours = by("gate.example.net") + &by("gate.example.com");
    let block = format!(
        "RECEIVED: from 10.0.0.7\r\n\tby inner; x\r\n{ours}X-Originating-IP: [10.0.0.7]\r\nX-Originating-IPs: y\r\n\
         received: z\r\nFrom: a@ok.net\r\n{PRESENT}"
    );
    let (out, facts) = ordered(&block, None, &policy(&[], &["Received", "x-originating-ip"])).unwrap();
    assert_eq!(rest(&out), format!("{ours}X-Originating-IPs: y\r\nFrom: a@ok.net\r\n{PRESENT}"));
    assert_eq!(facts.received, 3, "ours, ours of before, and the other gate's");
    assert_eq!(facts.changes.removed, [("Received".to_owned(), 2), ("x-originating-ip".to_owned(), 1)]);
}

#[test]
fn row_55a_a_line_that_would_grow_too_long_is_refused() {
    let long = format!("From: {} <x@lan>\r\n", "n".repeat(980));
    assert_eq!(
        ordered(&long, None, &policy(&["@lan=bbbbbbbbbbbbbbb@ok.net"], &[])).map(|(out, _)| out),
        Err(Flaw::TooLong)
    );
}

/// A field, folded anywhere, of a name that means nothing here; or one that is removed.
fn field() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[!-9;-~]{1,20}", Just("X-Mailer".to_owned()), Just("received".to_owned())];
    let line = "[ -~\t]{0,60}";
    let folded = proptest::collection::vec("[ \t][!-~][ -~\t]{0,60}", 0..4);
    (name, line, folded).prop_map(|(name, first, folded)| {
        format!("{name}:{first}\r\n{}", folded.iter().map(|line| format!("{line}\r\n")).collect::<String>())
    })
}

/// Fields that the reader or the fix-ups treat in a way of their own.
fn is_known(field: &str) -> bool {
    let name = field.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let known = [
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "subject",
        "date",
        "message-id",
        "bcc",
        "resent-bcc",
        "return-path",
        "dkim-signature",
        "authentication-results",
        "content-type",
    ];
    known.contains(&name.as_str())
}

proptest! {
    /// Random fields around a From that is rewritten: those that go are gone, and every other octet is where it was.
    #[test]
    fn rule_h1_row_55a_every_other_field_is_the_same_octet_by_octet(
        above in proptest::collection::vec(field(), 0..6),
        below in proptest::collection::vec(field(), 0..6),
        name in "[a-zA-Z]{1,10}",
    ) {
        let kept = |fields: &[String]| fields.iter().filter(|field| !is_known(field)).cloned().collect::<Vec<_>>();
        let (above, below) = (kept(&above), kept(&below));
        let block = format!("{}From: {name}\r\n <x@lan> (y)\r\n{PRESENT}{}", above.concat(), below.concat());
        let (out, _) = ordered(&block, None, &policy(&["@lan=b@ok.net"], &["X-Mailer", "Received"])).unwrap();
        let stays = |field: &&String| {
            let name = field.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("x-mailer") && !name.eq_ignore_ascii_case("received")
        };
        let rest_of = |fields: &[String]| fields.iter().filter(stays).cloned().collect::<String>();
        let expected = format!("{}From: {name}\r\n <b@ok.net> (y)\r\n{PRESENT}{}", rest_of(&above), rest_of(&below));
        prop_assert_eq!(rest(&out), expected);
    }
}
