//! Claim: thousands of TLS connections, over both TLS versions and many at a time, end with every process alive and none
//! killed by its system call filter. 4,000; `GATEPOST_LONG=1` makes it 20,000.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use support::smtp::{restricted, trusting};
use support::{CREDENTIAL, Service, Setting, Smtp, processes};

const AT_A_TIME: u32 = 8;

#[test]
fn thousands_of_tls_connections_kill_nobody() {
    let connections = if std::env::var_os("GATEPOST_LONG").is_some() { 20_000 } else { 4000 };
    let service = Service::start_with(&Setting { limits: "idle_strange = \"2m\"".to_owned(), ..Setting::default() });
    let secret = service.add_credential();
    let before = processes::children(service.pid());
    let done = Arc::new(AtomicU32::new(0));
    let clients: Vec<_> = (0..AT_A_TIME)
        .map(|client| {
            let version = if client % 2 == 0 { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
            let (port, config, done) = (service.smtp, restricted(&service.pair, version), Arc::clone(&done));
            std::thread::spawn(move || {
                while done.fetch_add(1, Ordering::Relaxed) < connections {
                    let mut session = Smtp::connect(port).secure(&config);
                    // Every other one leaves without a word, as strangers do.
                    if client % 4 < 2 {
                        assert_eq!(session.say("QUIT"), 221);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a connection failed");
    }
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235, "{CREDENTIAL} can still log in");
    assert_eq!(session.send("after the load"), 250);
    assert_eq!(processes::children(service.pid()), before, "everybody is still the same process");
    let log = service.stop();
    assert!(!log.contains("a process fell"), "{log}");
}
