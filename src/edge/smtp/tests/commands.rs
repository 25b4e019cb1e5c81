//! Section C: which command when.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

#[tokio::test]
async fn rule_c1_the_greeting_begins_with_our_name_and_tells_no_version() {
    let room = Room::plain();
    let mut client = room.connect();
    assert_eq!(client.reply().await, "220 gate.example.net ESMTP\n");
}

#[tokio::test]
async fn rule_c2_a_second_hello_is_legal_and_acts_as_a_reset() {
    let room = Room::plain();
    room.run(
        "@mail
        C: EHLO again.example
        @offers
        S: 250 LIMITS RCPTMAX=100
        C: RCPT TO:<b@example.org>
        S: 503 5.5.1 *
        @again
        C: HELO again.example
        S: 250 gate.example.net
        C: RCPT TO:<b@example.org>
        S: 503 5.5.1 *
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 *",
    )
    .await;
    assert_eq!(room.seen().aborted, 2);
}

#[tokio::test]
async fn rule_x1_rule_x9_rule_x11_ehlo_lists_what_can_be_used_now_and_nothing_else() {
    const ALWAYS: [&str; 7] =
        ["PIPELINING", "SIZE 100000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN"];
    let lists = |reply: String, more: &[&str]| {
        let lines: Vec<_> = reply.lines().skip(1).map(|line| line[4..].to_owned()).collect();
        assert_eq!(lines, [&ALWAYS[..], more].concat());
    };
    let room = Room::plain();
    let mut client = room.run("S: 220 *\nC: EHLO x.example").await;
    lists(client.reply().await, &["AUTH PLAIN LOGIN"]);
    client.run("C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0\nS: 235 *\nC: EHLO x.example").await;
    lists(client.reply().await, &["LIMITS RCPTMAX=100"]);
    let room = Room::with(Ways::default(), |desk| desk.tls = TlsMode::Starttls);
    let mut client = room.run("S: 220 *\nC: EHLO x.example").await;
    lists(client.reply().await, &["STARTTLS"]);
    client.run("C: STARTTLS\nS: 220 *").await;
    let mut client = client.secured(&room.front).await;
    client.run("C: EHLO x.example").await;
    lists(client.reply().await, &["AUTH PLAIN LOGIN"]);
}

#[tokio::test]
async fn rule_a19_rule_d10_what_is_never_offered_is_not_taken_either() {
    let room = Room::plain();
    for mechanism in ["ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI"] {
        room.run(&format!("@hello\nC: AUTH {mechanism}\nS: 504 5.5.4 *")).await;
    }
    room.run("@login\nC: MAIL FROM:<a@example.net> BODY=BINARYMIME\nS: 501 5.5.4 *").await;
}

