//! Section P: senders and recipients.

use super::*;
use crate::edge::stand_in::grant;
use crate::policy::Recipients;
use crate::policy::refusal::Refusal;
use crate::policy::route::{BackedUp, Route};

#[tokio::test]
async fn rule_p1_bad_addresses_are_501() {
    let room = Room::plain();
    room.run("@login\nC: MAIL FROM:<a b@example.net>\nS: 501 5.1.7 *\nC: MAIL FROM:a@example.net\nS: 501 5.1.7 *")
        .await;
    room.run("@mail\nC: RCPT TO:<>\nS: 501 5.1.3 *\nC: RCPT TO:<a@-b.net>\nS: 501 5.1.3 *").await;
}

#[tokio::test]
async fn rule_p1_vector_v13_a_quoted_line_break_injects_nothing() {
    let room = Room::plain();
    room.run("@login\nC: MAIL FROM:<\"a\\\\\\r\\nRCPT TO:<x@y.net>\"@c.net>\nS: 501 5.1.7 *\nS: 501 5.5.4 *\nC: NOOP\nS: 250 *").await;
}

#[tokio::test]
async fn rule_p3_vector_v16_policy_sees_the_mailbox_behind_the_route() {
    let room = Room::plain();
    room.run(
        "@mail
        C: RCPT TO:<@example.org:user@denied.example>
        S: 550 5.7.1 *
        C: RCPT TO:<@denied.example:user@ok.example>
        S: 250 2.1.5 *",
    )
    .await;
    let seen = room.house.until(|seen| !seen.turned.is_empty()).await;
    let (from, to) = ("a@example.net".to_owned(), "user@denied.example".to_owned());
    assert_eq!(seen.turned, [(Some(from), Some(to), Refusal::RecipientNotAllowed)]);
}

#[tokio::test]
async fn rule_p4_vector_v14_a_quote_in_a_sender_is_data_and_nothing_else() {
    let room = Room::plain();
    room.run("@login\nC: MAIL FROM:<\"o'x\\\\\"; --\"@c.net>\nS: 250 2.1.0 *").await;
}

#[tokio::test]
async fn rule_p14_the_local_part_of_a_recipient_is_kept_as_it_was_said() {
    let room = Room::plain();
    let all =
        ["Rosa.MARTIN+Tag@Example.ORG", "rosa.martin+tag@example.org", "o'neil%x=y@example.org", "a!b#c@example.org"];
    let said = all.map(|to| format!("C: RCPT TO:<{to}>\nS: 250 *\n")).concat();
    room.run(&format!("@login\nC: MAIL FROM:<a@example.net>\nS: 250 *\n{said}C: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *")).await;
    let kept = room.seen().kept[0].recipients.clone();
    for to in all {
        let (local, domain) = to.split_once('@').unwrap();
        let expected = format!("{local}@{}", domain.to_lowercase());
        assert_eq!(kept.iter().filter(|one| one.to_string() == expected).count(), 1, "{expected}: {kept:?}");
    }
}

#[tokio::test]
async fn rule_p7_names_without_a_dot_and_literals_are_refused() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@localhost>
        S: 550 5.1.8 *
        C: MAIL FROM:<a@[192.0.2.1]>
        S: 550 5.1.8 *
        C: MAIL FROM:<a@example.net>
        S: 250 *
        C: RCPT TO:<b@localhost>
        S: 550 5.1.2 *
        C: RCPT TO:<b@[192.0.2.1]>
        S: 550 5.1.2 *",
    )
    .await;
}

