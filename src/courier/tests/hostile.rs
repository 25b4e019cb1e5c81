//! An upstream that lies, floods or garbles, and content that must not go out.

use super::*;
use crate::sink::{Act, Fault, Phase};

#[test]
fn rule_u1_vector_v24_a_flood_of_reply_is_a_route_failure_and_the_courier_lives_on() {
    let floods = [
        "250-x\r\n".repeat(10_000).into_bytes(),
        vec![b'2'; 1024 * 1024],
        b"2500 Ok\r\n".to_vec(),
        b"250-a\r\n550 b\r\n".to_vec(),
        b"250 ok\n".to_vec(),
        b"\xff\xff\r\n".to_vec(),
        [&b"250-"[..], &[b'x'; 5000], b"\r\n250 x\r\n"].concat(),
    ];
    for phase in [Phase::Greeting, Phase::Ehlo, Phase::Mail, Phase::Rcpt, Phase::Data] {
        for flood in &floods {
            let fault = Fault { connection: Some(0), ..Fault::at(phase, Act::Say(flood.clone())) };
            let (mut bench, sink) = bench(Options { faults: vec![fault], ..Options::default() });
            let ending = bench.deliver(&["a@b.test"]);
            assert!(ending.reason().contains("malformed"), "{phase:?} {ending:?}");
            // The next message, on a fresh connection, goes through.
            assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
            assert!(sink.next(PATIENCE).is_some());
        }
    }
}

#[test]
fn rule_u1_vector_v24_a_flood_after_the_dot_leaves_the_outcome_unknown() {
    let flood = "250-x\r\n".repeat(10_000).into_bytes();
    let (mut bench, _sink) =
        bench(Options { faults: vec![Fault::at(Phase::Dot, Act::Say(flood))], ..Options::default() });
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "unknown");
}

#[test]
fn rule_u2_an_upstreams_text_is_one_clean_line_of_bounded_length() {
    let reply = format!("550-5.1.1 a\x1b[2J\rb\r\n550 5.1.1 {}\r\n", "é".repeat(1500));
    let faults = vec![Fault::at(Phase::Rcpt, Act::Say(reply.into_bytes()))];
    let (mut bench, _sink) = bench(Options { faults, ..Options::default() });
    let ending = bench.deliver(&["a@b.test"]);
    let said = ending.outcome().said();
    assert_eq!((said.code, said.enhanced.as_deref()), (Some(550), Some("5.1.1")));
    assert!(said.text.starts_with("a [2J b é"), "{}", said.text);
    assert!(said.text.len() <= 512 && !said.text.chars().any(char::is_control));
}

#[test]
fn rule_u2_the_reason_of_a_route_failure_is_clean_and_bounded_too() {
    let reply = format!("554 a\tb\x07{}\r\n", "x".repeat(3000));
    let faults = vec![Fault::at(Phase::Greeting, Act::Say(reply.into_bytes()))];
    let (mut bench, _sink) = bench(Options { faults, ..Options::default() });
    let ending = bench.deliver(&["a@b.test"]);
    assert!(ending.reason().len() <= 512 && !ending.reason().chars().any(char::is_control));
}

#[test]
fn replies_said_out_of_turn_end_the_session() {
    let ahead = b"250-sink\r\n250 PIPELINING\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 2.0.0 kept\r\n".to_vec();
    let (mut bench, sink) =
        bench(Options { faults: vec![Fault::at(Phase::Ehlo, Act::Say(ahead))], ..Options::default() });
    let ending = bench.deliver(&["a@b.test"]);
    assert!(ending.reason().contains("out of its turn"), "{ending:?}");
    assert!(!sink.tally().commands.iter().any(|command| command.starts_with("MAIL")));
}

#[test]
fn rule_u7_content_with_a_bare_cr_or_lf_fails_and_is_never_ended() {
    for stray in ["a\nb\r\n", "a\rb\r\n", "a\r\n.\nMAIL FROM:<x@y>\r\n", "a\r"] {
        let (mut bench, sink) = bench(Options::default());
        let content = ["Subject: test\r\n\r\n", stray].concat();
        let ending = bench.vault.deliver(&["a@b.test"], content.as_bytes());
        assert_eq!(ending.word(), "unsendable", "{stray:?}");
        assert_eq!(ending.outcome().said().enhanced.as_deref(), Some("5.5.2"));
        eventually("the sink sees the end of the connection", || sink.tally().broken_off == 1);
        nothing_arrives(&sink);
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    }
}

