//! Telling a webhook over real sockets: what is posted, whom it is believed to be, and what is made of its answers.

use super::super::*;
use super::{Act, serve, server, status};
use crate::config::slice::WebhookSlice;
use crate::courier::webhook::Settings as Told;
use crate::ipc::feedback::{Answer, Ask, MAX_BODY, Reply};

/// The vault's end of a webhook's courier.
struct Asking {
    bench: Bench,
    stream: UnixStream,
    inbox: Inbox,
}

impl Asking {
    fn start(port: u16, connector: Option<TlsConnector>, claimed: Ipv4Addr) -> Self {
        let slice = WebhookSlice {
            host: "app.test".into(),
            port,
            path: "/hook?a=b".into(),
            tls: connector.is_some(),
            previous: false,
        };
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let mut bench = Bench::with(Business::Webhook(Told::new(slice, connector, &secret, None).unwrap()));
        bench.attach_dialer(&vec![("app.test".to_owned(), port)], claimed);
        let (stream, theirs) = UnixStream::pair().unwrap();
        bench.control().send(&Order::Peer(peer(Talk::Feedback)), Some(theirs.as_fd())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { bench, stream, inbox: Inbox::default() }
    }

    fn post(&mut self, ticket: u64, body: &str) {
        let mut out = Outbox::default();
        out.push(&Ask::Post { ticket, id: format!("evt_{ticket}"), body: body.to_owned() }).unwrap();
        self.stream.write_all(&out.bytes).unwrap();
    }

    /// The next answer; none when the courier has closed.
    fn hear(&mut self) -> Option<Reply> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(reply) = self.inbox.take().unwrap() {
                return Some(reply);
            }
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                read => self.inbox.feed(&buffer[..read]),
            }
        }
    }

    fn ask(&mut self, body: &str) -> Answer {
        self.post(7, body);
        let Reply { ticket: 7, answer } = self.hear().unwrap() else { panic!("of another") };
        answer
    }
}

fn reason(answer: Answer) -> (bool, String) {
    let Answer::Failed { sent, reason } = answer else { panic!("{answer:?}") };
    (sent, reason)
}

#[test]
fn an_event_is_posted_signed_and_of_the_answer_its_status_is_kept() {
    let long = format!("{{\"text\":\"{}\"}}", "x".repeat(MAX_BODY - 11));
    let acts = [
        status("204 No Content", ""),
        // Not followed, not believed and not kept, however long it is.
        status("302 Found\r\nLocation: http://127.0.0.1:1/", &"y".repeat(1 << 20)),
        status("429 Slow\r\nRetry-After: 17", "why"),
        status("410 Gone", ""),
    ];
    let (port, told) = server(acts.to_vec(), None);
    let mut asking = Asking::start(port, None, Ipv4Addr::LOCALHOST);
    let plain = |code| Answer::Status { code, wait: None };
    assert_eq!(asking.ask(&long), plain(204));
    assert_eq!(asking.ask("{}"), plain(302));
    assert_eq!(asking.ask("{}"), Answer::Status { code: 429, wait: Some(Duration::from_secs(17)) });
    assert_eq!(asking.ask("{}"), plain(410));
    let (head, body) = told.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("post /hook?a=b http/1.1\r\n") && head.contains("\r\nhost: app.test"), "{head}");
    for line in ["webhook-id: evt_7", "svix-id: evt_7", "webhook-signature: v1,", "content-type: application/json"] {
        assert!(head.contains(&format!("\r\n{line}")), "{line}: {head}");
    }
    assert_eq!(body, long.as_bytes());
    // Who was left while it spoke tells nothing.
    assert!(told.iter().count() >= 2);
    assert_eq!(asking.bench.dials().len(), 4);
}

#[test]
fn what_was_not_heard_of_an_event_says_whether_it_may_have_arrived() {
    let garbled = Act::Answer("220 smtp.example ESMTP\r\n".into());
    let (port, _told) = server(vec![Act::Leave(usize::MAX), garbled], None);
    let mut asking = Asking::start(port, None, Ipv4Addr::LOCALHOST);
    assert!(reason(asking.ask("{}")).0 && reason(asking.ask("{}")).0);
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (sent, why) = reason(Asking::start(nobody, None, Ipv4Addr::LOCALHOST).ask("{}"));
    assert!(!sent && why.contains("refused"), "{why}");
    // In clear it is for this machine alone.
    let (port, _told) = server(vec![status("200 OK", "")], None);
    let (sent, why) = reason(Asking::start(port, None, Ipv4Addr::new(192, 0, 2, 1)).ask("{}"));
    assert!(!sent && why.contains("this machine alone"), "{why}");
}

#[test]
fn rule_u4_a_receiver_with_the_certificate_of_another_is_told_nothing() {
    for (name, is_told) in [("app.test", true), ("other.test", false)] {
        let (bundle, config) = protected::certified(&[name]);
        let (port, told) = server(vec![status("200 OK", "")], Some(config));
        let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
        let answer = Asking::start(port, connector, Ipv4Addr::LOCALHOST).ask("{}");
        match is_told {
            true => assert_eq!(answer, Answer::Status { code: 200, wait: None }),
            false => {
                let (sent, why) = reason(answer);
                assert!(!sent && why.starts_with("TLS: ") && told.try_recv().is_err(), "{why}");
            }
        }
    }
}

#[test]
fn a_receiver_that_is_slow_holds_up_no_other_event_and_a_courier_that_drains_waits_for_it() {
    // The first connection is kept open until the second event was answered.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut asking = Asking::start(port, None, Ipv4Addr::LOCALHOST);
    asking.post(1, "{}");
    let (mut slow, _) = listener.accept().unwrap();
    asking.post(2, "{}");
    let (quick, _) = listener.accept().unwrap();
    serve(quick, &status("200 OK", "")).unwrap();
    assert_eq!(asking.hear().unwrap().ticket, 2);
    asking.bench.control().send(&Order::Drain, None).unwrap();
    slow.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    // It says that it takes no more, before or after that answer.
    let (leaving, answers): (Vec<_>, Vec<_>) =
        [asking.hear().unwrap(), asking.hear().unwrap()].into_iter().partition(Reply::is_leaving);
    assert_eq!(answers, [Reply { ticket: 1, answer: Answer::Status { code: 200, wait: None } }]);
    assert_eq!((leaving.len(), asking.hear()), (1, None));
    asking.bench.join().unwrap();
}
