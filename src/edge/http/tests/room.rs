//! Whoever takes all the memory it can, by what it announces or by what it sends, leaves some to the others.

use super::super::body::{MAX_BODY, held};
use super::house::{House, KEY, Ways, post, post_with};
use super::{GOOD, body};
use crate::policy::Grant;
use crate::policy::form::Form;
use crate::policy::scope::{Scope, Scopes};

/// A client of another key than the others of this house.
fn stranger(grants: fn(&mut Grant)) -> House {
    House::new(Ways { grants: Some(grants), ..Ways::default() })
}

/// What a form's key has beside the rest.
fn form() -> Option<Form> {
    Some(Form { origins: vec!["https://www.example.net".into()] })
}

/// From its page.
fn of_its_page(request: &str) -> String {
    request.replacen("Host: gate", "Host: gate\r\nOrigin: https://www.example.net", 1)
}

/// A head that announces a body.
fn head(octets: usize) -> String {
    let whole = post("");
    whole.replace("Content-Length: 0", &format!("Content-Length: {octets}"))
}

/// What a message of this house's gate, of 1 MiB, can need.
const LONGEST: usize = 9 * 1024 * 1024;

/// These tests fill what all bodies of this process have.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn rule_w11_what_is_announced_takes_no_room_of_others() {
    let _alone = ALONE.lock().await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut greedy = stranger(|grant| grant.principal = "greedy".into());
        greedy.client.say(&(head(LONGEST) + "{")).await;
        greedy.until(|seen| seen.logins == 1).await;
        waiting.push(greedy);
    }
    let mut honest = House::new(Ways::default());
    assert_eq!(honest.client.send(GOOD).await.status, 202);
}

