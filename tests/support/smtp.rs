//! A blocking SMTP client that says exactly what a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::{CREDENTIAL, PATIENCE, Pair};

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

pub struct Smtp<S: Read + Write> {
    stream: BufReader<S>,
}

/// The response of PLAIN for the usual credential.
pub fn plain(secret: &str) -> String {
    STANDARD.encode(format!("\0{CREDENTIAL}\0{secret}"))
}

/// A client configuration that trusts one self-signed certificate.
pub fn trusting(pair: &Pair) -> Arc<ClientConfig> {
    configured(pair, rustls::DEFAULT_VERSIONS)
}

/// As `trusting`, with one version of TLS alone.
pub fn restricted(pair: &Pair, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    configured(pair, &[version])
}

fn configured(pair: &Pair, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Smtp<TcpStream> {
    pub fn connect(port: u16) -> Self {
        Self::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// EHLO, STARTTLS, EHLO again.
    pub fn secure(mut self, config: &Arc<ClientConfig>) -> Smtp<Tls> {
        assert_eq!(self.code(), 220);
        assert_eq!(self.say("EHLO client.example"), 250);
        assert_eq!(self.say("STARTTLS"), 220);
        let mut secured = self.shake_hands(config);
        assert_eq!(secured.say("EHLO client.example"), 250);
        secured
    }

    /// As `secure`; none when the other side is gone, or has no time.
    pub fn try_secure(mut self, config: &Arc<ClientConfig>) -> Option<Smtp<Tls>> {
        let open = self.try_code()? == 220 && self.try_say("EHLO client.example")? == 250;
        (open && self.try_say("STARTTLS")? == 220).then_some(())?;
        let mut secured = self.shake_hands(config);
        (secured.try_say("EHLO client.example")? == 250).then_some(secured)
    }

    /// Nothing that was said may be waiting to be read.
    pub fn shake_hands(self, config: &Arc<ClientConfig>) -> Smtp<Tls> {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Smtp { stream: BufReader::new(StreamOwned::new(connection, self.stream.into_inner())) }
    }
}

impl Smtp<Tls> {
    pub fn log_in(&mut self, secret: &str) -> u16 {
        self.try_log_in(secret).expect("no reply to a login")
    }

    /// As `log_in`; none when the connection is gone.
    pub fn try_log_in(&mut self, secret: &str) -> Option<u16> {
        self.try_say(&format!("AUTH PLAIN {}", plain(secret)))
    }

    /// One whole message; the code of the reply to the dot.
    pub fn send(&mut self, subject: &str) -> u16 {
        assert_eq!(self.say("MAIL FROM:<a@example.net>"), 250);
        assert_eq!(self.say("RCPT TO:<b@example.org>"), 250);
        assert_eq!(self.say("DATA"), 354);
        self.say(&format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: {subject}\r\n\r\nHello.\r\n."))
    }
}

impl<S: Read + Write> Smtp<S> {
    /// Says a line and takes the reply's code.
    pub fn say(&mut self, line: &str) -> u16 {
        self.try_say(line).unwrap_or_else(|| panic!("no reply to {line:?}"))
    }

    /// As `say`; none when the connection is gone.
    pub fn try_say(&mut self, line: &str) -> Option<u16> {
        self.try_ask(line).map(|(code, _)| code)
    }

    /// As `try_say`, with the words of the reply's last line.
    pub fn try_ask(&mut self, line: &str) -> Option<(u16, String)> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        stream.flush().ok()?;
        self.try_reply()
    }

    /// The stream itself, for what isn't SMTP. Nothing may be waiting in the buffer.
    pub fn stream(&mut self) -> &mut S {
        self.stream.get_mut()
    }

    pub fn code(&mut self) -> u16 {
        self.try_code().expect("no reply")
    }

    /// One reply, of any number of lines; its code. None when the connection closed or was silent too long.
    pub fn try_code(&mut self) -> Option<u16> {
        self.try_reply().map(|(code, _)| code)
    }

    fn try_reply(&mut self) -> Option<(u16, String)> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some((line.get(..3)?.parse().ok()?, line.get(4..)?.trim_end().to_owned()));
            }
        }
    }
}
