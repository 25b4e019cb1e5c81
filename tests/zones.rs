//! Claims: a zone's connections are served by a process of its own, and whatever becomes of that one is nothing to the sessions of
//! another zone. A device is who it is by its network, at its listener alone.

mod support;

use nix::sys::signal::Signal;
use support::ports::free_port;
use support::smtp::trusting;
use support::{Service, Setting, Smtp, processes};

#[test]
fn a_zone_whose_process_stands_still_or_falls_keeps_nobody_elsewhere_waiting() {
    let devices = free_port();
    let more = format!(
        r#"[[listener]]
name = "devices"
address = ["127.0.0.1:{devices}"]
protocol = "smtp"
tls = "none"
identify_by_network = true
zone = "devices"

[[credential]]
id = "printer"
senders = ["printer@example.net"]
identified_by = ["127.0.0.0/8"]
recipients = {{ allow = ["@example.org"] }}
limits = {{ per_day = 100 }}
"#
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let [main, zone] = ["edge-smtp main", "edge-smtp devices"].map(|title| processes::child(service.pid(), title));
    let mut known = service.log_in(&secret);
    let mut device = Smtp::connect(devices);
    assert_eq!((device.code(), device.say("HELO printer")), (220, 250));
    assert_eq!(device.say("MAIL FROM:<printer@example.net>"), 250);

    // At a listener for logins the same address is nobody.
    let mut stranger = service.connect().secure(&trusting(&service.pair));
    assert_eq!(stranger.say("MAIL FROM:<printer@example.net>"), 530);

    processes::signal(zone, Signal::SIGSTOP);
    assert_eq!(known.send("beside one that stands still"), 250);
    assert_eq!(service.log_in(&secret).send("and newly come"), 250);
    processes::signal(zone, Signal::SIGKILL);
    assert_eq!(device.try_say("RCPT TO:<b@example.org>"), None, "it was that process which served it");
    service.await_log(0, "a fallen process is replaced");
    assert_eq!(known.send("after it fell"), 250);
    assert_eq!(processes::child(service.pid(), "edge-smtp main"), main);

    let mut device = Smtp::connect(devices);
    assert_eq!((device.code(), device.say("HELO printer")), (220, 250));
    assert_eq!(device.say("MAIL FROM:<printer@example.net>"), 250);
    assert_eq!(device.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(device.say("RCPT TO:<b@example.com>"), 550);
    assert_eq!(device.say("DATA"), 354);
    assert_eq!(device.say("From: printer@example.net\r\nSubject: by network\r\n\r\nx\r\n."), 250);
    let subjects = ["beside one that stands still", "and newly come", "after it fell", "by network"];
    service.await_arrival(subjects.map(str::to_owned).to_vec());
    service.stop();
}
