//! Claims: whoever watches the service is told whether it takes mail, by what the vault has found by itself and not by a question to
//! it; and only from where it may be watched. What is counted is what was done.

#[path = "operations/metrics.rs"]
mod metrics;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output, Stdio};

use metrics::{Page, await_page, post};
use serde_json::Value;
use support::{CREDENTIAL, PATIENCE, Service, Setting, await_that};

/// The status and the body of what is asked at a path.
fn ask(service: &Service, path: &str) -> (u16, String) {
    let response = service.http(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {response}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// What it says of being ready: the status, the word, the reasons.
fn ready(service: &Service) -> (u16, String, Vec<String>) {
    let (status, body) = ask(service, "/readyz");
    let body: Value = serde_json::from_str(&body).unwrap();
    let reasons = body["reasons"].as_array().into_iter().flatten();
    (status, body["status"].as_str().unwrap().to_owned(), reasons.map(|one| one.as_str().unwrap().to_owned()).collect())
}

fn await_ready(service: &Service, status: u16, word: &str, reasons: &[&str]) {
    let wanted = (status, word.to_owned(), reasons.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    let mut last = None;
    let deadline = std::time::Instant::now() + PATIENCE;
    while last.as_ref() != Some(&wanted) {
        assert!(std::time::Instant::now() < deadline, "it is {last:?} and not {wanted:?}\n{}", service.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
        last = Some(ready(service));
    }
}

#[test]
fn rule_o1_readiness_follows_the_service_through_its_states() {
    let more = "[spool]\nretry = [\"1s\"]\nshed_messages = [2, 2]".into();
    let closed = support::free_port();
    let mut service =
        Service::start_with(&Setting { more, host: Some(format!("127.0.0.1:{closed}")), ..Setting::default() });
    await_ready(&service, 200, "ready", &[]);
    assert_eq!(ask(&service, "/livez"), (200, r#"{"status":"ok"}"#.to_owned()));

    // An upstream that can't be reached: mail is taken and waits. With more than may wait: none is.
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("one"), 250);
    await_ready(&service, 200, "degraded", &["upstream"]);
    assert_eq!(session.send("two"), 250);
    await_ready(&service, 503, "unavailable", &["load", "upstream"]);
    drop(session);

    // More than a disk of these tests has.
    service.end();
    let text = fs::read_to_string(service.config()).unwrap();
    let full = text.replace("[spool]", "[spool]\nreserve = 1_099_511_627_776\nballast = 0");
    fs::write(service.config(), full.replace("shed_messages = [2, 2]", "")).unwrap();
    service.start_again();
    await_that("room is short", || ready(&service).2.iter().any(|reason| reason == "room"));
    assert_eq!(ready(&service).0, 503);
    assert_eq!(ask(&service, "/livez").0, 200, "the process lives");
    service.stop();
}

#[test]
fn rule_o1_without_its_vault_it_is_not_ready_and_with_the_next_one_it_is() {
    let service = Service::start();
    await_ready(&service, 200, "ready", &[]);
    let vault = support::processes::children(service.pid())["vault"];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(vault as i32), nix::sys::signal::Signal::SIGSTOP).unwrap();
    await_ready(&service, 503, "unavailable", &["vault"]);
    assert_eq!(ask(&service, "/livez").0, 200);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(vault as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    await_ready(&service, 200, "ready", &[]);
    service.stop();
}

#[test]
fn rule_o2_from_elsewhere_nothing_is_told_but_that_the_process_answers() {
    let port = support::free_port();
    let more = format!(
        "[[listener]]\nname = \"far\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\nserve = [\"ops\"]\n\
         ops_networks = [\"192.0.2.0/24\"]\n"
    );
    let mut service = Service::start_with(&Setting { more, ..Setting::default() });
    await_ready(&service, 200, "ready", &[]);
    let near = std::mem::replace(&mut service.http, port);
    assert_eq!(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).port(), service.http);
    let (status, body) = ask(&service, "/readyz");
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("ops_networks") && !body.contains("ready\""), "{body}");
    assert_eq!((ask(&service, "/livez").0, ask(&service, "/healthz").0, ask(&service, "/v1/send").0), (200, 200, 404));
    service.http = near;
    assert_eq!(ready(&service).0, 200);
    service.stop();
}

#[test]
fn rule_o3_what_is_counted_is_what_was_done_under_labels_that_were_there_before() {
    let more = "[[upstream]]\nname = \"other\"\nkind = \"smtp\"\nhosts = [\"127.0.0.1:9\"]\ntls = \"none\"\n".into();
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    await_ready(&service, 200, "ready", &[]);
    let ready = ("gatepost_ready", 1.0);
    let before = await_page(&service, &Page::new(), &[ready, ("gatepost_config_last_reload_successful", 1.0)]);
    let touched =
        |page: &Page| page.iter().filter(|(name, value)| name.contains("messages_re") && **value > 0.0).count();
    assert_eq!(touched(&before), 0);

    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!((session.send("a private matter"), session.send("a private matter")), (250, 250));
    // A sender that isn't its own is turned away before a recipient is asked for.
    assert!(session.say("MAIL FROM:<a@elsewhere.example>") >= 500);
    let mut guess = service.connect().secure(&support::smtp::trusting(&service.pair));
    assert_eq!(guess.log_in("gp_live_wrong"), 535);
    assert_eq!(post(&service, &secret, "a@example.net"), "202");
    assert_eq!(post(&service, &secret, "a@elsewhere.example"), "403");
    let sent = service.command(&["send", "--to", "b@example.org", "--subject", "a private matter"]);
    assert!(sent.status.success(), "{sent:?}");

    let wanted = [
        ("gatepost_messages_received_total{protocol=\"smtp\",result=\"accepted\"}", 2.0),
        ("gatepost_messages_received_total{protocol=\"smtp\",result=\"rejected\"}", 1.0),
        ("gatepost_messages_rejected_total{protocol=\"smtp\",reason=\"sender-not-allowed\"}", 1.0),
        ("gatepost_messages_received_total{protocol=\"http\",result=\"accepted\"}", 1.0),
        ("gatepost_messages_rejected_total{protocol=\"http\",reason=\"sender-not-allowed\"}", 1.0),
        ("gatepost_messages_received_total{protocol=\"command\",result=\"accepted\"}", 1.0),
        ("gatepost_auth_attempts_total{protocol=\"smtp\",result=\"ok\"}", 1.0),
        ("gatepost_auth_attempts_total{protocol=\"smtp\",result=\"failed\"}", 1.0),
        ("gatepost_auth_attempts_total{protocol=\"http\",result=\"ok\"}", 2.0),
        ("gatepost_message_recipients_count", 4.0),
        ("gatepost_message_recipients_bucket{le=\"1\"}", 4.0),
        ("gatepost_message_size_bytes_count", 4.0),
        ("gatepost_deliveries_total{upstream=\"sink\",outcome=\"accepted\"}", 4.0),
        ("gatepost_deliveries_total{upstream=\"sink\",outcome=\"failed\"}", 0.0),
        ("gatepost_delivery_attempts_total{upstream=\"sink\",result=\"accepted\"}", 4.0),
        ("gatepost_delivery_latency_seconds_count{upstream=\"sink\"}", 4.0),
        ("gatepost_audit_events_total{event=\"msg.accept\"}", 4.0),
        ("gatepost_audit_events_total{event=\"deliver.success\"}", 4.0),
        ("gatepost_upstream_up{upstream=\"sink\"}", 1.0),
        ("gatepost_queue_messages", 0.0),
        ("gatepost_queue_oldest_message_age_seconds", 0.0),
    ];
    let after = await_page(&service, &before, &wanted);
    assert!(after["gatepost_spool_commit_duration_seconds_count"] > 4.0 && after["gatepost_spool_free_bytes"] > 0.0);
    assert_eq!(touched(&after), 7, "and nothing else: {after:#?}");
    // The labels are a closed set: what was done adds no series.
    let names = |page: &Page| page.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&before), names(&after));
    let text = ask(&service, "/metrics").1;
    for private in [CREDENTIAL, &secret, "example", "127.0.0.1", "private", "gp_live", "gate.test"] {
        assert!(!text.contains(private), "{private} is shown");
    }
    service.stop();
}

#[test]
fn rule_o3_what_waits_has_an_age_and_a_vault_that_begins_anew_counts_from_0() {
    let closed = support::free_port();
    let host = Some(format!("127.0.0.1:{closed}"));
    let service = Service::start_with(&Setting { host, ..Setting::default() });
    await_ready(&service, 200, "ready", &[]);
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("one"), 250);
    let wanted = [
        ("gatepost_queue_messages", 1.0),
        ("gatepost_upstream_up{upstream=\"sink\"}", 0.0),
        ("gatepost_upstream_circuit_open{upstream=\"sink\"}", 1.0),
        ("gatepost_ready_reason{reason=\"upstream\"}", 1.0),
        ("gatepost_messages_received_total{protocol=\"smtp\",result=\"accepted\"}", 1.0),
    ];
    let first = await_page(&service, &Page::new(), &wanted);
    assert!(
        first["gatepost_queue_bytes"] > 0.0 && first["gatepost_queue_oldest_message_age_seconds"] > 0.0,
        "{first:#?}"
    );
    support::await_that("it is seen to wait, between attempts", || {
        metrics::page(&service)["gatepost_queue_longest_wait_seconds"] > 0.0
    });
    // From its beginning, also when an attempt that isn't counted has put it off.
    for _ in 0..8 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let page = metrics::page(&service);
        let [age, wait] =
            ["gatepost_queue_oldest_message_age_seconds", "gatepost_queue_longest_wait_seconds"].map(|name| page[name]);
        assert!(wait + 2.0 > age, "it waits for {wait} s, and is {age} s old");
    }

    let vault = support::processes::children(service.pid())["vault"];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(vault as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    let wanted = [
        ("gatepost_messages_received_total{protocol=\"smtp\",result=\"accepted\"}", 0.0),
        ("gatepost_audit_events_total{event=\"daemon.crash\"}", 1.0),
        ("gatepost_queue_messages", 1.0),
    ];
    let second = await_page(&service, &Page::new(), &wanted);
    assert!(second["process_start_time_seconds"] > first["process_start_time_seconds"]);
    service.stop();
}

