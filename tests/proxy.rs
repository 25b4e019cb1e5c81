//! Claims: behind a real HAProxy that sends PROXY headers of both versions, clients are who the header says: in the audit log,
//! in the caps on sessions, and as devices known by their network. Nobody else can say so: not a client of the proxy, not the
//! proxy itself, and not who reaches the listener without it.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use support::smtp::trusting;
use support::{PATIENCE, Service, Setting, Smtp, await_that, free_port};

/// The proxy's address, and its clients'.
const PROXY: Ipv4Addr = Ipv4Addr::LOCALHOST;
const DEVICE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 8);

/// A listener that takes connections of the proxy alone, and the ports at which the proxy sends to it.
struct Behind {
    port: u16,
    lines: u16,
    blocks: u16,
}

impl Behind {
    fn new() -> Self {
        Self { port: free_port(), lines: free_port(), blocks: free_port() }
    }

    fn listener(&self, name: &str, more: &str) -> String {
        let port = self.port;
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = [\"127.0.0.1:{port}\"]\nproxy_from = [\"{PROXY}\"]\n{more}\n"
        )
    }

    /// The proxy's part: version 2 comes with values, and with a checksum.
    fn proxy(&self) -> String {
        let Self { port, lines, blocks } = self;
        format!(
            "listen lines-{lines}\n  bind 127.0.0.1:{lines}\n  server gate 127.0.0.1:{port} send-proxy\n\
             listen blocks-{blocks}\n  bind 127.0.0.1:{blocks}\n  \
             server gate 127.0.0.1:{port} send-proxy-v2 proxy-v2-options unique-id,crc32c\n  unique-id-format %ci\n"
        )
    }
}

/// A HAProxy that runs until it is dropped.
struct Haproxy(Child);

