//! When the vault hears that somebody may have a message: no sooner than that is so, and who has an outcome is told of before.

use super::provider::{Act as Answer, cloudflare, status};
use super::*;
use crate::config::slice::Api;
use crate::sink::Fault;
use crate::sink::Phase::Dot;

/// A courier without a dialer, its first job's content at hand, and the dial that it waits for.
fn dialing(bench: &mut Bench) -> (Job, DialerEnd, u32) {
    let dialer = bench.dialer_end();
    let job = bench.vault.offer(&["a@b.test", "c@d.test"], 3);
    while !matches!(bench.vault.hear().unwrap(), Progress::Want { .. }) {}
    bench.vault.say(&Offer::Content { job, octets: Octets(b"x\r\n".to_vec()) });
    let Arrival::Packet(Packet { message: Dial { ticket, .. }, .. }) = dialer.receive().unwrap() else { panic!() };
    (job, dialer, ticket)
}

#[test]
fn rule_q7_nobody_may_have_a_message_before_there_is_a_connection() {
    let smtp = || Business::Smtp(Box::new(settings_for(&one(1))));
    for business in [
        provider::business(provider::slice(Api::Webhook, 1, false)),
        provider::business(provider::slice(cloudflare(), 1, false)),
        smtp(),
    ] {
        let mut bench = Bench::with(business);
        let (_, dialer, ticket) = dialing(&mut bench);
        dialer.send(&Dialed::Failed { ticket, reasons: vec!["refused".into()] }, None).unwrap();
        // The next word, and so the only one.
        let heard = bench.vault.hear();
        assert!(matches!(heard, Some(Progress::RouteFailed { .. })), "{heard:?}");
    }
}

