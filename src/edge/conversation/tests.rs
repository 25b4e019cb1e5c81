//! What a session may rely on, whatever becomes of the vault.

use std::time::Duration;

use super::*;
use crate::edge::stand_in::{StandIn, Ways};
use crate::ipc::session::Slot;
use crate::ipc::trace::{PACE, Told};
use crate::mail::address::Address;
use crate::mail::dsn::Wish;
use crate::mail::envelope::Manner;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

async fn login(visit: &mut Visit, password: &str) -> Result<Result<Box<Grant>, Denial>, Lost> {
    visit.login(Mechanism::Plain, "billing".into(), Secret::new(password.into()), None).await
}

/// As far as the dot.
async fn begin(visit: &mut Visit, octets: usize) -> MessageId {
    login(visit, "s3cret").await.unwrap().unwrap();
    let sender = Some(address("a@example.net"));
    let message = visit.mail(sender, None, Manner::default(), "client".into(), None).await.unwrap().unwrap();
    visit.recipients(&[address("b@example.org").into()]).await.unwrap();
    visit.content().await.unwrap();
    visit.chunk(&vec![b'x'; octets]).await.unwrap();
    message
}

#[tokio::test]
async fn a_message_of_any_size_passes_through_a_small_credit() {
    let house = StandIn::new(Ways { credit: 1000, ..Ways::default() });
    let mut visit = house.visit();
    let message = begin(&mut visit, 200_000).await;
    assert_eq!(visit.commit(Facts::default()).await, Ok(Ok(message)));
    let seen = house.seen();
    assert_eq!((seen.kept[0].content.len(), seen.opened), (200_000, 1));
    assert_eq!(seen.kept[0].recipients, ["b@example.org"]);
}

#[tokio::test]
async fn recipients_that_fill_many_frames_all_arrive() {
    let house = StandIn::new(Ways::default());
    let mut visit = house.visit();
    begin(&mut visit, 1).await;
    let long = "d".repeat(60);
    let all: Vec<_> = (0..1000)
        .map(|n| {
            let orcpt = format!("rfc822;{}", "x".repeat(493)).try_into().ok();
            let address = address(&format!("{n}@{long}.{long}.{long}.{long}.net"));
            Addressee { address, wish: Wish { orcpt, ..Wish::default() } }
        })
        .collect();
    visit.recipients(&all).await.unwrap();
    visit.commit(Facts::default()).await.unwrap().unwrap();
    assert_eq!(house.seen().kept[0].recipients.len(), 1001);
}

#[tokio::test]
async fn what_was_given_up_does_not_count_for_the_next_message() {
    let house = StandIn::new(Ways { credit: 5000, ..Ways::default() });
    let mut visit = house.visit();
    for _ in 0..20 {
        begin(&mut visit, 12_000).await;
        visit.abort().await;
    }
    let message = begin(&mut visit, 12_000).await;
    assert_eq!(visit.commit(Facts::default()).await, Ok(Ok(message)));
    assert_eq!(house.seen().aborted, 20);
}

#[tokio::test]
async fn an_unopened_session_survives_the_vaults_replacement_and_an_open_one_is_lost() {
    let mut house = StandIn::new(Ways::default());
    let (mut fresh, mut known) = (house.visit(), house.visit());
    login(&mut known, "s3cret").await.unwrap().unwrap();
    house.fall().await;
    assert!(known.is_lost() && !fresh.is_lost());
    assert_eq!(house.visit().open().await, Err(Lost));
    house.replace(Ways::default());
    assert!(login(&mut fresh, "s3cret").await.unwrap().is_ok());
    assert_eq!(login(&mut known, "s3cret").await, Err(Lost));
}

#[tokio::test]
async fn a_session_past_the_dot_learns_from_the_successor_what_became_of_its_message() {
    for committed in [true, false] {
        let mut house = StandIn::new(Ways { falls_at_commit: Some(committed), ..Ways::default() });
        let mut visit = house.visit();
        let message = begin(&mut visit, 10).await;
        let commit = tokio::spawn(async move { visit.commit(Facts::default()).await });
        house.fallen().await;
        assert!(!commit.is_finished());
        house.replace(Ways { committed: [(message, committed)].into(), ..Ways::default() });
        let expected = if committed { Ok(Ok(message)) } else { Err(Lost) };
        assert_eq!(commit.await.unwrap(), expected);
        assert_eq!(house.seen().asked, [message]);
    }
}

#[tokio::test]
async fn a_session_past_the_dot_gives_up_when_no_successor_comes() {
    let mut house = StandIn::new(Ways { falls_at_commit: Some(false), ..Ways::default() });
    let mut visit = house.visit();
    begin(&mut visit, 10).await;
    let begun = Instant::now();
    let commit = tokio::spawn(async move { visit.commit(Facts::default()).await });
    house.fallen().await;
    // From here on the clock goes ahead by itself to the moment that the session waits for.
    tokio::time::pause();
    assert_eq!(commit.await.unwrap(), Err(Lost));
    assert!(begun.elapsed() >= SUCCESSOR);
}

