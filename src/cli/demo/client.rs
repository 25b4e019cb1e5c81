//! The application of the demonstration: a plain blocking client of each protocol that shows what it says and hears.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::screen::Screen;
use super::{RECIPIENT, SENDER};

/// How long any single answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Client<'a> {
    tls: Arc<ClientConfig>,
    screen: &'a Screen,
}

impl<'a> Client<'a> {
    /// Trusts the one certificate of the demonstration, and really checks it.
    pub fn new(certificate: &str, screen: &'a Screen) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let certificate =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| format!("{error:?}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: Arc::new(config), screen })
    }

    pub fn send_by_smtp(&mut self, port: u16, user: &str, secret: &str) -> Result<(), String> {
        let plain = self.greet(port)?;
        let mut talk = self.start_tls(plain)?;
        self.say(&mut talk, "EHLO printer.example.net", "250")?;
        let token = STANDARD.encode(format!("\0{user}\0{secret}"));
        self.say_as(&mut talk, &format!("AUTH PLAIN {token}"), "AUTH PLAIN [hidden]", "235")?;
        self.say(&mut talk, &format!("MAIL FROM:<{SENDER}>"), "250")?;
        self.say(&mut talk, &format!("RCPT TO:<{RECIPIENT}>"), "250")?;
        self.say(&mut talk, "DATA", "354")?;
        let message = format!(
            "From: Printer <{SENDER}>\r\nTo: {RECIPIENT}\r\nSubject: Scan 1 of 1\r\n\r\n\
             Sent by SMTP.\r\n..A line that begins with a dot stays as it is.\r\n."
        );
        self.say_as(&mut talk, &message, "(header, text, final dot)", "250")?;
        self.say(&mut talk, "QUIT", "221")
    }

    /// Plaintext, no login: MAIL must be refused.
    pub fn fail_by_smtp(&mut self, port: u16) -> Result<(), String> {
        let plain = self.greet(port)?;
        let mut talk = self.start_tls(plain)?;
        self.say(&mut talk, "EHLO stranger.example", "250")?;
        self.say(&mut talk, &format!("MAIL FROM:<{SENDER}>"), "530")?;
        self.say(&mut talk, "QUIT", "221")
    }

    fn greet(&self, port: u16) -> Result<Talk<TcpStream>, String> {
        let mut talk = Talk { stream: BufReader::new(connect(port)?) };
        self.hear(&mut talk, "220")?;
        self.say(&mut talk, "EHLO printer.example.net", "250")?;
        Ok(talk)
    }

    fn start_tls(&self, mut plain: Talk<TcpStream>) -> Result<Talk<StreamOwned<ClientConnection, TcpStream>>, String> {
        self.say(&mut plain, "STARTTLS", "220")?;
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(|error| error.to_string())?;
        Ok(Talk { stream: BufReader::new(StreamOwned::new(connection, plain.stream.into_inner())) })
    }

    pub fn send_by_http(&mut self, port: u16, secret: &str) -> Result<(), String> {
        let body = serde_json::json!({
            "from": SENDER,
            "to": [RECIPIENT],
            "subject": "Invoice 2026-118",
            "text": "Sent by HTTP.",
        })
        .to_string();
        let head = format!("POST /v1/send HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n");
        let request = format!(
            "{head}Authorization: Bearer {secret}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.screen.quote(&format!("> POST /v1/send  {body}"));
        let mut stream = connect(port)?;
        let mut answer = String::new();
        let exchanged = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        exchanged.map_err(|error| format!("speaking HTTP: {error}"))?;
        let status = answer.lines().next().unwrap_or_default().to_owned();
        let json = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        self.screen.quote(&format!("< {status}  {json}"));
        if status.split(' ').nth(1) == Some("202") { Ok(()) } else { Err(format!("expected 202, got: {status}")) }
    }

    fn say<S: Read + Write>(&self, talk: &mut Talk<S>, line: &str, expected: &str) -> Result<(), String> {
        self.say_as(talk, line, line, expected)
    }

    fn say_as<S: Read + Write>(
        &self,
        talk: &mut Talk<S>,
        line: &str,
        shown: &str,
        expected: &str,
    ) -> Result<(), String> {
        self.screen.quote(&format!("> {shown}"));
        let stream = talk.stream.get_mut();
        let written =
            stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\r\n")).and_then(|()| stream.flush());
        written.map_err(|error| format!("speaking SMTP: {error}"))?;
        self.hear(talk, expected)
    }

    /// Takes one reply of any number of lines (RFC 5321 section 4.2.1) and compares its code.
    fn hear<S: Read + Write>(&self, talk: &mut Talk<S>, expected: &str) -> Result<(), String> {
        loop {
            let mut line = String::new();
            let read = talk.stream.read_line(&mut line).map_err(|error| format!("waiting for {expected}: {error}"))?;
            if read == 0 {
                return Err(format!("the connection closed where {expected} was expected"));
            }
            self.screen.quote(&format!("< {}", line.trim_end()));
            if !line.starts_with(expected) {
                return Err(format!("expected {expected}, got: {}", line.trim_end()));
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

/// A stream read by lines.
struct Talk<S> {
    stream: BufReader<S>,
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).and_then(|stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    connected.map_err(|error| format!("connecting to 127.0.0.1:{port}: {error}"))
}