#[test]
fn rule_o3_what_edges_meet_is_counted_and_a_new_vault_hears_what_is_open() {
    let service = Service::start();
    await_ready(&service, 200, "ready", &[]);
    let secret = service.add_credential();
    // The last one is of the parent, which may say it after the vault is ready.
    let listening = [
        ("gatepost_ready", 1.0),
        ("gatepost_http_requests_in_flight", 0.0),
        ("gatepost_config_last_reload_successful", 1.0),
    ];
    let before = await_page(&service, &Page::new(), &listening);
    let of = |page: &Page, name: &str| page[name];
    let ops = "gatepost_http_requests_total{surface=\"ops\",code=\"200\"}";

    assert_eq!(post(&service, &secret, "a@example.net"), "202");
    assert_eq!(post(&service, &secret, "a@elsewhere.example"), "403");
    let answer = service.http("GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let answer =
        service.http("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let session = service.log_in(&secret);
    let mut broken = service.connect();
    assert_eq!((broken.code(), broken.say("EHLO a.example"), broken.say("STARTTLS")), (220, 250, 220));
    broken.stream().write_all(b"this is no TLS at all\r\n").unwrap();

    let wanted = [
        ("gatepost_http_requests_total{surface=\"v1\",code=\"202\"}", 1.0),
        ("gatepost_http_requests_total{surface=\"v1\",code=\"403\"}", 1.0),
        ("gatepost_http_requests_total{surface=\"v1\",code=\"404\"}", 1.0),
        ("gatepost_http_requests_total{surface=\"v1\",code=\"500\"}", 0.0),
        ("gatepost_http_request_duration_seconds_count{surface=\"v1\"}", 3.0),
        ("gatepost_http_request_duration_seconds_bucket{surface=\"v1\",le=\"90\"}", 3.0),
        ("gatepost_http_request_body_bytes_count{surface=\"v1\"}", 2.0),
        ("gatepost_http_request_body_bytes_bucket{surface=\"v1\",le=\"1024\"}", 2.0),
        ("gatepost_http_request_body_bytes_bucket{surface=\"ops\",le=\"33554432\"}", 0.0),
        ("gatepost_http_protocol_errors_total{reason=\"framing\"}", 1.0),
        ("gatepost_connections_total{listener=\"submission\",result=\"begun\"}", 2.0),
        ("gatepost_connections_total{listener=\"submission\",result=\"tls_error\"}", 1.0),
        ("gatepost_connections_total{listener=\"submission\",result=\"crowded\"}", 0.0),
        ("gatepost_connections_open{listener=\"submission\"}", 1.0),
        ("gatepost_panics_total{protocol=\"http\"}", 0.0),
    ];
    let after = await_page(&service, &before, &wanted);
    assert!(of(&after, ops) > of(&before, ops), "each scrape is one");
    let names = |page: &Page| page.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&before), names(&after), "the labels are a closed set");

    let vault = support::processes::children(service.pid())["vault"];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(vault as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    let wanted = [
        ("gatepost_audit_events_total{event=\"daemon.crash\"}", 1.0),
        ("gatepost_http_requests_total{surface=\"v1\",code=\"202\"}", 0.0),
        ("gatepost_connections_open{listener=\"submission\"}", 1.0),
    ];
    await_page(&service, &Page::new(), &wanted);
    drop(session);
    await_page(&service, &Page::new(), &[("gatepost_connections_open{listener=\"submission\"}", 0.0)]);
    service.stop();
}

#[test]
fn every_metric_of_the_shipped_dashboard_and_alerts_is_shown() {
    let service = Service::start();
    let wanted = [("gatepost_ready", 1.0), ("gatepost_config_last_reload_successful", 1.0)];
    await_that("the edges have told of their certificates", || {
        ask(&service, "/metrics").1.contains("gatepost_tls_certificate_expiry_timestamp_seconds{listener=")
    });
    let page = await_page(&service, &Page::new(), &wanted);
    let shown: BTreeSet<&str> = page.keys().filter_map(|series| series.split('{').next()).collect();
    for (file, alerts) in [("etc/grafana/gatepost.json", 0), ("etc/prometheus/gatepost.rules.yml", 9)] {
        let root = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
        let text = fs::read_to_string(root.join(file)).unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("gatepost_") || word.starts_with("process_")).collect();
        assert!(named.len() > 5 && text.matches("- alert: ").count() == alerts, "{file}: {named:?}");
        let missing: Vec<_> = named.difference(&shown).collect();
        assert!(missing.is_empty(), "{file} names what is not shown: {missing:?}");
    }
    service.stop();
}

