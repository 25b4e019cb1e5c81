//! A small SMTP server that keeps what it is sent: the upstream of `gatepost demo` and of tests, which also make it misbehave.
//!
//! It runs on threads, outside any sandbox, and is no part of a running service.

mod login;
mod session;

use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;

/// What it offers and how it misbehaves.
#[derive(Clone)]
pub struct Options {
    pub hostname: String,
    /// Keywords of the EHLO reply; STARTTLS and AUTH are added where they apply.
    pub keywords: Vec<String>,
    pub tls: Option<Arc<ServerConfig>>,
    /// TLS from the first octet, instead of by STARTTLS.
    pub implicit: bool,
    /// User name and password; MAIL needs a login then.
    pub login: Option<(String, String)>,
    /// SASL mechanisms that are offered.
    pub mechanisms: String,
    /// Recipients that contain the first text are answered with the second.
    pub refuse: Vec<(String, String)>,
    pub faults: Vec<Fault>,
    /// What it does beyond the table, asked at every phase of every connection.
    pub whim: Option<Whim>,
}

/// Decides about one phase of one connection; none is to do as usual.
pub type Whim = Arc<dyn Fn(Phase) -> Option<Act> + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self {
            hostname: "sink.example".into(),
            keywords: ["PIPELINING", "SIZE 52428800", "8BITMIME"].map(str::to_owned).to_vec(),
            tls: None,
            implicit: false,
            login: None,
            mechanisms: "PLAIN LOGIN".into(),
            refuse: Vec::new(),
            faults: Vec::new(),
            whim: None,
        }
    }
}

/// Where a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The connection is there, and nothing was said.
    Connect,
    /// TLS, when the client has begun it.
    Handshake,
    Greeting,
    Ehlo,
    Starttls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// While the content arrives.
    Content,
    /// A chunk but the last, when it has arrived. The last one is `Dot`.
    Chunk,
    Dot,
    Rset,
    Quit,
}

/// One canned misbehaviour.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Phase,
    /// On this connection alone, counted from 0; on each when none.
    pub connection: Option<usize>,
    /// The phase passes this many times on a connection before the fault.
    pub after: usize,
    pub act: Act,
}

impl Fault {
    /// On every connection, at once.
    pub fn at(at: Phase, act: Act) -> Self {
        Self { at, connection: None, after: 0, act }
    }

    /// A reply line instead of the usual one.
    pub fn say(at: Phase, line: &str) -> Self {
        Self::at(at, Act::Say(format!("{line}\r\n").into_bytes()))
    }
}

#[derive(Clone, Debug)]
pub enum Act {
    /// Say these octets instead of the reply, and do nothing else about the command.
    Say(Vec<u8>),
    Close,
    /// End the connection by RST, as a machine that has lost its power or a middlebox that has had enough does: what was said and is
    /// still under way is lost with it.
    Reset,
    /// Say nothing more until the client leaves.
    Hang,
    /// At the end of content: keep the message and close without a word. Elsewhere as `Close`.
    Swallow,
}

/// One message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub sender: String,
    pub recipients: Vec<String>,
    /// Dots un-stuffed, lines as they came.
    pub content: Vec<u8>,
    pub tls: bool,
    /// Who logged in.
    pub authenticated: Option<String>,
    /// When it was whole: before the reply that takes it.
    pub at: SystemTime,
    /// That reply was said.
    pub answered: bool,
}

/// What it has seen beside whole messages.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub connections: usize,
    /// Those whose end the sink has come to.
    pub over: usize,
    /// Connections that ended while content was arriving, without the final dot.
    pub broken_off: usize,
    /// The commands of all connections, AUTH's arguments left out.
    pub commands: Vec<String>,
    /// By which mechanisms clients have tried to log in.
    pub mechanisms: Vec<String>,
}

/// A running sink. Its threads end with the process.
#[derive(Debug)]
pub struct Sink {
    messages: Receiver<Received>,
    tally: Arc<Mutex<Tally>>,
}

impl Sink {
    /// Serves a listening socket. Messages wait until they are asked for.
    pub fn start(listener: TcpListener, options: Options) -> Self {
        let (keep, messages) = mpsc::channel();
        let tally = Arc::new(Mutex::new(Tally::default()));
        let counted = Arc::clone(&tally);
        let options = Arc::new(options);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let number = {
                    let mut tally = lock(&counted);
                    tally.connections += 1;
                    tally.connections - 1
                };
                let (options, tally, keep) = (Arc::clone(&options), Arc::clone(&counted), keep.clone());
                // A client that breaks off is no event here: the tally tells.
                thread::spawn(move || {
                    session::serve(socket, number, &options, &tally, &keep).unwrap_or_default();
                    lock(&tally).over += 1;
                });
            }
        });
        Self { messages, tally }
    }

    /// The next message, if one comes in time.
    pub fn next(&self, timeout: Duration) -> Option<Received> {
        self.messages.recv_timeout(timeout).ok()
    }

    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_message_is_kept_as_it_was_meant_and_one_without_its_dot_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sink = Sink::start(listener, Options::default());
        let mut client = TcpStream::connect(address).unwrap();
        let envelope = "EHLO c\r\nMAIL FROM:<a@b> SIZE=9\r\nRCPT TO:<c@d>\r\nDATA\r\n";
        client.write_all(format!("{envelope}..x\r\na\n.\ny\r\n.\r\n{envelope}cut off\r\n").as_bytes()).unwrap();
        let received = sink.next(Duration::from_secs(10)).unwrap();
        assert_eq!((received.sender.as_str(), received.content.as_slice()), ("a@b", &b".x\r\na\n\ny\r\n"[..]));
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut replies = String::new();
        client.read_to_string(&mut replies).unwrap();
        assert_eq!(replies.matches("354 ").count(), 2);
        assert_eq!((sink.tally().connections, sink.tally().broken_off), (1, 1));
    }
}
