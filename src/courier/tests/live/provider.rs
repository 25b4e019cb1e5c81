//! To a provider, which has no answer before the whole message.

use super::*;
use crate::config::slice::Api;
use crate::courier::tests::provider::{Act, bench, server, status};

/// Up to the content, with a second recipient that has to wait for a message of its own.
fn accepted(vault: &mut Vault) -> Sender<'_> {
    let mut sender = Sender::begin(vault, Manner::default(), None);
    sender.name(&["a@b.test"]);
    assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
    sender.name(&["c@b.test"]);
    assert_eq!(sender.answers(1), [outcome(2, "deferred 452")]);
    sender.content(LETTER);
    sender
}

#[test]
fn a_provider_has_one_recipient_at_a_time_and_its_answer_is_that_to_the_end() {
    for (act, expected) in [
        (status("200 OK", ""), "delivered"),
        (status("400 Bad Request", ""), "failed"),
        (Act::Leave(usize::MAX), "unknown"),
        // Queued mail would wait for it longer than a sender does.
        (Act::Hang, "unknown"),
    ] {
        let (port, told) = server(vec![act], None);
        let mut bench = bench(Api::Webhook, port);
        let mut sender = accepted(&mut bench.vault);
        thread::sleep(Duration::from_millis(100));
        assert!(told.try_recv().is_err(), "nothing is whole before it may end");
        sender.end();
        assert_eq!(sender.rest(), [outcome(1, expected), ended("settled")]);
        let (_, body) = told.recv_timeout(PATIENCE).unwrap();
        assert!(!body.is_empty());
    }
}

#[test]
fn a_sender_that_gives_up_has_asked_a_provider_nothing() {
    let (port, told) = server(vec![status("200 OK", "")], None);
    let mut bench = bench(Api::Webhook, port);
    let mut sender = accepted(&mut bench.vault);
    sender.withdraw();
    assert_eq!(sender.rest(), [ended("given up")]);
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
}
