//! Whoever takes all the memory it can, by what it announces or by what it sends, leaves some to the others.

use super::super::body::MAX_BODY;
use super::house::{House, Ways, post};
use super::{GOOD, body};
use crate::policy::Grant;
use crate::policy::form::Form;
use crate::policy::scope::{Scope, Scopes};

/// A client of another key than the others of this house.
fn stranger(grants: fn(&mut Grant)) -> House {
    House::new(Ways { grants: Some(grants), ..Ways::default() })
}

/// A head that announces a body.
fn head(octets: usize) -> String {
    let whole = post("");
    whole.replace("Content-Length: 0", &format!("Content-Length: {octets}"))
}

/// Both tests fill what all bodies of this process have.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn rule_w11_what_is_announced_takes_no_room_of_others() {
    let _alone = ALONE.lock().await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut greedy = stranger(|grant| grant.principal = "greedy".into());
        greedy.client.say(&(head(MAX_BODY) + "{")).await;
        greedy.until(|seen| seen.logins == 1).await;
        waiting.push(greedy);
    }
    let mut honest = House::new(Ways::default());
    assert_eq!(honest.client.send(GOOD).await.status, 202);
}

#[tokio::test]
async fn rule_w11_what_one_key_sends_takes_no_more_than_its_share() {
    let _alone = ALONE.lock().await;
    let part = format!("{{\"text\":\"{}", "x".repeat(9 * 1024 * 1024));
    let (mut waiting, mut is_refused) = (Vec::new(), false);
    // No longer than it takes: other tests have the same room.
    while !is_refused {
        assert!(waiting.len() < 6, "nothing was refused");
        let mut greedy = stranger(|grant| grant.principal = "greedy".into());
        greedy.client.say(&(head(MAX_BODY) + &part)).await;
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
    let mut visitor = stranger(|grant| grant.form = Some(Form::default()));
    let said = visitor.client.ask(&head(3 * 1024 * 1024)).await;
    assert_eq!((said.status, said.code()), (413, "payload_too_large"), "{said:?}");
}

#[tokio::test]
async fn who_may_not_send_at_all_is_told_before_the_body() {
    let mut viewer = stranger(|grant| grant.scopes = Scopes([Scope::Smtp].into()));
    let said = viewer.client.ask(&head(1000)).await;
    assert_eq!((said.status, said.code()), (403, "insufficient_scope"), "{said:?}");
}
