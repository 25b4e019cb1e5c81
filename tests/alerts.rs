//! Claims: what is wrong with the gate itself is told to its operators, by mail through its own spool and to a webhook, signed as all
//! its events are; once, also over a restart; and a test of that can be had.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use gatepost::sink::Received;
use jiff::{Span, Timestamp, tz::TimeZone};
use serde_json::Value;
use support::provider::Provider;
use support::{PATIENCE, Pair, Service, Setting, await_that, programs};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A certificate that ends in five days.
fn ending() -> Pair {
    let end = Timestamp::now().to_zoned(TimeZone::UTC).checked_add(Span::new().days(5)).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (month, day) = (u8::try_from(end.month()).unwrap(), u8::try_from(end.day()).unwrap());
    params.not_after = rcgen::date_time_ymd(end.year().into(), month, day);
    let key = rcgen::KeyPair::generate().unwrap();
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// The next mail of the gate itself.
fn mail(service: &Service) -> (Received, String) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(received) = service.sink.next(Duration::from_millis(200)) {
            let text = String::from_utf8(received.content.clone()).unwrap();
            return (received, text);
        }
    }
    panic!("no mail came:\n{}", service.log());
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rule_o4_operators_are_told_by_mail_and_webhook_once_and_not_again_after_a_restart() {
    let receiver = Provider::start(|_| Some((204, String::new())));
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    fs::write(folder.path().join("trusted.pem"), &receiver.pair.certificate).unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let (place, port) = (folder.path().display(), receiver.port);
    let more = format!(
        "[[webhook]]\nname = \"ops\"\nurl = \"https://localhost:{port}/ops\"\nsecret_file = \"{place}/secret\"\n\
         authorities_file = \"{place}/trusted.pem\"\n\
         [alerts]\nmail = [\"ops@example.org\", \"night@example.org\"]\nfrom = \"gate@example.net\"\nwebhook = \"ops\"\n"
    );
    let mut service = Service::start_in(folder, &Setting { more, pair: ending(), ..Setting::default() });

    let (received, text) = mail(&service);
    assert_eq!((received.sender.as_str(), received.recipients.len()), ("gate@example.net", 2), "{text}");
    assert!(text.contains("Subject: [gatepost] gate.test.example: certificate submission\r\n"), "{text}");
    assert!(text.contains("\r\nNEW    certificate submission\r\n") && text.contains("it expires in "), "{text}");
    assert!(text.contains("Auto-Submitted: auto-generated\r\n") && !text.contains("Received:"), "{text}");
    let requests = receiver.await_requests(1);
    let told = requests[0].json();
    assert_eq!((&told["type"], &told["data"]["alert"]), (&"gate.alert".into(), &"certificate".into()), "{told}");
    assert_eq!((&told["data"]["state"], &told["data"]["subject"]), (&"begins".into(), &"submission".into()), "{told}");
    assert!(requests[0].header("webhook-signature").starts_with("v1,"));

    let status = service.command(&["alert", "status", "--json"]);
    let shown: Value = serde_json::from_slice(&status.stdout).unwrap_or_else(|_| panic!("{}", programs::said(&status)));
    assert_eq!((status.status.code(), &shown["alert"]), (Some(3), &"certificate".into()));
    let status = service.command(&["status", "--json"]);
    let screen: Value =
        serde_json::from_slice(&status.stdout).unwrap_or_else(|_| panic!("{}", programs::said(&status)));
    let alerts = &screen["alerts"];
    assert_eq!((&alerts["configured"], &alerts["untold_since"]), (&true.into(), &Value::Null), "{alerts}");
    let told = &alerts["told"][0];
    assert_eq!((&told["alert"], &told["subject"]), (&"certificate".into(), &"submission".into()), "{alerts}");
    let screen = String::from_utf8(service.command(&["status"]).stdout).unwrap();
    assert!(
        screen.contains("\nalerts     told=1\n") && screen.contains("\nalert      certificate submission: it "),
        "{screen}"
    );
    let doctor = service.command(&["doctor", "--json", "--offline", "--fallback-ids"]);
    let doctor: Value =
        serde_json::from_slice(&doctor.stdout).unwrap_or_else(|_| panic!("{}", programs::said(&doctor)));
    let found = |id: &str| doctor["findings"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap().clone();
    let (configured, told) = (found("alerts.configured"), found("alerts.told"));
    assert_eq!(configured["what"], "operators are told by mail and by webhook \"ops\"");
    assert!(told["level"] == "warn" && told["what"].as_str().unwrap().ends_with(": certificate submission"), "{told}");
    await_that("the event of it", || events(&service, "alert.begin").len() == 1);
    assert_eq!(events(&service, "alert.begin")[0]["reason"], "certificate");

    service.end();
    service.restart();
    // It looks every five seconds; behind a mail that was told of nothing for a minute, a test is told at once all the same.
    std::thread::sleep(Duration::from_secs(12));
    let tested = service.command(&["alert", "test"]);
    let said = String::from_utf8(tested.stdout.clone()).unwrap();
    assert!(tested.status.success() && said.contains("is on its way to ops@example.org, night@example.org"), "{said}");
    let (_, text) = mail(&service);
    assert!(
        text.contains("Subject: [gatepost] gate.test.example: a test\r\n"),
        "the restart told nobody again: {text}"
    );
    let requests = receiver.await_requests(2);
    assert_eq!((requests.len(), &requests[1].json()["data"]["state"]), (2, &"test".into()));
    await_that("the event of the test", || events(&service, "alert.test").len() == 1);
    assert_eq!(events(&service, "alert.begin").len(), 1);
}

#[test]
fn where_nobody_is_told_the_command_says_so() {
    let service = Service::start();
    for words in [["alert", "status"], ["alert", "test"]] {
        let done = service.command(&words);
        let said = programs::said(&done);
        assert!(done.status.code() == Some(1) && said.contains("[alerts] in gatepost.toml(5)"), "{said}");
    }
}

#[test]
fn the_digest_of_a_day_is_mailed_once_and_printed() {
    // Until five minutes past midnight the day before is not over for it.
    let early = Timestamp::now().as_second() % 86_400;
    std::thread::sleep(Duration::from_secs(u64::try_from(330 - early).unwrap_or_default()));
    let more = "[alerts]\nmail = [\"ops@example.org\"]\nfrom = \"gate@example.net\"\ndigest = 0\n".to_owned();
    let mut service = Service::start_with(&Setting { more, ..Setting::default() });
    let day = |back: i64| (Timestamp::now() - Span::new().hours(24 * back)).to_string()[..10].to_owned();
    let (_, text) = mail(&service);
    assert!(text.contains(&format!("Subject: [gatepost] gate.test.example: digest of {}\r\n", day(1))), "{text}");
    for line in
        ["accepted    0 messages to 0 recipients", "log         no event of that day", "certificate submission: "]
    {
        assert!(text.contains(&format!("\r\n{line}")), "{line}: {text}");
    }
    service.end();
    service.restart();

    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("one"), 250);
    assert_eq!(session.send("two"), 250);
    await_that("both to be delivered", || events(&service, "deliver.success").len() >= 3);
    let words = ["digest", "--day", &day(0), "--json"];
    let shown = service.command(&words);
    let object: Value = serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{}", programs::said(&shown)));
    let own = &object["credentials"][support::CREDENTIAL];
    assert_eq!((&own["messages"], &own["delivered"], &own["refused"]), (&2.into(), &2.into(), &0.into()), "{object}");
    assert_eq!(object["now"]["upstreams"]["sink"], "up", "{object}");
    assert!(object["now"]["head"]["events"].as_u64().unwrap() > 3, "{object}");

    // Its looks since the restart have sent no second one.
    std::thread::sleep(Duration::from_secs(11));
    while let Some(received) = service.sink.next(Duration::from_millis(200)) {
        assert!(!String::from_utf8(received.content).unwrap().contains("digest of"), "it was sent again");
    }
    service.end();
    let stopped = service.command(&["digest"]);
    let text = String::from_utf8(stopped.stdout.clone()).unwrap();
    assert!(stopped.status.success() && text.contains(&format!("day         {} (UTC)", day(1))), "{text}");
    assert!(programs::said(&stopped).contains("how the gate stands now is not told"), "{}", programs::said(&stopped));
}
