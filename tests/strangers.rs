//! Claims: connections in which nobody logs in, however many and over whatever protocol, take no place from those who have
//! logged in, and keep nobody from logging in.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use support::smtp::trusting;
use support::{PATIENCE, Service, Setting, await_that};

/// Places for strangers, and the connections that nobody logs in to.
const PLACES: usize = 16;
const CROWD: usize = 60;

fn over_http(stream: &mut TcpStream, secret: &str) -> String {
    let body = r#"{"from":"a@example.net","to":["b@example.org"],"subject":"by http","text":"hi"}"#;
    let request = format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = Vec::new();
    let mut octet = [0];
    // The head tells enough; the rest is a line.
    while !response.ends_with(b"\r\n\r\n") && stream.read(&mut octet).unwrap_or(0) == 1 {
        response.extend(octet);
    }
    let head = String::from_utf8(response).unwrap();
    let length =
        head.to_ascii_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).unwrap();
    head
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn is_open(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.read(&mut [0; 512]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn rule_s4_strangers_take_no_place_from_those_who_log_in() {
    let limits = format!("strangers = {PLACES}\nidle_strange = \"10m\"");
    let service = Service::start_with(&Setting { limits, ..Setting::default() });
    let secret = service.add_credential();
    let mut known = service.log_in(&secret);
    let mut keyed = connect(service.http);
    assert!(over_http(&mut keyed, &secret).starts_with("HTTP/1.1 202 "));

    let mut crowd = Vec::new();
    for n in 0..CROWD {
        for port in [service.smtp, service.http] {
            crowd.push(connect(port));
        }
        // Those who come among them get in. Who makes room for them takes two seconds at most to do it.
        if n % 20 == 19 {
            let logged_in = (0..600).find_map(|_| {
                let mut session = service.connect().try_secure(&trusting(&service.pair));
                let code = session.as_mut().and_then(|session| session.try_log_in(&secret));
                std::thread::sleep(std::time::Duration::from_millis(if code == Some(235) { 0 } else { 100 }));
                session.filter(|_| code == Some(235))
            });
            assert_eq!(logged_in.expect("nobody got in").send(&format!("among {n}")), 250);
        }
    }
    assert_eq!(known.send("from before"), 250);
    assert!(over_http(&mut keyed, &secret).starts_with("HTTP/1.1 202 "));
    await_that("most of the crowd is put out", || crowd.iter().filter(|stream| is_open(stream)).count() <= 2 * PLACES);
    let log = service.stop();
    assert!(log.contains("a stranger makes room"), "{log}");
}