impl Haproxy {
    fn start(folder: &Path, listeners: &[&Behind]) -> Self {
        let mut text =
            "defaults\n  mode tcp\n  timeout connect 60s\n  timeout client 60s\n  timeout server 60s\n".to_owned();
        text.extend(listeners.iter().map(|listener| listener.proxy()));
        let path = folder.join("haproxy.cfg");
        fs::write(&path, text).unwrap();
        let program =
            ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.expect("haproxy is installed by tools/test.sh"));
        let output = || fs::OpenOptions::new().create(true).append(true).open(folder.join("haproxy.log")).unwrap();
        let child = command.args(["-db", "-f"]).arg(&path).stdin(Stdio::null()).stdout(output()).stderr(output());
        let proxy = Self(child.spawn().unwrap());
        for listener in listeners {
            for port in [listener.lines, listener.blocks] {
                await_that("the proxy listens", || TcpStream::connect((PROXY, port)).is_ok());
            }
        }
        proxy
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect_from(source: Ipv4Addr, port: u16) -> TcpStream {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let [a, b, c, d] = source.octets();
    bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One that says these octets before anything else.
fn saying(source: Ipv4Addr, port: u16, octets: &[u8]) -> TcpStream {
    let mut stream = connect_from(source, port);
    stream.write_all(octets).unwrap();
    stream
}

/// Everything that is said on it.
fn all(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    // What was left unread on the other side makes a reset of the end.
    let end = stream.read_to_end(&mut said);
    assert!(end.is_ok() || end.is_err_and(|error| error.raw_os_error() == Some(nix::libc::ECONNRESET)), "no end");
    String::from_utf8(said).unwrap()
}

/// The first code, and that of MAIL, in a session without a login.
fn mail(stream: TcpStream) -> (u16, u16) {
    let mut session = Smtp::over(stream);
    let greeting = session.code();
    if greeting != 220 {
        return (greeting, 0);
    }
    assert_eq!(session.say("EHLO client.example"), 250);
    (greeting, session.say("MAIL FROM:<printer@example.net>"))
}

#[test]
fn rule_l16_clients_of_a_real_proxy_are_who_its_header_says() {
    let (submission, implicit, api) = (Behind::new(), Behind::new(), Behind::new());
    let more = [
        submission.listener("proxied", "protocol = \"smtp\"\ntls = \"starttls\""),
        implicit.listener("proxied-tls", "protocol = \"smtp\"\ntls = \"implicit\""),
        api.listener("proxied-api", "protocol = \"http\"\nbehind_tls_proxy = true"),
        "[audit]\nmask = \"none\"".to_owned(),
    ];
    let service = Service::start_with(&Setting { more: more.join("\n"), ..Setting::default() });
    let secret = service.add_credential();
    let _proxy = Haproxy::start(service.folder.path(), &[&submission, &implicit, &api]);

    let mut sources = (1..).map(|n| Ipv4Addr::new(127, 0, 2, n));
    let mut expected = Vec::new();
    for port in [submission.lines, submission.blocks] {
        let source = sources.next().unwrap();
        let mut session = Smtp::over(connect_from(source, port)).secure(&trusting(&service.pair));
        assert_eq!(session.log_in(&secret), 235);
        assert_eq!(session.send(&format!("from {source}")), 250);
        expected.push(source);
    }
    for port in [implicit.lines, implicit.blocks] {
        let source = sources.next().unwrap();
        let mut session = Smtp::over(connect_from(source, port)).shake_hands(&trusting(&service.pair));
        assert_eq!(session.code(), 220);
        assert_eq!(session.say("EHLO client.example"), 250);
        assert_eq!(session.log_in(&secret), 235);
        assert_eq!(session.send(&format!("from {source}")), 250);
        expected.push(source);
    }
    for port in [api.lines, api.blocks] {
        let source = sources.next().unwrap();
        let body =
            format!(r#"{{"from":"a@example.net","to":["b@example.org"],"subject":"from {source}","text":"hi"}}"#);
        let request = format!(
            "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let response = all(saying(source, port, request.as_bytes()));
        assert!(response.starts_with("HTTP/1.1 202 "), "{response}");
        expected.push(source);
    }
    service.await_arrival(expected.iter().map(|source| format!("from {source}")).collect());

    let mut events = String::new();
    await_that("the events are published", || {
        let output = service.command(&["audit", "query", "--event", "msg.accept", "--format", "jsonl"]);
        events = String::from_utf8(output.stdout).unwrap();
        events.lines().count() == expected.len()
    });
    for source in &expected {
        assert_eq!(events.matches(&format!("\"{source}\"")).count(), 1, "{source}: {events}");
    }
    assert!(!events.contains(&format!("\"{PROXY}\"")), "{events}");
    service.stop();
}

#[test]
fn rule_l16_rule_s4_devices_and_caps_go_by_the_header_and_nobody_else_may_send_one() {
    let (devices, direct) = (Behind::new(), free_port());
    let more = [
        devices.listener(
            "devices",
            "protocol = \"smtp\"\nidentify_by_network = true\nper_address = 2\nzone = \"devices\"",
        ),
        format!(
            "[[listener]]\nname = \"direct\"\naddress = [\"127.0.0.1:{direct}\"]\nprotocol = \"smtp\"\nper_address = 1"
        ),
        format!(
            "[[credential]]\nid = \"printers\"\nsenders = [\"printer@example.net\"]\nlimits = {{ per_day = 500 }}\n\
             identified_by = [\"{DEVICE}\", \"{PROXY}\"]"
        ),
    ];
    let service = Service::start_with(&Setting { more: more.join("\n"), ..Setting::default() });
    let _proxy = Haproxy::start(service.folder.path(), &[&devices]);
    let line = |source: Ipv4Addr| format!("PROXY TCP4 {source} 192.0.2.10 40000 25\r\n").into_bytes();

    // Who the header names is known, and nobody else.
    for port in [devices.lines, devices.blocks] {
        assert_eq!(mail(connect_from(DEVICE, port)), (220, 250));
        assert_eq!(mail(connect_from(OTHER, port)).0, 220);
        assert_ne!(mail(connect_from(OTHER, port)).1, 250);
        // The proxy's own address, as a client of its own, as nobody's, or left to itself, is no device.
        assert_ne!(mail(connect_from(PROXY, port)).1, 250);
    }
    assert_eq!(mail(saying(PROXY, devices.port, &line(DEVICE))), (220, 250), "this host may send headers");
    assert_ne!(mail(saying(PROXY, devices.port, b"PROXY UNKNOWN\r\n")).1, 250);
    assert_ne!(mail(saying(PROXY, devices.port, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")).1, 250);
    assert_eq!(all(saying(PROXY, devices.port, b"EHLO printer\r\nMAIL FROM:<printer@example.net>\r\n")), "");

    // Without the proxy there is no way in, with a header or without.
    for octets in [&b""[..], &line(DEVICE), b"EHLO printer\r\n"] {
        assert_eq!(all(saying(DEVICE, devices.port, octets)), "", "{octets:?}");
        assert_eq!(all(saying(OTHER, devices.port, octets)), "", "{octets:?}");
    }
    // A client's own header, behind the proxy's, is none.
    for port in [devices.lines, devices.blocks] {
        let stream = saying(OTHER, port, &line(DEVICE));
        stream.shutdown(Shutdown::Write).unwrap();
        let said = all(stream);
        // Before the greeting it is a client that talks too early, behind it an unknown command.
        let early = said.is_empty() || said.starts_with("554 ");
        assert!(early || said.contains("\r\n500 ") && !said.contains("\r\n250"), "{said:?}");
    }

    // Two sessions of one client, by whichever way; others are served.
    let greeted = |source, port| {
        let mut session = Smtp::over(connect_from(source, port));
        (session.code() == 220).then_some(session)
    };
    let mut held: Vec<_> = Vec::new();
    await_that("the earlier sessions are over", || {
        held = [devices.lines, devices.blocks].into_iter().filter_map(|port| greeted(DEVICE, port)).collect();
        held.len() == 2
    });
    for port in [devices.lines, devices.blocks] {
        assert_eq!(mail(connect_from(DEVICE, port)), (421, 0));
        assert!(greeted(OTHER, port).is_some());
    }
    // What they take is not the proxy's, which may be a client itself elsewhere.
    let own = greeted(PROXY, direct);
    assert!(own.is_some() && greeted(PROXY, direct).is_none());
    held.pop();
    await_that("there is room again", || greeted(DEVICE, devices.lines).is_some());
    let log = service.stop();
    for reason in ["it begins like neither version", "too many sessions from there", "NoProxy"] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
}
