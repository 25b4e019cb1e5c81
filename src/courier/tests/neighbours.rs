//! Vault, dialer and parent come, go, and take things back.

use super::*;

/// A content of which the first half alone is sent.
fn half_sent(bench: &mut Bench, sink: &Sink) -> Job {
    let job = bench.vault.offer(&["a@b.test"], 1_000_000);
    while !matches!(bench.vault.hear().unwrap(), Progress::Want { .. }) {}
    let octets = Octets(b"0123456789\r\n".repeat(1000));
    for _ in 0..8 {
        bench.vault.say(&Offer::Content { job, octets: octets.clone() });
    }
    eventually("DATA is said", || sink.tally().commands.iter().any(|command| command == "DATA"));
    job
}

#[test]
fn a_withdrawn_message_never_sees_its_dot() {
    let (mut bench, sink) = bench(Options::default());
    let job = half_sent(&mut bench, &sink);
    bench.vault.say(&Offer::Withdraw { job });
    let last = std::iter::repeat_with(|| bench.vault.hear().unwrap())
        .find(|p| !matches!(p, Progress::Want { .. } | Progress::Ending { .. }));
    assert!(matches!(last, Some(Progress::GivenUp { job: of }) if of == job), "{last:?}");
    eventually("the connection is dropped", || sink.tally().broken_off == 1);
    nothing_arrives(&sink);
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
}

#[test]
fn a_message_withdrawn_before_its_recipients_came_is_settled_too() {
    let (mut bench, _sink) = bench(Options::default());
    let (job, message) = (Job(77), MessageId::now());
    assert_eq!(bench.vault.slots(), 1);
    bench.vault.say(&Offer::Message { job, message, sender: None, manner: Manner::default(), size: 1, recipients: 2 });
    bench.vault.say(&Offer::Withdraw { job });
    assert!(matches!(bench.vault.hear(), Some(Progress::GivenUp { job: Job(77) })));
}

#[test]
fn when_the_vault_is_gone_its_messages_are_dropped_without_the_dot_and_a_new_vault_is_served() {
    let (mut bench, sink) = bench(Options::default());
    half_sent(&mut bench, &sink);
    bench.vault = Vault::attach(bench.control());
    assert_eq!(bench.vault.slots(), 1);
    eventually("the connection is dropped", || sink.tally().broken_off == 1);
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert!(sink.next(PATIENCE).is_some());
    nothing_arrives(&sink);
}