#[tokio::test]
async fn rule_w11_what_one_key_sends_takes_no_more_than_its_share() {
    let _alone = ALONE.lock().await;
    let part = format!("{{\"text\":\"{}", "x".repeat(8 * 1024 * 1024));
    let (mut waiting, mut is_refused) = (Vec::new(), false);
    // No longer than it takes: other tests have the same room.
    while !is_refused {
        assert!(waiting.len() < 6, "nothing was refused");
        let mut greedy = stranger(|grant| grant.principal = "greedy".into());
        greedy.client.say(&(head(LONGEST) + &part)).await;
        let said = tokio::time::timeout(std::time::Duration::from_millis(300), greedy.client.hear()).await;
        if let Ok(said) = said {
            assert_eq!((said.status, said.code(), said.field("retry-after")), (503, "queue_full", Some("2")));
            is_refused = true;
        }
        waiting.push(greedy);
    }
    let mut honest = House::new(Ways::default());
    let large = body(&format!(r#""attachments":[{{"filename":"a","content":"{}"}}]"#, "AAAA".repeat(160 * 1024)));
    assert_eq!(honest.client.send(&large).await.status, 202);
    drop(waiting);
}

#[tokio::test]
async fn a_key_that_stands_in_a_page_has_no_long_bodies() {
    let mut visitor = stranger(|grant| grant.form = form());
    let said = visitor.client.ask(&of_its_page(&head(3 * 1024 * 1024))).await;
    assert_eq!((said.status, said.code()), (413, "payload_too_large"), "{said:?}");
}

#[tokio::test]
async fn who_may_not_send_at_all_is_told_before_the_body() {
    let mut viewer = stranger(|grant| grant.scopes = Scopes([Scope::Smtp].into()));
    let said = viewer.client.ask(&head(1000)).await;
    assert_eq!((said.status, said.code()), (403, "insufficient_scope"), "{said:?}");
}

/// Whoever reads a page has its key: a form's, or one that demands Turnstile.
#[tokio::test]
async fn keys_that_stand_in_pages_take_nothing_of_what_others_have_and_of_each_other_not_all() {
    let _alone = ALONE.lock().await;
    let grants: [fn(&mut Grant); 2] = [
        |grant| (grant.principal, grant.turnstile) = ("page".into(), true),
        |grant| (grant.principal, grant.form) = ("form".into(), form()),
    ];
    let part = format!("{{\"text\":\"{}", "x".repeat(2 * 1024 * 1024 - 100));
    let mut waiting = Vec::new();
    for number in 0..24 {
        let mut greedy = stranger(grants[number % 2]);
        greedy.client.say(&(of_its_page(&head(2 * 1024 * 1024)) + &part)).await;
        waiting.push(greedy);
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let all = held("page 192.0.2.7/32") + held("form 192.0.2.7/32");
    assert!((2 << 20..=9 << 20).contains(&all), "{all}");
    // Four bodies of a key that is no page's still have their room, and so has a visitor's of another network.
    let own: [fn(&mut Grant); 2] = [|grant| grant.principal = "a".into(), |grant| grant.principal = "b".into()];
    let mut honest: Vec<House> = (0..4).map(|n| stranger(own[n % 2])).collect();
    let part = format!("{{\"text\":\"{}", "x".repeat(8 * 1024 * 1024));
    for house in &mut honest {
        house.client.say(&(head(LONGEST) + &part)).await;
        let said = tokio::time::timeout(std::time::Duration::from_millis(300), house.client.hear()).await;
        assert!(said.is_err(), "{said:?}");
    }
    let behind = |desk: &mut crate::config::slice::Desk| {
        desk.reach.forwarded_by = Some(crate::config::slice::ForwardedBy::XForwardedFor);
        desk.dialect.xclient_from = vec!["192.0.2.0/24".parse().unwrap()];
        desk.serve = vec![crate::config::slice::Serve::Send];
    };
    let ways = Ways { grants: Some(grants[0]), ..Ways::default() };
    let mut visitor = House::with_desk(ways, behind);
    let body = format!(
        r#"{{"from":"a@example.net","to":"b@example.org","subject":"s","text":"{}","cf-turnstile-response":"x"}}"#,
        "x".repeat(50_000)
    );
    let fields =
        format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nX-Forwarded-For: 203.0.113.5\r\n");
    let request = post_with(&fields, &body).replacen("/v1/send", "/send", 1);
    let said = visitor.client.ask(&request).await;
    assert_eq!(said.status, 200, "{said:?}");
}

#[tokio::test]
async fn a_body_is_as_long_as_a_message_of_its_key_can_need_and_a_batch_as_long_as_any() {
    let small: fn(&mut Grant) = |grant| grant.max_size = Some(20_000);
    let page: fn(&mut Grant) = |grant| (grant.max_size, grant.turnstile) = (Some(20_000), true);
    let (own, public) = (8 * 20_000 + (1 << 20), 8 * 20_000 + 16 * 1024);
    for (grants, path, most) in [
        (small, "/v1/send", own),
        (small, "/v1/send-bulk", MAX_BODY),
        (page, "/v1/send", public),
        (page, "/v1/send-bulk", 2 << 20),
    ] {
        let mut long = stranger(grants);
        let request = head(most + 1).replacen("/v1/send", path, 1);
        let said = long.client.ask(&request).await;
        assert_eq!((said.status, said.code()), (413, "payload_too_large"), "{path} {most}: {said:?}");
        let mut fits = stranger(grants);
        fits.client.say(&head(most).replacen("/v1/send", path, 1)).await;
        let said = tokio::time::timeout(std::time::Duration::from_millis(200), fits.client.hear()).await;
        assert!(said.is_err(), "{path} {most}: {said:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_kept_and_waited_for_takes_no_memory() {
    let waits = |name: &'static str| match name {
        "waits v1" => stranger(|grant| grant.principal = "waits v1".into()),
        _ => House::with_desk(
            Ways { grants: Some(|grant| grant.principal = "waits send".into()), ..Ways::default() },
            |desk| desk.serve = vec![crate::config::slice::Serve::Send],
        ),
    };
    let text = "x".repeat(200_000);
    let fields = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\nPrefer: wait=20\r\n");
    for (name, path) in [("waits v1", "/v1/send"), ("waits send", "/send")] {
        let mut house = waits(name);
        let body = format!(r#"{{"from":"a@example.net","to":"b@example.org","subject":"s","text":"{text}"}}"#);
        house.client.say(&post_with(&fields, &body).replacen("/v1/send", path, 1)).await;
        house.until(|seen| seen.waiting.is_some()).await;
        assert_eq!((house.seen().kept.len(), held(name)), (1, 0), "{path}");
    }
}
