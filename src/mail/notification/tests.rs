//! Reports, as a reader of their standards sees them.

use super::*;

fn address(text: &str) -> Address {
    Address::parse_international(text).unwrap()
}

fn fate(recipient: &str, action: Action, code: u16, enhanced: &str, text: &str) -> Fate {
    Fate {
        recipient: address(recipient),
        original: None,
        action,
        code: Some(code),
        enhanced: Some(enhanced.to_owned()),
        text: text.to_owned(),
        host: "mx.example.org".to_owned(),
        doubt: false,
    }
}

fn compose(to: &str, fates: &[Fate], original: &Original) -> String {
    compose_from(None, to, fates, original)
}

fn compose_from(from: Option<&str>, to: &str, fates: &[Fate], original: &Original) -> String {
    let from = from.map(address);
    let (id, about) = (MessageId::now(), "01890000-0000-7000-8000-000000000000".parse().unwrap());
    let envid = Envid::try_from("QQ+2B7".to_owned()).unwrap();
    let notification = Notification {
        hostname: "gate.example.net",
        id,
        from: from.as_ref(),
        to: &address(to),
        now: Timestamp::UNIX_EPOCH,
        about,
        accepted: Timestamp::UNIX_EPOCH,
        until: Timestamp::from_second(432_000).unwrap(),
        envid: Some(&envid),
        fates,
        original,
    };
    let text = String::from_utf8(notification.compose()).unwrap();
    text.replace(&id.to_string(), "ID")
}

#[test]
fn rule_x7_a_report_names_each_recipient_for_people_and_for_programs() {
    let mut failed = fate("rosa@example.org", Action::Failed, 550, "5.1.1", "no such user");
    failed.original = Some(Orcpt::try_from("rfc822;Rosa+20R@example.org".to_owned()).unwrap());
    let expired = fate("max@example.org", Action::Expired, 451, "4.7.1", "try later");
    let header = Original::Header(b"Subject: hello\r\n".to_vec());
    let text = compose("shop@example.net", &[failed, expired], &header);
    assert_eq!(
        text,
        "From: Mail Delivery System <MAILER-DAEMON@gate.example.net>\r\n\
         To: <shop@example.net>\r\n\
         Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
         Message-ID: <ID@gate.example.net>\r\n\
         Subject: Your message was not delivered\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"=_ID\"\r\n\
         \r\n\
         --=_ID\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         \r\n\
         This is the mail gate gate.example.net.\r\n\
         \r\n\
         Your message of Thu, 1 Jan 1970 00:00:00 +0000\r\n\
         could not be delivered to these recipients, and is not tried again:\r\n\
         \r\n\
         <rosa@example.org>\r\n    mx.example.org said: 550 5.1.1 no such user\r\n\
         <max@example.org>\r\n    given up, because its time was over; mx.example.org said last: 451 4.7.1 try later\r\n\
         \r\n\
         The administrators of gate.example.net know it as 01890000-0000-7000-8000-000000000000.\r\n\
         \r\n\
         --=_ID\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n\
         Reporting-MTA: dns; gate.example.net\r\n\
         Original-Envelope-Id: QQ+7\r\n\
         Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
         X-Gatepost-Id: 01890000-0000-7000-8000-000000000000\r\n\
         \r\n\
         Original-Recipient: rfc822;Rosa R@example.org\r\n\
         Final-Recipient: rfc822; rosa@example.org\r\n\
         Action: failed\r\n\
         Status: 5.1.1\r\n\
         Remote-MTA: dns; mx.example.org\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
         Last-Attempt-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
         \r\n\
         Final-Recipient: rfc822; max@example.org\r\n\
         Action: failed\r\n\
         Status: 4.4.7\r\n\
         Remote-MTA: dns; mx.example.org\r\n\
         Diagnostic-Code: smtp; 451 4.7.1 try later\r\n\
         Last-Attempt-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
         \r\n\
         --=_ID\r\n\
         Content-Type: text/rfc822-headers\r\n\
         \r\n\
         Subject: hello\r\n\
         \r\n\
         --=_ID--\r\n"
    );
}

#[test]
fn rule_x6_a_recipient_handed_over_to_a_host_without_dsn_is_relayed() {
    let relayed = fate("rosa@example.org", Action::Relayed, 250, "2.1.5", "queued as 7");
    let text = compose("shop@example.net", &[relayed], &Original::Nothing);
    for expected in ["Subject: Your message was handed over\r\n", "Action: relayed\r\nStatus: 2.1.5\r\n", "taken by mx"]
    {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("rfc822-headers") && !text.contains("could not be delivered"));
}