#[test]
fn rule_q7_a_provider_gets_no_whole_request_before_the_vault_knows_of_it() {
    for grants in [true, false] {
        let (port, told) = provider::server(vec![status("200 OK", "")], None);
        let mut bench = Bench::with(provider::business(provider::slice(Api::Webhook, port, false)));
        let (job, dialer, ticket) = dialing(&mut bench);
        let (host, socket) = ("api.test".to_owned(), TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
        let address = socket.peer_addr().unwrap();
        dialer.send(&Dialed::Connected { ticket, index: 0, host, address }, Some(socket.as_fd())).unwrap();
        drop(socket);
        let Some(Progress::Ending { turn, numbers, .. }) = bench.vault.hear() else { panic!("it asks for nothing") };
        assert_eq!(numbers, [10, 11]);
        match grants {
            true => bench.vault.say(&Offer::End { job, turn }),
            false => bench.vault.say(&Offer::Withdraw { job }),
        }
        let ended = bench.vault.follow(job, b"");
        assert_eq!(told.recv_timeout(PATIENCE).is_ok(), grants, "{ended:?}");
        assert_eq!(ended.word(), if grants { "delivered" } else { "given up" });
    }
}

#[test]
fn rule_q7_what_became_of_a_part_is_told_before_the_next_one_may_end() {
    let names: Vec<String> = (0..120).map(|n| format!("r{n}@b.test")).collect();
    let recipients: Vec<&str> = names.iter().map(String::as_str).collect();
    let taken = status("200 OK", "{\"success\":true,\"result\":{}}");
    let acts = vec![taken.clone(), taken, Answer::Leave(usize::MAX)];
    let (port, _told) = provider::server(acts, None);
    let mut bench = provider::bench(cloudflare(), port);
    assert_eq!(bench.deliver(&recipients).word(), "delivered, unknown");
    let parts = [10..60, 60..110, 110..130].map(Iterator::collect::<Vec<u32>>);
    assert_eq!(bench.vault.endings, parts.into_iter().zip([0, 50, 100]).collect::<Vec<_>>());

    let keywords = vec!["PIPELINING".to_owned(), "LIMITS RCPTMAX=2".to_owned()];
    let (mut bench, _sink) = self::bench(Options { keywords, ..Options::default() });
    assert_eq!(bench.deliver(&["first@b.test"]).word(), "delivered 250");
    assert_eq!(bench.deliver(&["a@b.test", "c@b.test", "d@b.test", "e@b.test", "f@b.test"]).word(), "delivered 250");
    let whom = |numbers: &[u32]| numbers.to_vec();
    let expected = [
        (whom(&[10, 11]), 0),
        // It is known that nobody else has it while the next session is opened.
        (whom(&[]), 2),
        (whom(&[12, 13]), 2),
        (whom(&[]), 4),
        (whom(&[14]), 4),
    ];
    assert_eq!(bench.vault.endings, expected);
}

#[test]
fn rule_q7_who_was_put_off_by_one_host_does_not_have_it_while_the_next_is_tried() {
    let (first, one) = sink(Options { faults: vec![Fault::say(Dot, "451 4.3.0 later")], ..Options::default() });
    let (_second, other) = sink(Options::default());
    let hosts = vec![("mx1.test".to_owned(), one), ("mx2.test".to_owned(), other)];
    let mut bench = Bench::start(&hosts, settings_for(&hosts));
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    let named: Vec<_> = bench.vault.endings.iter().map(|(numbers, _)| numbers.clone()).collect();
    assert_eq!(named, [vec![10], vec![], vec![10]]);
    assert_eq!(first.tally().connections, 1);
}

#[test]
fn rule_q7_who_is_refused_at_rcpt_is_not_among_those_who_may_have_it() {
    let refuse =
        vec![("grey@".to_owned(), "450 4.7.1 later".to_owned()), ("no@".to_owned(), "550 5.1.1 no".to_owned())];
    for keywords in [vec!["PIPELINING".to_owned()], vec!["CHUNKING".to_owned(), "PIPELINING".to_owned()]] {
        let (mut bench, _sink) = self::bench(Options { refuse: refuse.clone(), keywords, ..Options::default() });
        bench.deliver(&["grey@b.test", "good@b.test", "no@b.test"]);
        assert_eq!(bench.vault.endings, [(vec![11], 0)]);
    }
}

#[test]
fn rule_u8_what_is_said_while_the_vault_is_waited_for_is_not_the_answer_to_the_dot() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (speak, speaks) = std::sync::mpsc::channel();
    let (spoke, has_spoken) = std::sync::mpsc::channel();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let mut reader = std::io::BufReader::new(socket.try_clone().unwrap());
        let mut say = |text: &str| socket.write_all(text.as_bytes()).unwrap();
        say("220 mx\r\n");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if std::io::BufRead::read_line(&mut reader, &mut line).unwrap_or(0) == 0 {
                return lines;
            }
            match line.get(..4) {
                Some("DATA") => {
                    say("354 go\r\n");
                    speaks.recv().unwrap();
                    say("250 2.0.0 late\r\n");
                    spoke.send(()).unwrap();
                }
                Some("EHLO" | "MAIL" | "RCPT") => say("250 ok\r\n"),
                _ => {}
            }
            lines.push(line);
        }
    });
    let mut bench = Bench::start(&one(port), settings_for(&one(port)));
    let job = bench.vault.offer(&["a@b.test"], 3);
    let turn = loop {
        match bench.vault.hear().unwrap() {
            Progress::Want { .. } => bench.vault.say(&Offer::Content { job, octets: Octets(b"x\r\n".to_vec()) }),
            Progress::Ending { turn, .. } => break turn,
            _ => {}
        }
    };
    speak.send(()).unwrap();
    has_spoken.recv().unwrap();
    bench.vault.say(&Offer::End { job, turn });
    let ended = bench.vault.follow(job, b"");
    assert_eq!(ended.word(), "broken off", "{ended:?}");
    assert!(!server.join().unwrap().contains(&".\r\n".to_owned()));
}