#[test]
fn rule_u7_vector_v27_lines_that_begin_with_a_dot_arrive_as_they_were() {
    let (mut bench, sink) = bench(Options::default());
    let content = b".first\r\n\r\n.\r\n..\r\nend.\r\n.\r\n".to_vec();
    assert_eq!(bench.vault.deliver(&["a@b.test"], &content).word(), "delivered 250");
    assert_eq!(sink.next(PATIENCE).unwrap().content, content);
    let mail = format!("MAIL FROM:<sender@gate.test> SIZE={} BODY=8BITMIME", content.len());
    assert_eq!(sink.tally().commands, ["EHLO gate.test", &mail, "RCPT TO:<a@b.test>", "DATA"]);
}

#[test]
fn rule_u8_a_354_for_nobody_gets_a_single_dot_and_the_recipients_their_refusals() {
    let refuse = vec![("@".to_owned(), "550 5.1.1 nobody".to_owned())];
    let faults = vec![Fault::say(Phase::Data, "354 go")];
    let (mut bench, sink) = bench(Options { refuse, faults, ..Options::default() });
    assert_eq!(bench.deliver(&["a@b.test", "c@d.test"]).word(), "failed 550");
    eventually("the dot arrives", || sink.tally().commands.last().is_some_and(|last| last == "."));
}

#[test]
fn rule_u8_a_thousand_recipients_go_in_groups_and_all_arrive() {
    for pipelining in ["PIPELINING", "X-NONE"] {
        let (mut bench, sink) = bench(Options { keywords: vec![pipelining.into()], ..Options::default() });
        let recipients: Vec<String> = (0..1000).map(|n| format!("recipient-{n}@a-rather-long-domain.test")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        assert_eq!(bench.deliver(&recipients).word(), "delivered 250");
        assert_eq!(sink.next(PATIENCE).unwrap().recipients, recipients);
    }
}

#[test]
fn rule_u12_parameters_are_sent_only_where_they_are_offered() {
    let (mut bench, sink) = bench(Options { keywords: vec!["ENHANCEDSTATUSCODES".into()], ..Options::default() });
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert_eq!(sink.tally().commands[1], "MAIL FROM:<sender@gate.test>");
    // 8-bit content then has no way out.
    let ending = bench.vault.deliver(&["a@b.test"], "Subject: t\r\n\r\ngrün\r\n".as_bytes());
    assert_eq!(ending.outcome().said().enhanced.as_deref(), Some("5.6.3"));
}

#[test]
fn rule_u6_rule_p14_a_quoted_local_part_goes_out_quoted_and_as_one_argument() {
    let (mut bench, sink) = bench(Options::default());
    assert_eq!(bench.deliver(&[r#""a> SIZE=1"@b.test"#, r#""plain"@b.test"#]).word(), "delivered 250");
    assert_eq!(sink.next(PATIENCE).unwrap().recipients, [r#""a> SIZE=1"@b.test"#, "plain@b.test"]);
}

#[test]
fn rule_u15_a_251_is_a_promise_of_that_server_and_nothing_is_redirected() {
    let refuse = vec![("moved@".to_owned(), "251 will forward to <new@evil.example>".to_owned())];
    let (mut bench, sink) = bench(Options { refuse, ..Options::default() });
    assert_eq!(bench.deliver(&["moved@b.test"]).word(), "delivered 250");
    assert_eq!(sink.tally().commands.iter().filter(|command| command.starts_with("RCPT")).count(), 1);
}

#[test]
fn a_message_of_several_megabytes_streams_within_the_window() {
    let (mut bench, sink) = bench(Options::default());
    let content: Vec<u8> = (0..600_000).flat_map(|n| format!(".{n:07}\r\n").into_bytes()).collect();
    assert_eq!(bench.vault.deliver(&["a@b.test"], &content).word(), "delivered 250");
    assert!(sink.next(PATIENCE).unwrap().content == content);
    assert!(bench.vault.widest <= parcel::WINDOW as usize);
}
