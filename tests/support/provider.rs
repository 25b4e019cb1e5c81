//! A provider for tests: HTTP over TLS, one connection for each request. It remembers what it was told, and answers as the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, Pair, await_that};

/// One request: its line, its headers in small letters, and its body.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Status and body, or none: it takes the request and leaves.
pub type Answer = Option<(u16, String)>;

pub struct Provider {
    pub port: u16,
    pub pair: Pair,
    told: Arc<Mutex<Vec<Request>>>,
}

impl Provider {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(0, Pair::ecdsa(), answer)
    }

    /// At that port, with that certificate.
    pub fn start_at(port: u16, pair: Pair, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (port, told) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::default()));
        let (config, shared, answer) = (pair.server(), Arc::clone(&told), Arc::new(answer));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (config, told, answer) = (Arc::clone(&config), Arc::clone(&shared), Arc::clone(&answer));
                std::thread::spawn(move || serve(socket, config, &told, &*answer));
            }
        });
        Self { port, pair, told }
    }

    /// What it was told so far, once that is so many requests.
    pub fn await_requests(&self, count: usize) -> Vec<Request> {
        await_that(&format!("{count} requests"), || self.told.lock().unwrap().len() >= count);
        self.told.lock().unwrap().clone()
    }
}

fn serve(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    told: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Answer,
) -> Option<()> {
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let stream = StreamOwned::new(ServerConnection::new(config).ok()?, socket);
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), Vec::new());
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let request = Request { line: line.trim_end().to_owned(), headers, body: Vec::new() };
    // A question has none.
    let length = request.headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, length)| length);
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let request = Request { body, ..request };
    let answered = answer(&request);
    told.lock().unwrap().push(request);
    let (status, text) = answered?;
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
    let stream = reader.get_mut();
    stream.write_all(format!("{head}{text}").as_bytes()).ok()?;
    stream.flush().ok()
}
