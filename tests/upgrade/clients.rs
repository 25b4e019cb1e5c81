//! Clients that submit one message after the other, each on a connection of its own, whatever becomes of the service meanwhile.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::support::{PATIENCE, Service, Smtp, smtp};

/// What they need to know of the service.
#[derive(Clone)]
pub struct Client {
    pub smtp: u16,
    pub http: u16,
    pub trust: Arc<ClientConfig>,
    pub secret: String,
}

impl Client {
    pub fn of(service: &Service, secret: &str) -> Self {
        let (trust, secret) = (smtp::trusting(&service.pair), secret.to_owned());
        Self { smtp: service.smtp, http: service.http, trust, secret }
    }

    /// Submits over SMTP until it is over; the subjects of what was acknowledged.
    pub fn talk(&self, name: &str, over: &AtomicBool) -> Vec<String> {
        self.repeat(name, over, |subject| self.speak(subject) == Some(250))
    }

    /// The same over HTTP.
    pub fn post(&self, name: &str, over: &AtomicBool) -> Vec<String> {
        self.repeat(name, over, |subject| self.ask(subject) == 202)
    }

    fn repeat(&self, name: &str, over: &AtomicBool, submit: impl Fn(&str) -> bool) -> Vec<String> {
        let subjects = (0..100_000).map(|n| format!("{name}-{n}")).take_while(|_| !over.load(Ordering::Relaxed));
        subjects.filter(|subject| submit(subject)).collect()
    }

    /// One session; the code that the message ended with, if it came so far. Each connection is greeted, or told to come again.
    fn speak(&self, subject: &str) -> Option<u16> {
        let mut session = Smtp::over(knock(self.smtp));
        match session.try_code() {
            Some(220) => {}
            Some(421) => return None,
            other => panic!("{subject}: no greeting, but {other:?}"),
        }
        let ready = session.try_say("EHLO client.example")? == 250 && session.try_say("STARTTLS")? == 220;
        let mut session = if ready { session.shake_hands(&self.trust) } else { return None };
        let ready = session.try_say("EHLO client.example")? == 250 && session.try_log_in(&self.secret)? == 235;
        let ready = ready && session.try_say("MAIL FROM:<a@example.net>")? == 250;
        let ready = ready && session.try_say("RCPT TO:<b@example.org>")? == 250 && session.try_say("DATA")? == 354;
        let text = format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: {subject}\r\n\r\nHello.\r\n.");
        ready.then(|| session.try_say(&text).unwrap_or_else(|| panic!("{subject}: no reply to the dot")))
    }

    /// One request; the status, which comes whatever becomes of the service.
    fn ask(&self, subject: &str) -> u16 {
        let body = format!(r#"{{"from":"a@example.net","to":"b@example.org","subject":"{subject}","text":"Hello."}}"#);
        let head = format!(
            "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.secret,
            body.len()
        );
        let mut stream = knock(self.http);
        let mut response = String::new();
        stream.write_all(&[head, body].concat().into_bytes()).unwrap();
        let read = stream.read_to_string(&mut response);
        let status = response.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("{subject}: {read:?}, no response but {response:?}"))
    }
}

/// A connection, which is never refused.
pub fn knock(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("nobody is refused");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits until all that was acknowledged has arrived, and insists that nothing came twice.
pub fn assert_once(service: &Service, acknowledged: &[String]) {
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    let deadline = Instant::now() + PATIENCE + PATIENCE;
    while !acknowledged.iter().all(|subject| arrived.contains_key(subject)) {
        assert!(Instant::now() < deadline, "never arrived: {:?}\n{}", missing(acknowledged, &arrived), service.log());
        count(service, &mut arrived, Duration::from_millis(200));
    }
    // What would come once more, comes soon.
    count(service, &mut arrived, Duration::from_secs(1));
    let twice: Vec<_> = arrived.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

fn count(service: &Service, arrived: &mut BTreeMap<String, usize>, patience: Duration) {
    while let Some(received) = service.sink.next(patience) {
        let text = String::from_utf8_lossy(&received.content).into_owned();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).expect("a subject");
        *arrived.entry(subject.to_owned()).or_default() += 1;
    }
}

fn missing<'a>(acknowledged: &'a [String], arrived: &BTreeMap<String, usize>) -> Vec<&'a String> {
    acknowledged.iter().filter(|subject| !arrived.contains_key(*subject)).collect()
}