#[tokio::test]
async fn rule_c3_mail_passes_whatever_its_client_calls_itself() {
    for name in
        ["EHLO [203.0.113.9]", "EHLO localhost", "EHLO gate.example.net", "HELO mx.example.org", "EHLO my_printer"]
    {
        let room = Room::plain();
        let mut client = room.run("@login").await;
        client.send(format!("{name}\r\n")).await;
        client.expect("250").await;
        client.run("@again\nC: DATA\nS: 354 *\nC: From: a@example.net\nC: .\nS: 250 *").await;
        assert_eq!(room.seen().kept.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn rule_c3_rule_c14_a_name_with_bad_syntax_is_501_and_hello_has_no_status_code() {
    let room = Room::plain();
    let mut client = room.run("S: 220 *\nC: EHLO <x>").await;
    let reply = client.reply().await;
    assert!(reply.starts_with("501 ") && !reply.starts_with("501 5."), "{reply}");
}

#[tokio::test]
async fn rule_c4_literals_and_bare_names_are_taken() {
    let room = Room::plain();
    for name in ["[192.0.2.1]", "[IPv6:2001:db8::1]", "printer", "WIN_7"] {
        let mut client = room.run(&format!("S: 220 *\nC: EHLO {name}")).await;
        client.expect("250-").await;
    }
}

#[tokio::test]
async fn rule_c5_rule_c7_harmless_commands_work_before_hello() {
    let room = Room::plain();
    room.run(
        "S: 220 *
        C: NOOP what ever
        C: HELP
        C: VRFY root
        C: EXPN staff
        C: RSET
        S: 250 2.0.0 *
        S: 214 2.0.0 *
        S: 252 2.1.5 *
        S: 502 5.5.1 *
        S: 250 2.0.0 *
        C: MAIL FROM:<a@example.net>
        S: 503 5.5.1 *
        C: AUTH PLAIN AGJpbGxpbmcAczNjcmV0
        S: 503 5.5.1 *",
    )
    .await;
}

#[tokio::test]
async fn rule_c6_reset_forgets_the_transaction_and_not_the_login() {
    let room = Room::plain();
    room.run("@mail\nC: RSET\nS: 250 2.0.0 *\nC: DATA\nS: 503 5.5.1 *\nC: MAIL FROM:<a@example.net>\nS: 250 2.1.0 *")
        .await;
    assert_eq!(room.seen().aborted, 1);
}

#[tokio::test]
async fn rule_c8_quit_is_answered_and_closes() {
    let room = Room::plain();
    room.run("@login\nC: QUIT\nS: 221 2.0.0 *\n--").await;
    room.house.until(|seen| seen.closed == 1).await;
}

#[tokio::test]
async fn rule_c9_defect_x23_a_client_that_hangs_up_leaves_nothing_behind() {
    for so_far in [
        "@mail",
        "@data",
        "@data\nC: From: a@example.net\nC:\nC: half a",
        "@data\nC: From: a@example.net\nC:\nC~ a\\r\\n.",
        "@mail\nC: BDAT 40 LAST\nC~ From: a@example.net\\r\\n\\r\\nhalf a",
        "@mail\nC: BDAT 23\nC~ From: a@example.net\\r\\n\\r\\n\nS: 250 *",
        "@mail\nC: BDAT 23\nC~ From: a@example.net\\r\\n\\r\\n\nS: 250 *\nC: BDAT 2 LAST\nC~ x",
    ] {
        let room = Room::plain();
        drop(room.run(so_far).await);
        let seen = room.house.until(|seen| seen.closed == 1).await;
        assert!(seen.kept.is_empty(), "{so_far}");
    }
}

#[tokio::test]
async fn rule_c10_a_second_mail_is_refused_and_the_first_stays() {
    let room = Room::plain();
    room.run(
        "@mail
        C: MAIL FROM:<other@example.net>
        S: 503 5.5.1 *
        C: DATA
        S: 354 *
        C: From: a@example.net
        C: .
        S: 250 2.0.0 *",
    )
    .await;
    assert_eq!(room.seen().kept[0].sender, "a@example.net");
}

#[tokio::test]
async fn rule_c11_rule_c12_defect_x21_bad_arguments_leave_the_state_as_it_was() {
    let room = Room::plain();
    room.run(
        "@login
        C: MAIL FROM:<a@example.net> FOO=1
        S: 555 5.5.4 *
        C: MAIL FROM:<a@example.net> SIZE=1 SIZE=2
        S: 501 5.5.4 *
        C: RCPT TO:<b@example.org>
        S: 503 5.5.1 *
        C: MAIL FROM:<a@example.net>
        S: 250 2.1.0 *
        C: RCPT TO:<b@example.org> RET=FULL
        S: 555 5.5.4 *
        C: DATA x
        S: 501 5.5.4 *
        C: RSET x
        S: 501 5.5.4 *
        C: DATA
        S: 554 5.5.1 *
        C: RCPT TO:<b@example.org>
        S: 250 2.1.5 *",
    )
    .await;
}

#[tokio::test]
async fn rule_c13_unknown_not_offered_and_out_of_order() {
    let room = Room::plain();
    room.run(
        "@hello
        C: WIZ
        S: 500 5.5.2 *
        C: ETRN example.net
        S: 502 5.5.1 *
        C: STARTTLS
        S: 502 5.5.1 *
        C: RCPT TO:<b@example.org>
        S: 503 5.5.1 *
        C: DATA
        S: 503 5.5.1 *
        C: MAIL FROM:<a@example.net>
        S: 530 5.7.0 *
        C: BDAT 6 LAST
        C: QUIT
        S: 503 5.5.1 *",
    )
    .await;
}

#[tokio::test]
async fn rule_c15_replies_come_in_order_and_in_one_write() {
    let room = Room::plain();
    let (ours, pipe) = tokio::io::duplex(64 * 1024);
    let writes = Arc::<AtomicUsize>::default();
    let counted = Counted { pipe, writes: writes.clone() };
    let mut session = Session::new(room.front.clone(), room.house.visit(), Uuid::nil());
    tokio::spawn(async move { drop(session.converse(counted).await) });
    let mut client = Client { stream: ours, read: Vec::new(), session: tokio::spawn(std::future::pending()) };
    client.run("@login").await;
    let before = writes.load(Ordering::Relaxed);
    let group = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@denied.example>\r\nRSET\r\n";
    client.send(group).await;
    for reply in ["250 2.1.0", "250 2.1.5", "550 5.7.1", "250 2.0.0"] {
        client.expect(reply).await;
    }
    assert_eq!(writes.load(Ordering::Relaxed) - before, 1);
}

/// A pipe that counts how often it is written to.
struct Counted {
    pipe: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.pipe).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn rule_c17_a_draining_service_finishes_the_transaction_and_then_says_421() {
    let room = Room::plain();
    let mut client = room.run("@data\nC: From: a@example.net\nC:\nC: one").await;
    room.season.send_replace(Phase::Draining);
    client.run("C: two\nC: .\nS: 250 2.0.0 *\nS: 421 4.3.2 *\n--").await;
    assert!(room.seen().kept[0].content.ends_with("\r\n\r\none\r\ntwo\r\n"));
}

#[tokio::test]
async fn rule_c17_a_draining_service_ends_sessions_without_a_transaction_at_once_and_the_others_at_the_end() {
    let room = Room::plain();
    let mut idle = room.run("@data\nC: From: a@example.net\nC: .\nS: 250 2.0.0 *").await;
    let mut fresh = room.run("@login").await;
    let mut open = room.run("@mail").await;
    room.season.send_replace(Phase::Draining);
    idle.run("S: 421 4.3.2 *\n--").await;
    fresh.run("S: 421 4.3.2 *\n--").await;
    open.run("C: RCPT TO:<b@ok.test>\nS: 250 2.1.5 *").await;
    room.season.send_replace(Phase::Closing);
    open.run("S: 421 4.3.2 *\n--").await;
    assert_eq!(room.seen().kept.len(), 1);
}
