//! Section S and the budgets: what a session may cost.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn rule_c16_errors_cost_time_and_then_the_session() {
    let room = Room::plain();
    let mut client = room.run("S: 220 *").await;
    let begun = Instant::now();
    for _ in 0..10 {
        client.run("C: WIZ\nS: 500 5.5.2 *").await;
    }
    assert!(begun.elapsed() < Duration::from_millis(100));
    for _ in 0..9 {
        client.run("C: WIZ\nS: 500 5.5.2 *").await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(2));
    client.run("C: WIZ\nS: 500 5.5.2 *\nS: 421 4.7.0 *\n--").await;
}

#[tokio::test(start_paused = true)]
async fn rule_c16_each_refused_command_is_charged_for_whatever_its_code() {
    let long = "x".repeat(2000);
    for (begin, command, refused) in [
        ("S: 220 *", "WIZ", "500 5.5.2"),
        ("S: 220 *", &long, "500 5.5.2"),
        ("S: 220 *", "STARTTLS", "502 5.5.1"),
        ("@hello", "AUTH PLAIN !", "501 5.5.2"),
        ("@hello", "AUTH CRAM-MD5", "504 5.5.4"),
        ("@hello", "MAIL FROM:<a@example.net>", "530 5.7.0"),
        ("@login", "MAIL FROM:<a@example.net", "501 5.1.7"),
        ("@login", "RCPT TO:<b@example.org>", "503 5.5.1"),
        ("@login", "MAIL FROM:<a@evil.example>", "550 5.7.1"),
        ("@login", "MAIL FROM:<a@example.net> SIZE=100001", "552 5.3.4"),
        ("@login", "MAIL FROM:<a@example.net> NONSENSE=1", "555 5.5.4"),
        ("@mail", "MAIL FROM:<a@example.net>", "503 5.5.1"),
        ("@mail", "RCPT TO:<x@denied.example>", "550 5.7.1"),
        ("@mail", "RCPT TO:<\u{e4}@example.org>", "553 5.6.7"),
        ("@login\nC: MAIL FROM:<a@example.net>\nS: 250 *", "DATA", "554 5.5.1"),
    ] {
        let room = Room::plain();
        let mut client = room.run(begin).await;
        for _ in 0..20 {
            client.send(format!("{command}\r\n")).await;
            client.expect(refused).await;
        }
        client.run("S: 421 4.7.0 *\n--").await;
    }
}

