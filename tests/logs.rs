//! Claims: the log can be JSON, with names that are documented, and can go to syslog; no secret and no address of mail is in it.

mod support;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::{Map, Value};
use support::{Service, Setting, await_that, open_folder};

fn setting(log: &str) -> Setting {
    Setting { more: format!("[log]\n{log}"), ..Setting::default() }
}

fn objects(log: &str) -> Vec<Map<String, Value>> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn submit(service: &Service, secret: &str) {
    let mut session = service.log_in(secret);
    for (line, code) in [
        ("MAIL FROM:<ann@example.net>", 250),
        ("RCPT TO:<bob@example.org>", 250),
        ("DATA", 354),
        ("From: ann@example.net\r\nTo: bob@example.org\r\nSubject: hush\r\n\r\nhush\r\n.", 250),
        ("QUIT", 221),
    ] {
        assert_eq!(session.say(line), code, "{line}");
    }
}

#[test]
fn lines_as_json_have_names_and_no_secret_and_no_address() {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    open_folder(folder.path());
    // With an anchor in syslog, so that the sealer says its heads.
    let socket = folder.path().join("syslog");
    let _daemon = UnixDatagram::bind(&socket).unwrap();
    let anchor = format!("[[anchor]]\nname = \"syslog\"\nkind = \"syslog\"\nsocket = \"{}\"\n", socket.display());
    let service = Service::start_in(folder, &setting(&format!("format = \"json\"\n{anchor}")));
    let secret = service.add_credential();
    submit(&service, &secret);
    assert_eq!(service.connect().secure(&support::smtp::trusting(&service.pair)).log_in("hunter2"), 535);
    service.sink.next(support::PATIENCE).expect("it arrives");
    for event in ["delivery.delivered", "auth.failure", "msg.accept", "audit.head"] {
        service.await_log(0, &format!("\"event\":\"{event}\""));
    }
    let log = service.stop();
    let all = objects(&log);
    let one = |event: &str| all.iter().find(|one| one["event"] == event).unwrap_or_else(|| panic!("{event}: {log}"));
    let failure = one("auth.failure");
    for (key, value) in [
        ("level", "INFO"),
        ("process", "vault"),
        ("text", "a login failed"),
        ("client", "127.0.0.1"),
        ("account", support::CREDENTIAL),
        ("reason", "wrong-name-or-password"),
    ] {
        assert_eq!(failure[key], value, "{key}: {failure:?}");
    }
    assert!(failure["process_pid"].is_u64() && failure["time"].as_str().unwrap().ends_with('Z'), "{failure:?}");
    // Its id, beside its text.
    assert!(one("msg.accept")["message"].as_str().is_some_and(|id| id.len() == 36), "{log}");
    assert_eq!(one("service.serving")["process"], "parent");
    for hidden in [&secret, "hunter2", "ann@", "bob@", "hush"] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
    let nameless: Vec<_> = all.iter().filter(|one| one["event"] == "other").collect();
    assert!(nameless.is_empty(), "{nameless:?}");
}

#[test]
fn lines_go_to_syslog_with_their_levels_and_to_standard_error_where_nobody_takes_them() {
    for format in ["text", "json"] {
        let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        open_folder(folder.path());
        let path = folder.path().join("syslog");
        let daemon = UnixDatagram::bind(&path).unwrap();
        daemon.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let log = format!("to = \"syslog\"\nformat = \"{format}\"\nsocket = \"{}\"\n", path.display());
        let service = Service::start_in(folder, &setting(&log));
        assert_eq!(service.connect().secure(&support::smtp::trusting(&service.pair)).log_in("hunter2"), 535);
        let mut heard = String::new();
        await_that("the vault and the parent are heard", || {
            let mut octets = [0; 8192];
            let length = daemon.recv(&mut octets).unwrap_or_else(|error| panic!("{error}: {heard}{}", service.log()));
            let line = String::from_utf8_lossy(&octets[..length]).into_owned();
            let (head, text) = line.split_once("]: ").unwrap();
            assert!(["<30>gatepost[", "<28>gatepost["].iter().any(|begin| head.starts_with(begin)), "{line}");
            assert_eq!(head.starts_with("<28>"), text.contains("WARN"), "{line}");
            heard += &format!("{text}\n");
            heard.contains("serving") && heard.contains("a login failed")
        });
        assert!(format == "text" || objects(&heard).len() > 3, "{heard}");
        assert_eq!(service.log(), "");
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        assert!(service.stop().contains("stopped"));
    }
}