/// Prometheus' own tool about the rules and a page. What is shipped with it is read by nobody else before it is used.
#[test]
fn prometheus_reads_the_page_and_calls_when_it_should() {
    let service = Service::start();
    await_ready(&service, 200, "ready", &[]);
    let (status, page) = ask(&service, "/metrics");
    assert_eq!(status, 200);
    promtool(&["check", "metrics"], &page);
    // It passes nothing unseen.
    let broken = page.replacen("# TYPE gatepost_ready gauge", "# TYPE gatepost_ready counter", 1);
    assert_ne!(broken, page, "{page}");
    assert!(!promtool_output(&["check", "metrics"], &broken).status.success());
    service.stop();

    let root = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    for file in ["etc/prometheus/gatepost.rules.yml", "tests/operations/alerts.yml"] {
        let name = std::path::Path::new(file).file_name().unwrap();
        fs::copy(root.join(file), folder.path().join(name)).unwrap();
    }
    let at = |name: &str| folder.path().join(name).display().to_string();
    promtool(&["check", "rules", &at("gatepost.rules.yml")], "");
    promtool(&["test", "rules", &at("alerts.yml")], "");
}

fn promtool(words: &[&str], input: &str) {
    let output = promtool_output(words, input);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said));
}

/// The installed one, or that which tools/test.sh took out of Debian's package.
fn promtool_output(words: &[&str], input: &str) -> Output {
    let root = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let ours = root.join("target/clients/promtool");
    let program = if ours.exists() { ours } else { "promtool".into() };
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("promtool is needed: run tools/test.sh ({error})"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
