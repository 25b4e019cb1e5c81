//! Sessions that carry no more, while senders wait.

use super::*;

#[test]
fn rule_u11_who_waits_is_not_told_that_a_session_carries_no_more() {
    for reply in ["451 4.7.1 too many messages in this session", "554 5.5.0 too many messages in this session"] {
        let fault = Fault { after: 1, ..Fault::say(Phase::Mail, reply) };
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
}
