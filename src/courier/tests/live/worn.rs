//! Sessions that carry no more, while senders wait.

use super::*;

/// Two senders on sessions that carry one message or recipient each, by what this reply in that phase says: neither hears of it.
fn assert_unheard(phase: Phase, reply: &str) {
    let fault = Fault { after: 1, ..Fault::say(phase, reply) };
    let (mut bench, sink) = bench(Options { faults: vec![fault], ..Options::default() });
    for _ in 0..2 {
        let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
        sender.name(&["a@b.test"]);
        assert_eq!(sender.answers(1), [Heard::Accepted(1)], "{reply}");
        sender.withdraw();
        assert_eq!(sender.rest(), [ended("given up")]);
    }
    assert_eq!(sink.tally().connections, 2, "{reply}");
}

#[test]
fn rule_u11_who_waits_is_not_told_that_a_session_carries_no_more() {
    for reply in ["451 4.7.1 too many messages in this session", "554 5.5.0 too many messages in this session"] {
        assert_unheard(Phase::Mail, reply);
    }
}

#[test]
fn rule_u11_a_recipient_who_waits_is_not_refused_for_good_by_what_a_worn_session_says() {
    let words = ["554 5.5.0 too many recipients in this session", "554 5.4.0 no more here", "552 too many recipients"];
    for reply in words {
        assert_unheard(Phase::Rcpt, reply);
    }
}

#[test]
fn rule_u11_behind_one_who_was_accepted_a_worn_session_puts_off_and_a_fresh_one_is_believed() {
    let fault = |after| Fault { after, ..Fault::say(Phase::Rcpt, "554 5.5.0 too many recipients in this session") };
    for (after, word) in [(2, "deferred 554"), (1, "failed 554")] {
        let (mut bench, _sink) = bench(Options { faults: vec![fault(after)], ..Options::default() });
        for round in 1..=after {
            let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
            sender.name(&["a@b.test"]);
            assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
            if round == after {
                sender.name(&["c@d.test"]);
                assert_eq!(sender.answers(1), [outcome(2, word)]);
            }
            sender.withdraw();
            assert_eq!(sender.rest(), [ended("given up")]);
        }
    }
    // What is about the recipient himself is final anywhere.
    let unknown = Fault { after: 1, ..Fault::say(Phase::Rcpt, "550 5.1.1 unknown") };
    let (mut bench, sink) = bench(Options { faults: vec![unknown], ..Options::default() });
    for expected in [Heard::Accepted(1), outcome(1, "failed 550")] {
        let mut sender = Sender::begin(&mut bench.vault, Manner::default(), None);
        sender.name(&["a@b.test"]);
        assert_eq!(sender.answers(1), [expected]);
        sender.withdraw();
        sender.rest();
    }
    assert_eq!(sink.tally().connections, 1);
}