#[test]
fn rule_q7_a_report_does_not_say_of_who_may_have_it_that_it_is_lost() {
    let doubtful = |action| Fate { doubt: true, ..fate("rosa@example.org", action, 550, "5.7.1", "no") };
    let words = "    It may have been delivered all the same:";
    for action in [Action::Failed, Action::Expired] {
        let text = compose("shop@example.net", &[doubtful(action)], &Original::Nothing);
        assert!(text.contains("Subject: It is not known whether") && text.contains(words), "{text}");
        let lost = fate("max@example.org", action, 550, "5.1.1", "no such user");
        let text = compose("shop@example.net", &[doubtful(action), lost], &Original::Nothing);
        assert!(text.contains("Subject: Your message was not delivered") && text.contains(words), "{text}");
    }
    let text = compose("shop@example.net", &[doubtful(Action::Delayed)], &Original::Nothing);
    assert!(text.contains("Subject: Your message is delayed") && text.contains(words), "{text}");
    for action in [Action::Unknown, Action::Relayed] {
        let text = compose("shop@example.net", &[doubtful(action)], &Original::Nothing);
        assert!(!text.contains(words), "{text}");
    }
}

#[test]
fn what_was_refused_for_now_and_given_up_has_a_status_that_fits_its_answer() {
    for (code, enhanced, status) in
        [(450, "4.0.0", "4.0.0"), (450, "4.2.2", "4.2.2"), (450, "5.1.1", "4.0.0"), (550, "4.2.2", "5.0.0")]
    {
        let text = compose(
            "shop@example.net",
            &[fate("rosa@example.org", Action::Failed, code, enhanced, "no")],
            &Original::Nothing,
        );
        assert!(text.contains(&format!("\r\nAction: failed\r\nStatus: {status}\r\n")), "{text}");
    }
}

#[test]
fn rule_q14_a_report_of_a_delay_says_that_nothing_is_lost_and_until_when_it_is_tried() {
    let answered = fate("rosa@example.org", Action::Delayed, 450, "4.2.1", "greylisted");
    let mut strange = fate("max@example.org", Action::Delayed, 550, "5.1.1", "no such user");
    strange.original = Some(Orcpt::try_from("rfc822;Max@example.org".to_owned()).unwrap());
    let silent =
        Fate { code: None, enhanced: None, host: String::new(), ..fate("ute@example.org", Action::Delayed, 0, "", "") };
    let text = compose("shop@example.net", &[answered, strange, silent], &Original::Nothing);
    let (head, rest) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\nSubject: Your message is delayed\r\nAuto-Submitted: auto-replied\r\n"), "{head}");
    assert_eq!(
        rest,
        "--=_ID\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         \r\n\
         This is the mail gate gate.example.net.\r\n\
         \r\n\
         Your message of Thu, 1 Jan 1970 00:00:00 +0000\r\n\
         could not be delivered to these recipients yet. You need to do nothing: it is tried until\r\n\
         Tue, 6 Jan 1970 00:00:00 +0000:\r\n\
         \r\n\
         <rosa@example.org>\r\n    mx.example.org said last: 450 4.2.1 greylisted\r\n\
         <max@example.org>\r\n    mx.example.org said last: 550 5.1.1 no such user\r\n\
         <ute@example.org>\r\n    no host has answered so far\r\n\
         \r\n\
         The administrators of gate.example.net know it as 01890000-0000-7000-8000-000000000000.\r\n\
         \r\n\
         --=_ID\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n\
         Reporting-MTA: dns; gate.example.net\r\n\
         Original-Envelope-Id: QQ+7\r\n\
         Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
         X-Gatepost-Id: 01890000-0000-7000-8000-000000000000\r\n\
         \r\n\
         Final-Recipient: rfc822; rosa@example.org\r\n\
         Action: delayed\r\n\
         Status: 4.2.1\r\n\
         Remote-MTA: dns; mx.example.org\r\n\
         Diagnostic-Code: smtp; 450 4.2.1 greylisted\r\n\
         Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000\r\n\
         \r\n\
         Original-Recipient: rfc822;Max@example.org\r\n\
         Final-Recipient: rfc822; max@example.org\r\n\
         Action: delayed\r\n\
         Status: 4.0.0\r\n\
         Remote-MTA: dns; mx.example.org\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
         Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000\r\n\
         \r\n\
         Final-Recipient: rfc822; ute@example.org\r\n\
         Action: delayed\r\n\
         Status: 4.0.0\r\n\
         Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000\r\n\
         \r\n\
         --=_ID--\r\n"
    );
}

#[test]
fn rule_q13_a_report_can_be_from_an_address() {
    let failed = fate("rosa@example.org", Action::Failed, 550, "5.1.1", "no such user");
    let text = compose_from(Some("bounces@example.net"), "shop@example.net", &[failed], &Original::Nothing);
    assert!(
        text.starts_with("From: Mail Delivery System <bounces@example.net>\r\nTo: <shop@example.net>\r\n"),
        "{text}"
    );
}

#[test]
fn rule_x7_rule_u2_what_an_upstream_said_becomes_no_field_and_no_part() {
    let mut hostile =
        fate("rosa@example.org", Action::Failed, 550, "5.1.1\r\nBcc: x@y.net", "a\r\n\r\n--=_ID\r\nb\u{202e}");
    hostile.host = "mx\r\nX: y".to_owned();
    let text = compose("shop@example.net", &[hostile], &Original::Nothing);
    assert_eq!(text.matches("\r\n--=_ID\r\n").count(), 2, "{text}");
    assert!(text.contains("Status: 5.0.0\r\n") && !text.contains("\r\nBcc:") && !text.contains("\r\nX: y"), "{text}");
    assert!(text.is_ascii());
}

