//! Section X: what is offered beyond the least, and what a listener can leave out.

use super::*;
use crate::config::slice::Extension;
use crate::mail::dsn::{Notify, Report, Ret, Wish};

#[tokio::test]
async fn rule_x5_what_is_asked_of_reports_reaches_the_vault() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net> RET=FULL ENVID=order+2B7
        S: 250 *
        C: RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;c@example.org
        C: RCPT TO:<d@example.org>
        C: RCPT TO:<e@example.org> NOTIFY=DELAY
        C: RCPT TO:<e@example.org> NOTIFY=NEVER
        C: RCPT TO:<b@example.org>
        S: 250 *
        S: 250 *
        S: 250 *
        S: 250 *
        S: 250 *
        C: DATA
        S: 354 *
        C: From: a@example.net
        C:
        C: .
        S: 250 *",
    )
    .await;
    let seen = room.seen();
    let notify = |text: &str| Some(Notify::parse(text).unwrap());
    let asked = Wish { notify: notify("SUCCESS,FAILURE"), orcpt: "rfc822;c@example.org".to_owned().try_into().ok() };
    let never = Wish { notify: notify("NEVER"), orcpt: None };
    assert_eq!(seen.kept[0].recipients, ["b@example.org", "d@example.org", "e@example.org"]);
    assert_eq!(seen.kept[0].wishes, [asked, Wish::default(), never]);
    let report = Report { ret: Some(Ret::Full), envid: "order+2B7".to_owned().try_into().ok() };
    assert_eq!(seen.kept[0].manner.report, report);
}

#[tokio::test]
async fn rule_x5_rule_c12_a_bad_wish_leaves_the_transaction_as_it_was() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net> RET=SOME
        S: 501 5.5.4 *
        C: MAIL FROM:<a@example.net> ENVID=a ENVID=b
        S: 501 5.5.4 *
        C: MAIL FROM:<a@example.net> ENVID=a
        S: 250 *
        C: RCPT TO:<b@example.org> NOTIFY=NEVER,SUCCESS
        S: 501 5.5.4 *
        C: DATA
        S: 554 5.5.1 *
        C: RCPT TO:<b@example.org> NOTIFY=NEVER
        S: 250 *",
    )
    .await;
}

#[tokio::test]
async fn rule_x1_what_a_listener_leaves_out_is_neither_offered_nor_taken() {
    use Extension::{Chunking, Dsn, EightBit, Limits, Pipelining, Size, StatusCodes};
    let all = vec![Chunking, Dsn, EightBit, Limits, Pipelining, Size, StatusCodes];
    let room = Room::with(Ways::default(), |desk| (desk.plain_login, desk.extensions_off) = (true, all));
    let mut client =
        room.run("S: 220 *\nC: EHLO client.example\nS: 250-gate.example.net\nS: 250 AUTH PLAIN LOGIN").await;
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *\nC: EHLO client.example\nS: 250 gate.example.net").await;
    for parameter in ["RET=FULL", "ENVID=a", "SIZE=1", "BODY=7BIT"] {
        client.run(&format!("C: MAIL FROM:<a@example.net> {parameter}\nS: 555 5.5.4 *")).await;
    }
    client
        .run(
            "C: MAIL FROM:<a@example.net>
            S: 250 *
            C: RCPT TO:<b@example.org> NOTIFY=NEVER
            S: 555 5.5.4 *
            C: RCPT TO:<b@example.org>
            S: 250 *
            # What follows is no command, although it isn't taken.
            C: BDAT 6 LAST
            C: QUIT
            S: 502 5.5.1 *
            C: DATA
            S: 354 *",
        )
        .await;
}