#[tokio::test]
async fn rule_p8_rule_p9_the_sender_is_the_logins_own_and_never_nobody() {
    let room = Room::plain();
    room.run("@login\nC: MAIL FROM:<a@evil.example>\nS: 550 5.7.1 *\nC: MAIL FROM:<>\nS: 550 5.7.1 *").await;
    let seen = room.house.until(|seen| seen.turned.len() == 2).await;
    let expected = [Some("a@evil.example".to_owned()), None];
    assert_eq!(seen.turned, expected.map(|from| (from, None, Refusal::SenderNotAllowed)));
    // Whoever may be anybody is somebody, and nothing is sent in place of nobody: neither for who logs in nor for a device.
    let anybody = grant(&["*"], Recipients::default(), 100);
    let login = ("billing".into(), "s3cret".into(), anybody.clone());
    let room = Room::with(Ways { login, ..Ways::default() }, |desk| desk.plain_login = true);
    let refused = "C: MAIL FROM:<>\nS: 550 5.7.1 *\nC: RCPT TO:<b@example.org>\nS: 503 5.5.1 *";
    room.run(&format!("@login\n{refused}")).await;
    let device = Ways { network: Some(anybody), ..Ways::default() };
    let devices = Room::with(device, |desk| desk.identify_by_network = true);
    devices.run(&format!("S: 220 *\nC: HELO printer\nS: 250 *\n{refused}")).await;
    for room in [room, devices] {
        let seen = room.house.until(|seen| seen.closed == 1).await;
        assert!(seen.kept.is_empty() && seen.turned.len() == 1);
    }
}

#[tokio::test]
async fn rule_p12_a_recipient_that_is_not_allowed_is_refused_for_good() {
    let room = Room::plain();
    let mut client = room
        .run("@mail\nC: RCPT TO:<x@DENIED.example>\nS: 550 5.7.1 *\nC: RCPT TO:<\"x\"@denied.example>\nS: 550 5.7.1 *")
        .await;
    client.run("C: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *").await;
    assert_eq!(room.seen().kept[0].recipients, ["b@example.org"], "nobody else heard of them");
}

#[tokio::test]
async fn rule_p13_postmaster_needs_no_domain() {
    let room = Room::plain();
    room.run(
        "@mail\nC: RCPT TO:<Postmaster>\nS: 250 2.1.5 *\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *",
    )
    .await;
    assert_eq!(room.seen().kept[0].recipients, ["b@example.org", "postmaster@gate.example.net"]);
}

#[tokio::test]
async fn rule_p15_rule_p16_defect_x19_vector_v21_recipients_beyond_the_cap_are_452_and_the_rest_is_kept() {
    let room = Room::plain();
    let mut client = room.run("@login\nC: MAIL FROM:<a@example.net>\nS: 250 *").await;
    let group: String = (0..1000).map(|n| format!("RCPT TO:<u{n}@example.org>\r\n")).collect();
    client.send(group).await;
    for n in 0..1000 {
        client.expect(if n < 100 { "250 2.1.5" } else { "452 4.5.3" }).await;
    }
    client.run("C: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 2.0.0 *").await;
    assert_eq!(room.seen().kept[0].recipients.len(), 100);
    assert_eq!(room.seen().turned.len(), 1, "told once, not nine hundred times");
}

#[tokio::test]
async fn rule_p17_a_recipient_named_twice_is_one() {
    let ways =
        Ways { login: ("billing".into(), "s3cret".into(), grant(&["*"], Recipients::default(), 2)), ..Ways::default() };
    let room = Room::with(ways, |desk| desk.plain_login = true);
    room.run(
        "@mail
        C: RCPT TO:<\"b\"@EXAMPLE.org>
        S: 250 2.1.5 *
        C: RCPT TO:<c@example.org>
        S: 250 2.1.5 *
        C: RCPT TO:<b@example.org>
        S: 250 2.1.5 *
        C: DATA
        S: 354 *
        C: From: a@example.net
        C: .
        S: 250 *",
    )
    .await;
    assert_eq!(room.seen().kept[0].recipients, ["b@example.org", "c@example.org"]);
}

#[tokio::test]
async fn rule_p18_limits_of_the_vault_are_said_with_their_wait() {
    let room =
        Room::with(Ways { at_mail: Some(Refusal::RateLimited(30)), ..Ways::default() }, |desk| desk.plain_login = true);
    room.run("@login\nC: MAIL FROM:<a@example.net>\nS: 451 4.7.1 over the rate, try again in 30 seconds").await;
}

#[tokio::test(start_paused = true)]
async fn rule_c16_a_sender_that_is_put_off_is_so_a_hundred_times() {
    let ways = Ways { at_mail: Some(Refusal::RateLimited(30)), ..Ways::default() };
    let room = Room::with(ways, |desk| desk.plain_login = true);
    let asked = "C: MAIL FROM:<a@example.net>\n";
    // EHLO was the first that does nothing.
    let refused = format!("{asked}S: 451 4.7.1 *\n").repeat(99);
    room.run(&format!("@login\n{refused}{asked}S: 421 4.7.0 *\n--")).await;
}

