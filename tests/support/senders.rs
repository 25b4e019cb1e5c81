//! Clients under load: they send without end, on sessions that they keep, and know what they were told of each message.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;

use super::dice::Dice;
use super::smtp::{Smtp, Tls, trusting};
use super::{CREDENTIAL, PATIENCE, Service};

/// Between two tries while nobody answers.
const PAUSE: Duration = Duration::from_millis(20);
/// Larger than what is kept as a row: these bodies are segments.
const LARGE: u64 = 200 * 1024;

/// A message that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The id it was acknowledged with, a UUID.
    pub id: String,
    /// When the acknowledgement had arrived, Unix time in microseconds.
    pub at_us: u64,
    /// Octets of its text.
    pub size: usize,
}

/// By subject; no subject is ever used twice.
pub type Book = BTreeMap<String, Acknowledged>;

pub struct Senders {
    stop: Arc<AtomicBool>,
    book: Arc<Mutex<Book>>,
    threads: Vec<JoinHandle<()>>,
}

/// Whom to send to, and how.
#[derive(Clone)]
pub struct Target {
    pub smtp: u16,
    pub http: u16,
    pub tls: Arc<ClientConfig>,
    pub secret: String,
    /// Recipients of a message, with a space between two; these are taken in turn.
    pub recipients: Vec<String>,
    /// One in so many messages is a large one.
    pub large_one_in: u64,
    /// Between two messages of one client.
    pub pace: Duration,
    /// They have sent enough when so many were acknowledged.
    pub most: usize,
}

impl Target {
    pub fn of(service: &Service, secret: &str) -> Self {
        Self {
            smtp: service.smtp,
            http: service.http,
            tls: trusting(&service.pair),
            secret: secret.to_owned(),
            recipients: vec!["b@example.org".to_owned()],
            large_one_in: 10,
            pace: Duration::from_millis(10),
            most: usize::MAX,
        }
    }
}

impl Senders {
    /// So many clients by SMTP and by HTTP. `name` begins their subjects.
    pub fn start(target: &Target, name: &str, smtp: u32, http: u32, dice: &mut Dice) -> Self {
        let (stop, book) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let client = |number: u32, dice: Dice| Client {
            target: target.clone(),
            name: format!("{name}-{number}"),
            sent: 0,
            dice,
            stop: Arc::clone(&stop),
            book: Arc::clone(&book),
        };
        let mut threads = Vec::new();
        for number in 0..smtp + http {
            let client = client(number, Dice::new(dice.number()));
            let run = if number < smtp { Client::by_smtp } else { Client::by_http };
            threads.push(std::thread::spawn(move || run(client)));
        }
        Self { stop, book, threads }
    }

    pub fn book(&self) -> Book {
        lock(&self.book).clone()
    }

    pub fn acknowledged(&self) -> usize {
        lock(&self.book).len()
    }

    pub fn stop(self) -> Book {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client found what may not be");
        }
        lock(&self.book).clone()
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text of a message follows from its subject and size, so that whoever receives it can tell whether it is whole.
pub fn text(subject: &str, size: usize) -> String {
    let mut text = String::with_capacity(size + 128);
    let mut line = 0;
    while text.len() < size {
        text.push_str(&format!("{subject} line {line} {}\r\n", "x".repeat(40)));
        line += 1;
    }
    text
}

struct Client {
    target: Target,
    name: String,
    sent: u64,
    dice: Dice,
    stop: Arc<AtomicBool>,
    book: Arc<Mutex<Book>>,
}

impl Client {
    fn by_smtp(mut self) {
        while !self.stopped() {
            // Whoever it speaks with may fall at any word: then it begins anew.
            if self.smtp_session().is_none() {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn smtp_session(&mut self) -> Option<()> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target.smtp)).ok()?;
        let mut session = Smtp::over(stream).try_secure(&self.target.tls)?;
        let login = STANDARD.encode(format!("\0{CREDENTIAL}\0{}", self.target.secret));
        if session.try_say(&format!("AUTH PLAIN {login}"))? != 235 {
            return None;
        }
        while !self.stopped() {
            let (subject, size) = self.next();
            let id = self.smtp_message(&mut session, &subject, size)?;
            self.keep(subject, id, size);
            std::thread::sleep(self.target.pace);
        }
        Some(())
    }

    /// The id it was kept under; none for every other end.
    fn smtp_message(&mut self, session: &mut Smtp<Tls>, subject: &str, size: usize) -> Option<String> {
        let recipients = self.recipients().into_iter().map(|recipient| format!("RCPT TO:<{recipient}>"));
        for command in ["MAIL FROM:<a@example.net>".to_owned()].into_iter().chain(recipients) {
            (session.try_say(&command)? == 250).then_some(())?;
        }
        (session.try_say("DATA")? == 354).then_some(())?;
        let head = format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: {subject}\r\n\r\n");
        let (code, words) = session.try_ask(&format!("{head}{}.", text(subject, size)))?;
        let id = words.rsplit(' ').next().unwrap_or_default().to_owned();
        (code == 250).then_some(id)
    }

    fn by_http(mut self) {
        while !self.stopped() {
            if self.http_connection().is_none() {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn http_connection(&mut self) -> Option<()> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.target.http)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut stream = BufReader::new(stream);
        while !self.stopped() {
            let (subject, size) = self.next();
            let body = serde_json::json!({
                "from": "a@example.net", "to": self.recipients(), "subject": subject, "text": text(&subject, size),
            });
            let answer = post(&mut stream, &self.target.secret, &body.to_string())?;
            self.keep(subject, answer["id"].as_str()?.to_owned(), size);
            std::thread::sleep(self.target.pace);
        }
        Some(())
    }

    fn next(&mut self) -> (String, usize) {
        self.sent += 1;
        let size = if self.dice.one_in(self.target.large_one_in) {
            LARGE + self.dice.below(LARGE)
        } else {
            100 + self.dice.below(2000)
        };
        (format!("{}-{}", self.name, self.sent), usize::try_from(size).unwrap())
    }

    fn recipients(&self) -> Vec<&str> {
        let turn = usize::try_from(self.sent).unwrap() % self.target.recipients.len();
        self.target.recipients[turn].split(' ').collect()
    }

    fn keep(&self, subject: String, id: String, size: usize) {
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{subject} was acknowledged with {id:?}");
        let before = lock(&self.book).insert(subject, Acknowledged { id, at_us: now_us(), size });
        assert!(before.is_none(), "a subject was used twice");
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || lock(&self.book).len() >= self.target.most
    }
}

pub fn now_us() -> u64 {
    unix_us(SystemTime::now())
}

pub fn unix_us(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// One request on a connection that is kept; the answer when it was 202.
fn post(stream: &mut BufReader<TcpStream>, secret: &str, body: &str) -> Option<serde_json::Value> {
    let request = format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes()).ok()?;
    let (mut line, mut length, mut status) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if status.is_empty() {
            status = line.clone();
        }
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).ok()?;
    status.starts_with("HTTP/1.1 202 ").then(|| serde_json::from_slice(&content).ok())?
}