#[test]
fn a_message_whose_whole_content_is_here_is_not_ended_either_when_the_vault_is_gone() {
    let (sink, port) = sink(Options::default());
    let mut bench = Bench::without_dialer(settings_for(&one(port)));
    let dialer = bench.dialer_end();
    assert_eq!(bench.vault.slots(), 1);
    let job = bench.vault.offer(&["a@b.test"], 3);
    assert!(matches!(bench.vault.hear(), Some(Progress::Want { .. })));
    bench.vault.say(&Offer::Content { job, octets: Octets(b"x\r\n".to_vec()) });
    let Arrival::Packet(Packet { message: Dial { ticket, .. }, .. }) = dialer.receive().unwrap() else { panic!() };
    bench.vault.stream.shutdown(std::net::Shutdown::Both).unwrap();
    bench.vault = Vault::attach(bench.control());
    assert_eq!(bench.vault.slots(), 1);
    // By now the courier has taken note of the first vault's end: it came before the second, and one thread serves both.
    let (host, socket) = ("mx.test".to_owned(), TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    let address = socket.peer_addr().unwrap();
    dialer.send(&Dialed::Connected { ticket, index: 0, host, address }, Some(socket.as_fd())).unwrap();
    drop(socket);
    eventually("the connection is dropped", || sink.tally().broken_off == 1);
    nothing_arrives(&sink);
}

#[test]
fn more_content_than_asked_for_ends_the_channel_and_nothing_is_delivered() {
    let (mut bench, sink) = bench(Options::default());
    let job = bench.vault.offer(&["a@b.test"], 1);
    while !matches!(bench.vault.hear().unwrap(), Progress::Want { .. }) {}
    for _ in 0..64 {
        bench.vault.say(&Offer::Content { job, octets: Octets(vec![b'x'; MAX_CONTENT]) });
    }
    while let Some(progress) = bench.vault.hear() {
        assert!(matches!(progress, Progress::Want { .. } | Progress::Ending { .. }), "{progress:?}");
    }
    nothing_arrives(&sink);
}

#[test]
fn more_recipients_than_announced_end_the_channel() {
    let (mut bench, sink) = bench(Options::default());
    let (job, message) = (Job(5), MessageId::now());
    let address = Address::parse("a@b.test").unwrap();
    bench.vault.say(&Offer::Message { job, message, sender: None, manner: Manner::default(), size: 1, recipients: 1 });
    bench.vault.say(&Offer::Recipients { job, batch: vec![(0, address.clone().into()), (1, address.into())] });
    assert_eq!(bench.vault.slots(), 1);
    assert!(bench.vault.hear().is_none());
    assert_eq!(sink.tally().connections, 0);
}

#[test]
fn frames_about_jobs_that_have_ended_are_passed_over() {
    let (mut bench, _sink) = bench(Options::default());
    let job = Job(404);
    bench.vault.say(&Offer::Content { job, octets: Octets(vec![1]) });
    bench.vault.say(&Offer::End { job, turn: 1 });
    bench.vault.say(&Offer::Withdraw { job });
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
}

#[test]
fn a_message_without_recipients_is_settled_at_once() {
    let (mut bench, sink) = bench(Options::default());
    assert_eq!(bench.deliver(&[]), Ending::Settled(vec![]));
    assert_eq!(sink.tally().connections, 0);
}

#[test]
fn a_job_waits_for_a_dialer_that_is_being_replaced() {
    let (sink, port) = sink(Options::default());
    let mut bench = Bench::without_dialer(settings_for(&one(port)));
    let job = bench.vault.offer(&["a@b.test"], 3);
    assert!(matches!(bench.vault.hear(), Some(Progress::Slots(1))));
    assert!(matches!(bench.vault.hear(), Some(Progress::Want { .. })));
    bench.attach_dialer(&one(port), Ipv4Addr::LOCALHOST);
    bench.vault.say(&Offer::Content { job, octets: Octets(b"x\r\n".to_vec()) });
    bench.vault.end(job);
    assert!(matches!(bench.vault.hear(), Some(Progress::Recipient { outcome: Outcome::Delivered(_), .. })));
    assert!(sink.next(PATIENCE).is_some());
}

#[test]
fn a_dialer_that_dies_over_a_dial_is_a_route_failure() {
    let mut bench = Bench::without_dialer(settings_for(&one(1)));
    let dialer = bench.dialer_end();
    let job = bench.vault.offer(&["a@b.test"], 3);
    assert!(matches!(dialer.receive().unwrap(), Arrival::Packet(_)));
    drop(dialer);
    let ending = bench.vault.follow(job, b"x\r\n");
    assert!(ending.reason().contains("the dialer went away"), "{ending:?}");
}

#[test]
fn an_unreachable_upstream_is_a_route_failure_with_the_dialers_reasons() {
    let mut bench = Bench::without_dialer(settings_for(&one(1)));
    let dialer = bench.dialer_end();
    let job = bench.vault.offer(&["a@b.test"], 3);
    let Arrival::Packet(Packet { message: Dial { ticket, .. }, .. }) = dialer.receive().unwrap() else { panic!() };
    let reasons = vec!["mx1: refused".to_owned(), "mx2: no such name".to_owned()];
    dialer.send(&Dialed::Failed { ticket: ticket + 1, reasons: vec![] }, None).unwrap();
    dialer.send(&Dialed::Failed { ticket, reasons }, None).unwrap();
    assert_eq!(bench.vault.follow(job, b"x\r\n").reason(), "mx1: refused; mx2: no such name");
}

#[test]
fn a_host_of_the_dialers_own_making_is_not_spoken_with() {
    let (sink, port) = sink(Options::default());
    let mut bench = Bench::start(&vec![("evil.test".to_owned(), port)], settings_for(&one(port)));
    assert!(bench.deliver(&["a@b.test"]).reason().contains("not this upstream's"));
    assert!(sink.tally().commands.is_empty());
}

#[test]
fn rule_q20_a_draining_courier_finishes_what_it_has_says_goodbye_and_ends() {
    let (mut bench, sink) = bench(Options::default());
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    let content = b"x\r\n".to_vec();
    let job = bench.vault.offer(&["a@b.test"], content.len());
    while !matches!(bench.vault.hear().unwrap(), Progress::Want { .. }) {}
    bench.control().send(&Order::Drain, None).unwrap();
    bench.vault.say(&Offer::Content { job, octets: Octets(content) });
    bench.vault.say(&Offer::End { job, turn: 1 });
    let (mut said, mut drains) = (Vec::new(), false);
    loop {
        match bench.vault.hear().unwrap() {
            Progress::Slots(slots) => drains = slots == 0,
            Progress::Recipient { outcome, .. } => said.push(outcome),
            Progress::Settled { .. } => break,
            Progress::Ending { .. } | Progress::Want { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(drains && matches!(said[..], [Outcome::Delivered(_)]), "{drains} {said:?}");
    assert!(bench.vault.hear().is_none());
    bench.join().unwrap();
    assert_eq!(sink.tally().commands.last().unwrap(), "QUIT");
}

#[test]
fn a_courier_ends_when_its_parent_is_gone() {
    let (mut bench, _sink) = bench(Options::default());
    bench.control = None;
    bench.join().unwrap();
}