#[tokio::test]
async fn rule_s1_rule_s8_a_vault_without_room_or_time_says_so_before_anything_is_sent() {
    for (refusal, expected) in [
        (Refusal::StoreFull, "452 4.3.1 no room to keep it"),
        (Refusal::StoreUnavailable, "451 4.3.1 it can't be kept now"),
        (Refusal::CopyNoRoute, "451 4.3.5 a copy that the gate is to keep has no way to leave"),
    ] {
        let room = Room::with(Ways { at_mail: Some(refusal), ..Ways::default() }, |desk| desk.plain_login = true);
        // The session goes on.
        let refused = format!("C: MAIL FROM:<a@example.net> SIZE=100\nS: {expected}\n").repeat(2);
        room.run(&format!("@login\n{refused}C: NOOP\nS: 250 *")).await;
    }
}

#[tokio::test]
async fn a_device_is_known_by_its_network_and_never_asked_for_a_password() {
    let known = Some(Ways::default().login.2);
    let room = Room::with(Ways { network: known, ..Ways::default() }, |desk| desk.identify_by_network = true);
    let mut client = room.run("S: 220 *\nC: EHLO printer").await;
    assert!(!client.reply().await.contains("AUTH"));
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 502 5.5.1 *").await;
    client.run("C: MAIL FROM:<a@evil.example>\nS: 550 5.7.1 *\nC: MAIL FROM:<a@example.net>\nS: 250 *").await;
    client.run("C: RCPT TO:<b@example.org>\nS: 250 *\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *").await;
    assert!(room.seen().kept[0].content.contains("with ESMTP id "));
}

#[tokio::test]
async fn a_device_whose_credential_was_changed_is_told_to_connect_again() {
    let known = Some(Ways::default().login.2);
    let room = Room::with(Ways { network: known, ..Ways::default() }, |desk| desk.identify_by_network = true);
    let mail = "S: 220 *\nC: HELO printer\nS: 250 gate.example.net\nC: MAIL FROM:<a@example.net>\nS: 250 *";
    let mut client = room.run(mail).await;
    client.run("C: RSET\nS: 250 *").await;
    room.house.say(crate::ipc::session::Answer::Revoked { slot: crate::ipc::session::Slot(0) }).await;
    // The next answer on the channel shows that the one before has come.
    room.run(mail).await;
    client.run("C: MAIL FROM:<a@example.net>\nS: 421 4.3.2 *").await;
    client.closed().await;
}

#[tokio::test]
async fn rule_a1_an_unknown_device_sends_nothing_however_often_it_tries() {
    let room = Room::with(Ways::default(), |desk| desk.identify_by_network = true);
    let mail = "C: MAIL FROM:<a@example.net>\nS: 550 5.7.1 *\n".repeat(3);
    room.run(&format!("S: 220 *\nC: HELO printer\nS: 250 gate.example.net\n{mail}")).await;
    let seen = room.house.until(|seen| seen.turned.len() == 3).await;
    assert_eq!(seen.opened, 1);
    let told = (Some("a@example.net".to_owned()), None, Refusal::UnknownNetwork);
    assert_eq!(seen.turned, vec![told; 3]);
}

#[tokio::test]
async fn rule_q12_who_has_mail_for_a_route_that_too_much_waits_for_is_told_at_rcpt() {
    let mut ways = Ways { backed_up: vec![BackedUp { via: vec![7, 0], seconds: 90 }], ..Ways::default() };
    let route = ways.login.2.routes[0].clone();
    ways.login.2.routes.insert(0, Route { to: "@slow.example".parse().unwrap(), via: vec![7, 0], ..route });
    let room = Room::with(ways, |desk| desk.plain_login = true);
    room.run(
        "@mail
        C: RCPT TO:<b@slow.example>
        S: 452 4.3.1 too much waits to go there, try again in 90 seconds
        C: RCPT TO:<b@elsewhere.example>
        S: 250 2.1.5 *",
    )
    .await;
    let seen = room.house.until(|seen| !seen.turned.is_empty()).await;
    let (from, to) = ("a@example.net".to_owned(), "b@slow.example".to_owned());
    assert_eq!(seen.turned, [(Some(from), Some(to), Refusal::BackedUp(90))]);
}
