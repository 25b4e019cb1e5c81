//! Messages that are delivered while their client waits: what the upstream says is what the client is told, in its turn.

use super::*;
use crate::ipc::waits::END_AT_EDGE;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;

fn room(spoken: Spoken) -> Room {
    Room::with(Ways { passed: Some(spoken), ..Ways::default() }, |desk| desk.plain_login = true)
}

#[tokio::test]
async fn each_recipient_is_told_what_the_upstream_said_and_the_dot_too() {
    let room = room(Spoken::new(250, [2, 0, 0], "passed on, the next host said: queued as 4F"));
    room.run(
        "@login
        C: MAIL FROM:<a@example.net>
        S: 250 *
        C: RCPT TO:<no@example.org>
        S: 550 5.1.1 refused: nobody ???250 ok
        C: RCPT TO:<yes@example.org>
        S: 250 2.1.5 *
        C: RCPT TO:<x@denied.example>
        S: 550 5.7.1 *
        C: RCPT TO:<elsewhere@example.org>
        S: 452 4.5.3 *
        C: DATA
        S: 354 *
        C: From: a@example.net
        C: .
        S: 250 2.0.0 passed on, the next host said: queued as 4F
        C: NOOP
        S: 250 *",
    )
    .await;
    let seen = room.seen();
    assert_eq!(seen.kept[0].recipients, ["yes@example.org"]);
    assert!(!seen.asked_for.iter().any(|to| to.contains("denied")), "policy comes first: {:?}", seen.asked_for);
}

#[tokio::test]
async fn rule_c15_a_group_is_answered_in_its_order_whoever_answers() {
    let room = room(Spoken::new(250, [2, 0, 0], "passed on"));
    room.run(
        "@login
        C: MAIL FROM:<a@example.net>\\r\\nRCPT TO:<b@example.org>\\r\\nRCPT TO:<no@example.org>\\r\\nRCPT TO:<x@denied.example>\\r\\nRCPT TO:<>\\r\\nRCPT TO:<c@example.org>\\r\\nRCPT TO:<c@example.org>\\r\\nRCPT TO:<elsewhere@example.org>\\r\\nDATA
        S: 250 2.1.0 *
        S: 250 2.1.5 *
        S: 550 5.1.1 *
        S: 550 5.7.1 *
        S: 501 5.1.3 *
        S: 250 2.1.5 *
        S: 250 2.1.5 *
        S: 452 4.5.3 *
        S: 354 *
        C: From: a@example.net
        C: .
        S: 250 2.0.0 *",
    )
    .await;
    let seen = room.seen();
    assert_eq!(seen.kept[0].recipients, ["b@example.org", "c@example.org"]);
    assert_eq!(seen.asked_for.len(), 4, "{:?}", seen.asked_for);
}

#[tokio::test]
async fn a_refusal_at_the_dot_is_the_upstreams_and_the_session_goes_on() {
    for (spoken, expected) in [
        (
            Spoken::new(554, [5, 6, 0], "refused, the next host said: spam"),
            "554 5.6.0 refused, the next host said: spam",
        ),
        (Spoken::new(451, [4, 4, 2], "no answer"), "451 4.4.2 no answer"),
    ] {
        let room = room(spoken);
        room.run(&format!(
            "@mail\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: {expected}\nC: NOOP\nS: 250 *\n@again\nC: RSET\nS: 250 *"
        ))
        .await;
    }
}

#[tokio::test]
async fn nobody_gets_354_when_the_upstream_refused_all_and_what_the_vault_refuses_is_ours() {
    let room = room(Spoken::new(250, [2, 0, 0], "passed on"));
    room.run("@login\nC: MAIL FROM:<a@example.net>\nS: 250 *\nC: RCPT TO:<no@example.org>\nS: 550 *\nC: DATA\nS: 554 5.5.1 *\nC: RSET\nS: 250 *")
        .await;
    let ways = Ways {
        passed: Some(Spoken::new(250, [2, 0, 0], "passed on")),
        at_commit: Some(Refusal::QuotaExceeded(60)),
        ..Ways::default()
    };
    let room = Room::with(ways, |desk| desk.plain_login = true);
    room.run("@mail\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 452 4.7.1 *\nC: NOOP\nS: 250 *").await;
}

#[tokio::test]
async fn a_vault_that_falls_at_the_dot_and_does_not_come_back_leaves_a_doubt() {
    let ways =
        Ways { passed: Some(Spoken::new(250, [2, 0, 0], "passed on")), falls_at_commit: Some(true), ..Ways::default() };
    let mut room = Room::with(ways, |desk| desk.plain_login = true);
    let mut client = room.run("@mail\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .").await;
    room.house.fallen().await;
    client.run("S: 451 4.4.2 *").await;
}

#[tokio::test]
async fn its_successor_is_asked_whether_it_was_kept() {
    let ways =
        Ways { passed: Some(Spoken::new(250, [2, 0, 0], "passed on")), falls_at_commit: Some(true), ..Ways::default() };
    let mut room = Room::with(ways, |desk| desk.plain_login = true);
    let mut client = room.run("@mail\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .").await;
    room.house.fallen().await;
    room.house.replace(Ways::default());
    client.run("S: 250 2.0.0 kept as *\nC: NOOP\nS: 421 4.3.2 *\n--").await;
    assert_eq!(room.seen().asked.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_message_has_its_own_time_whatever_its_last_octets_waited_for() {
    let ways = Ways {
        passed: Some(Spoken::new(250, [2, 0, 0], "passed on")),
        slow_content: std::time::Duration::from_secs(50),
        ..Ways::default()
    };
    let room = Room::with(ways, |desk| desk.plain_login = true);
    let mut client = room.run("@mail\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .").await;
    // For credit, and for two questions behind it.
    tokio::time::sleep(std::time::Duration::from_secs(151)).await;
    client.run("S: 250 2.0.0 *").await;
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_there_and_says_nothing_to_the_end_has_no_successor_that_is_asked() {
    let still = Arc::default();
    let ways =
        Ways { passed: Some(Spoken::new(250, [2, 0, 0], "passed on")), still: Arc::clone(&still), ..Ways::default() };
    let room = Room::with(ways, |desk| desk.plain_login = true);
    let mut client = room.run("@mail\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: \nC: x").await;
    // All that has come is where it goes by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _stands = still.write().await;
    let begun = tokio::time::Instant::now();
    client.run("C: .").await;
    tokio::time::sleep(END_AT_EDGE - Duration::from_secs(1)).await;
    client.run("S: 451 4.4.2 *").await;
    assert_eq!(begun.elapsed().as_secs(), END_AT_EDGE.as_secs());
}