#[tokio::test(start_paused = true)]
async fn rule_c16_after_a_login_the_hundred_are_the_same_and_come_back_with_time() {
    let room = Room::plain();
    for command in ["NOOP", "RSET"] {
        let again = |times| format!("C: {command}\nS: 250 *\n").repeat(times);
        let spent = format!("C: {command}\nS: 421 4.7.0 *\n--");
        // EHLO was the first of them.
        room.run(&format!("@login\n{}{spent}", again(99))).await;
        let mut patient = room.run(&format!("@login\n{}", again(99))).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        patient.run(&format!("{}{spent}", again(10))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rule_c16_a_hundred_commands_that_do_nothing_are_enough_for_a_stranger() {
    let room = Room::plain();
    let mut client = room.run("S: 220 *").await;
    for command in ["NOOP", "RSET", "VRFY x", "HELP"].iter().cycle().take(100) {
        client.send(format!("{command}\r\n")).await;
        client.expect("2").await;
    }
    client.run("C: NOOP\nS: 421 4.7.0 *\n--").await;
    // Each of them is charged for: alone it has the same hundred, and one after them ends it.
    for command in ["NOOP", "RSET", "VRFY x", "HELP", "EHLO a", "HELO a"] {
        let mut client = room.run("S: 220 *").await;
        for _ in 0..100 {
            client.send(format!("{command}\r\n")).await;
            client.expect("2").await;
        }
        client.send(format!("{command}\r\n")).await;
        client.run("S: 421 4.7.0 *\n--").await;
    }
}

#[tokio::test]
async fn rule_c16_a_client_that_sends_mail_may_idle_again() {
    let room = Room::plain();
    let mut client = room.run("@login").await;
    let mail = "C: MAIL FROM:<a@example.net>\nS: 250 *\nC: RCPT TO:<b@example.org>\nS: 250 *\nC: DATA\nS: 354 *
        C: From: a@example.net\nC: .\nS: 250 *";
    for _ in 0..3 {
        client.run(&"C: RSET\nS: 250 *\n".repeat(90)).await;
        client.run(mail).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rule_c16_recipients_that_add_nobody_are_free_up_to_a_thousand() {
    // Known ones, and those beyond the hundred that there may be.
    let hundred: String = (0..100).map(|n| format!("C: RCPT TO:<r{n}@example.org>\nS: 250 *\n")).collect();
    for (begin, again) in [
        ("@mail".to_owned(), ("C: RCPT TO:<b@example.org>", "S: 250 2.1.5 *")),
        (
            format!("@login\nC: MAIL FROM:<a@example.net>\nS: 250 *\n{hundred}"),
            ("C: RCPT TO:<x@example.org>", "S: 452 *"),
        ),
    ] {
        let room = Room::plain();
        let mut client = room.run(&begin).await;
        // EHLO was the first of a hundred commands that do nothing.
        for _ in 0..1099 {
            client.run(&format!("{}\n{}", again.0, again.1)).await;
        }
        client.run(&format!("{}\nS: 421 4.7.0 *\n--", again.0)).await;
    }
    // What is kept gives all of it back.
    let room = Room::plain();
    let mut client = room.run("@mail").await;
    for _ in 0..3 {
        for _ in 0..900 {
            client.run("C: RCPT TO:<b@example.org>\nS: 250 2.1.5 *").await;
        }
        client.run(&[DATA, "C: From: a@example.net\nC: .\nS: 250 *\n", MAIL].concat()).await;
    }
}

#[tokio::test]
async fn whoever_says_much_at_once_leaves_others_their_turns() {
    let room = Room::plain();
    let mut client = room.run("@login").await;
    let turns = Arc::new(AtomicU32::new(0));
    let other = turns.clone();
    let task = tokio::spawn(async move {
        loop {
            other.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let before = turns.load(Ordering::Relaxed);
    client.run(&["C: NOOP\n".repeat(96), "S: 250 *\n".repeat(96)].concat()).await;
    let turns = turns.load(Ordering::Relaxed) - before;
    task.abort();
    assert!(turns >= 6, "others had {turns} turns in 96 commands");
}

/// A vault that answers each question, and each of them late: the deadlines of a command's questions don't add up.
#[tokio::test(start_paused = true)]
async fn rule_s6_however_slow_the_vault_is_every_command_is_answered_in_two_minutes() {
    const LIMIT: Duration = Duration::from_secs(120);
    let ways = Ways { slow: Duration::from_secs(14), credit: 1000, ..Ways::default() };
    let room = Room::with(ways.clone(), |desk| desk.plain_login = true);
    let mut client = room.run(HELLO).await;
    for (command, expected) in [
        ("AUTH PLAIN AGJpbGxpbmcAczNjcmV0", "235"),
        ("MAIL FROM:<a@example.net>", "250"),
        ("RCPT TO:<b@example.org>", "250"),
        ("DATA", "354"),
    ] {
        let begun = Instant::now();
        client.send(format!("{command}\r\n")).await;
        client.slow_line(expected).await;
        assert!(begun.elapsed() < LIMIT, "{command}: {:?}", begun.elapsed());
    }
    let begun = Instant::now();
    client.send(format!("From: a@example.net\r\n\r\n{}.\r\n", "x\r\n".repeat(4000))).await;
    client.slow_line("451 ").await;
    assert!(begun.elapsed() < LIMIT, "the dot: {:?}", begun.elapsed());
    // The vault does not answer at all.
    let still = ways.still.clone();
    let room = Room::with(Ways { slow: Duration::ZERO, ..ways }, |desk| desk.plain_login = true);
    let mut client = room.run("@mail").await;
    let _hold = still.write().await;
    let begun = Instant::now();
    client.send("BDAT 24 LAST\r\nFrom: a@example.net\r\n\r\nx").await;
    client.slow_line("4").await;
    assert!(begun.elapsed() < LIMIT, "the last chunk: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_replies_is_left() {
    let room = Room::plain();
    let (mut ours, theirs) = tokio::io::duplex(64);
    let session = Session::new(room.front.clone(), room.house.visit(), Uuid::nil());
    let session = spawn(session, theirs);
    ours.write_all(b"").await.unwrap();
    tokio::task::yield_now().await;
    let _ = tokio::time::timeout(Duration::from_secs(5), ours.write_all(&b"NOOP\r\n".repeat(50))).await;
    let begun = Instant::now();
    assert!(matches!(session.await.unwrap().1, Leave::Closed));
    assert!(begun.elapsed() <= Duration::from_secs(35), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn rule_s5_the_state_of_a_session_is_small() {
    let room = Room::plain();
    let mut session = Session::new(room.front.clone(), room.house.visit(), Uuid::nil());
    let (_, stream) = tokio::io::duplex(64);
    let octets = std::mem::size_of_val(&session.converse(stream)) + std::mem::size_of::<Session>();
    assert!(octets < 8 * 1024, "{octets}");
}

/// A stream that panics when it is read for the second time.
struct Trap(DuplexStream, u32);

impl tokio::io::AsyncRead for Trap {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = std::pin::Pin::new(&mut self.0).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.1 += 1;
            assert!(self.1 != 2, "a trap");
        }
        read
    }
}

impl tokio::io::AsyncWrite for Trap {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        octets: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(cx, octets)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn rule_s7_a_panic_ends_its_session_with_421_and_no_other() {
    let room = Room::plain();
    let mut other = room.run("@login").await;
    let (mut ours, theirs) = tokio::io::duplex(4096);
    let mut session = Session::new(room.front.clone(), room.house.visit(), Uuid::nil());
    let task = tokio::spawn(async move { matches!(session.converse(Trap(theirs, 0)).await, Leave::Closed) });
    let mut said = [0; 4096];
    let n = ours.read(&mut said).await.unwrap();
    assert!(said[..n].starts_with(b"220 "));
    ours.write_all(b"NOOP\r\n").await.unwrap();
    let n = ours.read(&mut said).await.unwrap();
    assert!(said[..n].starts_with(b"250 "));
    ours.write_all(b"NOOP\r\n").await.unwrap();
    let n = ours.read(&mut said).await.unwrap();
    assert!(said[..n].starts_with(b"421 4.3.0 "));
    drop(ours);
    assert!(task.await.unwrap_err().is_panic());
    other.run("C: NOOP\nS: 250 *").await;
}