#[tokio::test]
async fn rule_a13_goodbye_frees_the_slot_and_a_late_grant_falls_to_nobody() {
    let house = StandIn::new(Ways::default());
    let mut visit = house.visit();
    login(&mut visit, "s3cret").await.unwrap().unwrap();
    let slot = visit.seat().await.unwrap().slot();
    drop(visit);
    house.until(|seen| seen.closed == 1).await;
    // A grant for the last holder that crossed its goodbye, just before the next session's `Opened`.
    let grant = Box::new(Ways::default().login.2);
    house.say(Answer::Granted { slot, grant }).await;
    let mut next = house.visit();
    assert_eq!(next.open().await, Ok(None));
    assert_eq!(next.seat().await.unwrap().slot(), slot);
    assert_eq!(login(&mut next, "wrong").await, Ok(Err(Denial::Invalid)));
    house.seen();
}

#[tokio::test]
async fn what_a_vault_says_that_stood_still_falls_to_nobody_who_came_meanwhile() {
    let ways = Ways::default();
    let still = ways.still.clone();
    let house = StandIn::new(ways);
    let stands = still.write().await;
    let mut visit = house.visit();
    tokio::select! {
        biased;
        _ = login(&mut visit, "s3cret") => panic!("the vault stands still"),
        () = tokio::task::yield_now() => (),
    }
    // Its client has gone, and another one comes, before the vault has even heard of the first.
    drop(visit);
    let mut next = house.visit();
    let (denied, ()) = tokio::join!(login(&mut next, "wrong"), async { drop(stands) });
    assert_eq!(denied, Ok(Err(Denial::Invalid)));
    assert!(!next.is_lost());
    let mut third = house.visit();
    assert_eq!(third.open().await, Ok(None));
    assert_eq!(third.seat().await.unwrap().slot(), Slot(0), "the first one's is free again");
    house.seen();
}

#[tokio::test]
async fn revocation_is_seen_and_a_new_login_ends_it() {
    let house = StandIn::new(Ways::default());
    let mut visit = house.visit();
    login(&mut visit, "s3cret").await.unwrap().unwrap();
    let slot = visit.seat().await.unwrap().slot();
    house.say(Answer::Revoked { slot }).await;
    while !visit.revoked() {
        tokio::task::yield_now().await;
    }
    login(&mut visit, "s3cret").await.unwrap().unwrap();
    assert!(!visit.revoked());
}

#[tokio::test]
async fn a_session_that_the_vault_ended_is_lost() {
    let house = StandIn::new(Ways::default());
    let mut visit = house.visit();
    assert_eq!(visit.open().await, Ok(None));
    let slot = visit.seat().await.unwrap().slot();
    house.say(Answer::Ended { slot }).await;
    while !visit.is_lost() {
        tokio::task::yield_now().await;
    }
    assert_eq!(login(&mut visit, "s3cret").await, Err(Lost));
}

#[tokio::test]
async fn what_is_told_has_bounds_and_never_takes_the_room_of_questions() {
    let pace = usize::try_from(PACE).unwrap();
    let house = StandIn::new(Ways { traced: true, ..Ways::default() });
    let mut visits: Vec<Visit> = (0..6).map(|_| house.visit()).collect();
    for visit in &mut visits {
        assert_eq!(visit.introduce(Via::Direct).await, Ok(Welcome::Opened));
    }
    let line = || Told::Client("x".repeat(5000));
    for visit in &visits {
        assert!(visit.scribe().is_on());
        // Nobody reads meanwhile.
        (0..2 * pace).for_each(|_| visit.scribe().tell(line));
    }
    // A session that asks something is heard all the same.
    login(&mut visits[0], "s3cret").await.unwrap().unwrap();
    let seen = house.until(|seen| seen.told.len() >= 8 * 1024).await;
    assert_eq!(seen.told.len(), 8 * 1024);
    assert_eq!(&seen.told[0], &line().cut());
    tokio::time::sleep(Duration::from_secs(1)).await;
    visits[5].scribe().tell(line);
    let seen = house.until(|seen| seen.told.len() > 8 * 1024 + 1).await;
    assert_eq!(seen.told[8 * 1024], Told::LeftOut(2 * PACE));
    let scribe = visits[0].scribe().clone();
    drop(visits.remove(0));
    // Its place may be another's by now. Whatever was said before an answer has been heard with it.
    scribe.tell(line);
    login(&mut visits[0], "s3cret").await.unwrap().unwrap();
    assert_eq!(house.until(|seen| seen.closed == 1).await.told.len(), 8 * 1024 + 2);
}
