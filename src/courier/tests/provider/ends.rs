//! Connections that end before an answer: what may have been delivered and what can't have been.

use super::*;

#[test]
fn rule_u16_what_was_not_sent_whole_was_not_delivered_and_what_was_not_answered_is_unknown() {
    let garbled = Act::Answer("220 smtp.example ESMTP\r\n".into());
    for (act, expected) in [(Act::Leave(usize::MAX), "unknown"), (garbled, "unknown")] {
        let ending = ending(Api::Webhook, act);
        assert_eq!(ending.word(), expected, "{ending:?}");
        assert!(ending.outcome().said().text.starts_with(crate::mail::outcome::UNANSWERED), "{ending:?}");
    }
    // More than the sockets hold, so that its end can't have gone out.
    let (port, _told) = server(vec![Act::Leave(1000)], None);
    let mut large = bench(Api::Webhook, port);
    assert_eq!(large.vault.deliver(&["a@b.test"], &vec![b'x'; 4 << 20]).word(), "broken off");
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert!(matches!(bench(Api::Webhook, nobody).deliver(&["a@b.test"]), Ending::RouteFailed(_)));
}

#[test]
fn rule_u16_a_reset_behind_a_whole_request_is_unknown_and_one_before_its_end_puts_off() {
    let outcome = ending(Api::Webhook, Act::Reset(usize::MAX));
    assert_eq!(outcome.word(), "unknown", "{outcome:?}");
    let said = &outcome.outcome().said().text;
    assert!(said.starts_with(crate::mail::outcome::UNANSWERED) && said.contains("reset by peer"), "{said}");
    // Within a body that is more than the sockets hold.
    let (port, _told) = server(vec![Act::Reset(1000)], None);
    let within = bench(Api::Webhook, port).vault.deliver(&["a@b.test"], &vec![b'x'; 4 << 20]);
    assert_eq!(within.word(), "broken off", "{within:?}");
    // Before the first octet of the request, which waits for the handshake.
    let (bundle, config) = protected::certified(&["api.test"]);
    let (port, told) = server(vec![Act::ResetAtOnce], Some(config));
    let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
    let settings = Provided::new(slice(Api::Webhook, port, true), connector, secret(&Api::Webhook)).unwrap();
    let mut bench = Bench::with(Business::Provider(Box::new(settings)));
    bench.attach_dialer(&vec![("api.test".to_owned(), port)], Ipv4Addr::LOCALHOST);
    let before = bench.deliver(&["a@b.test"]);
    assert!(matches!(before, Ending::RouteFailed(_)) && before.reason().contains("reset by peer"), "{before:?}");
    assert!(told.try_recv().is_err());
}