#[test]
fn rule_x7_addresses_beyond_ascii_stand_in_parts_that_say_so() {
    let failed = fate("r\u{f6}sa@example.org", Action::Failed, 550, "5.1.1", "no such user");
    let header = Original::Header("Subject: gr\u{fc}\u{df}e\r\n".as_bytes().to_vec());
    let text = compose("shop@example.net", &[failed], &header);
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998), "{text}");
    for part in ["text/plain; charset=utf-8", "message/global-delivery-status", "message/global-headers"] {
        let head = format!("Content-Type: {part}\r\nContent-Transfer-Encoding: base64\r\n\r\n");
        let (_, rest) = text.split_once(&head).unwrap();
        let (encoded, _) = rest.split_once("--=_ID").unwrap();
        assert!(encoded.lines().all(|line| line.len() <= MAX_ENCODED));
        let meant = String::from_utf8(STANDARD.decode(encoded.replace("\r\n", "")).unwrap()).unwrap();
        assert!(meant.contains("utf-8; r\u{f6}sa@") || meant.contains("<r\u{f6}sa@") || meant.contains("gr\u{fc}"));
    }
}

#[test]
fn rule_x7_how_much_comes_back_is_what_was_asked_for_within_bounds() {
    let message = b"Subject: a\r\nX: b\r\n\r\nbody\r\n";
    let whole = |message: &[u8], ret| Original::of(message, message.len() as u64, ret);
    let header = Original::Header(b"Subject: a\r\nX: b\r\n".to_vec());
    assert_eq!(whole(message, Some(Ret::Full)), Original::Whole(message.to_vec()));
    for ret in [None, Some(Ret::Headers)] {
        assert_eq!(whole(message, ret), header);
    }
    // Only its beginning is at hand, it is too large, or not every upstream can take it.
    assert_eq!(Original::of(message, 1000, Some(Ret::Full)), header);
    let large = [message.to_vec(), vec![b'x'; 50_000]].concat();
    assert_eq!(whole(&large, Some(Ret::Full)), header);
    assert_eq!(whole(b"Subject: a\r\nX: b\r\n\r\n\xfc\r\n", Some(Ret::Full)), header);
    // A header without end is cut between two of its lines.
    let Original::Header(cut) = whole("X: 0123456\r\n".repeat(4000).as_bytes(), None) else { panic!() };
    assert!(cut.len() <= MAX_HEADER && cut.len() > MAX_HEADER - 20 && cut.ends_with(b"0123456\r\n"));
}

#[test]
fn rule_q13_a_report_is_never_longer_than_50_kb_and_names_whom_it_tells_of() {
    let long = |n: usize, words: usize| {
        fate(&format!("r{n:04}@example.org"), Action::Failed, 550, "5.1.1", &"w".repeat(words))
    };
    let header = Original::Header(format!("Subject: hello\r\n{}", "X-Long: 0123456789\r\n".repeat(1600)).into_bytes());
    let whole = Original::Whole(format!("Subject: hello\r\n\r\n{}", "a line of it\r\n".repeat(3500)).into_bytes());
    for (recipients, words, original, all) in [
        (1, 40, &header, true),
        (100, 512, &header, true),
        (250, 512, &whole, false),
        (1, 512, &whole, true),
        (250, 512, &Original::Nothing, false),
    ] {
        let fates: Vec<Fate> = (0..recipients).map(|n| long(n, words)).collect();
        let (from, to, about) = (address("a@example.net"), address("shop@example.net"), MessageId::now());
        let notification = Notification {
            hostname: "gate.example.net",
            id: MessageId::now(),
            from: Some(&from),
            to: &to,
            now: Timestamp::UNIX_EPOCH,
            about,
            accepted: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            envid: None,
            fates: &fates,
            original,
        };
        let (content, told) = notification.compose_within();
        let text = String::from_utf8(content).unwrap();
        assert!(text.len() <= MAX_REPORT, "{recipients} {}", text.len());
        assert!(told > 0 && (told == fates.len()) == all, "{told} of {recipients}");
        // Each whom it tells of is named to people and to programs, with the status; the others are left to another one whole.
        for (n, fate) in fates.iter().enumerate() {
            let named = text.matches(fate.recipient.to_string().as_str()).count();
            assert_eq!(named, if n < told { 2 } else { 0 }, "{n} of {recipients}");
        }
        assert_eq!(text.matches("Status: 5.1.1").count(), told);
        assert_eq!(text.contains("Subject: hello"), *original != Original::Nothing);
        // Words that fit are told as they are.
        assert!(text.contains("www...") || text.contains(&"w".repeat(words)));
        assert!(text.ends_with("--\r\n"));
    }
}
