//! Claims: what a test key sends, by whatever way, is checked, kept and told of as all mail is, and no upstream hears of it, whatever
//! becomes of the key and of the service meanwhile; addresses for tests end as they say; and a live key sends nothing there.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::provider::Provider;
use support::{CREDENTIAL, PATIENCE, Service, Setting, await_that, free_port, programs};

/// A gate with all surfaces, a webhook, and an SMTP listener whose mail is delivered while its client waits.
struct House {
    service: Service,
    port: u16,
    receiver: Provider,
}

impl House {
    fn build() -> Self {
        let (port, receiver) = (free_port(), Provider::start(|_| Some((204, String::new()))));
        let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        let place = folder.path().display().to_string();
        fs::write(folder.path().join("trusted.pem"), &receiver.pair.certificate).unwrap();
        fs::write(folder.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        fs::set_permissions(folder.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let more = format!(
            "[[listener]]\nname = \"sdks\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\n\
             serve = [\"v1\", \"send\", \"resend\", \"postmark\", \"usesend\"]\n\
             [[webhook]]\nname = \"app\"\nurl = \"https://localhost:{}/hooks\"\nsecret_file = \"{place}/secret\"\n\
             authorities_file = \"{place}/trusted.pem\"\n\
             [suppression]\nbounces = true\nafter = 1\n",
            receiver.port
        );
        let listener = "delivery = \"direct\"".to_owned();
        let service = Service::start_in(folder, &Setting { more, listener, ..Setting::default() });
        Self { service, port, receiver }
    }

    fn add(&self, id: &str, options: &[&str]) -> String {
        let scopes = ["--scope", "smtp", "--scope", "send", "--scope", "send_raw"];
        let added = ["credential", "add", id, "--sender", "@example.net", "--mask", "none", "--webhook", "app"];
        let added = self.service.command(&[&added[..], &scopes[..], options].concat());
        assert!(added.status.success(), "{}", programs::said(&added));
        String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned()
    }

    fn ask(&self, line: &str, fields: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let (mut stream, mut response) = (stream, String::new());
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        std::io::Read::read_to_string(&mut stream, &mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    fn get(&self, key: &str, path: &str) -> Value {
        let (status, found) = self.ask(&format!("GET {path}"), &format!("Authorization: Bearer {key}"), "");
        assert_eq!(status, 200, "{found}");
        found
    }

    fn send(&self, key: &str, letter: &Value) -> (u16, Value) {
        let fields = format!("Authorization: Bearer {key}\r\nContent-Type: application/json");
        self.ask("POST /v1/send", &fields, &letter.to_string())
    }

    fn await_status(&self, key: &str, id: &str, status: &str) -> Value {
        let mut found = Value::Null;
        await_that(status, || {
            // A key asks twenty times in a second, and no more.
            std::thread::sleep(Duration::from_millis(200));
            found = self.get(key, &format!("/v1/submissions/{id}"));
            found["status"] == status
        });
        found
    }

    fn connections(&self) -> usize {
        self.service.sink.tally().connections
    }
}

fn letter(to: &str) -> Value {
    json!({ "from": "a@example.net", "to": to, "subject": "x", "text": "hi" })
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn nothing_that_a_test_key_sends_by_any_way_reaches_an_upstream() {
    let house = House::build();
    let key = house.add(CREDENTIAL, &["--test"]);
    assert!(key.starts_with("gp_test_"), "{key}");
    let bearer = format!("Authorization: Bearer {key}\r\nContent-Type: application/json");
    let postmark = format!("X-Postmark-Server-Token: {key}\r\nContent-Type: application/json");
    let raw = format!("Authorization: Bearer {key}\r\nContent-Type: message/rfc822\r\nX-Rcpt-To: b@example.org");
    let one = letter("b@example.org");
    let bulk = json!({ "messages": [one, one] }).to_string();
    let theirs = json!({ "From": "a@example.net", "To": "b@example.org", "Subject": "x", "TextBody": "hi" });
    for (line, fields, body, status) in [
        ("POST /v1/send", &bearer, one.to_string(), 202),
        ("POST /v1/send-bulk", &bearer, bulk, 202),
        ("POST /v1/send-raw", &raw, "From: a@example.net\r\nSubject: x\r\n\r\nhi\r\n".to_owned(), 202),
        ("POST /send", &bearer, one.to_string(), 200),
        ("POST /emails", &bearer, one.to_string(), 200),
        ("POST /emails/batch", &bearer, json!([one]).to_string(), 200),
        ("POST /email", &postmark, theirs.to_string(), 200),
        ("POST /api/v1/emails", &bearer, one.to_string(), 200),
    ] {
        let (got, answer) = house.ask(line, fields, &body);
        assert_eq!(got, status, "{line}: {answer}");
    }
    let mut session = house.service.log_in(&key);
    assert_eq!(session.send("by SMTP, on a listener that delivers at once"), 250);
    let by_hand = ["send", "--credential", CREDENTIAL, "--from", "a@example.net", "--to", "b@example.org"];
    let sent = house.service.command(&by_hand);
    assert!(sent.status.success(), "{}", programs::said(&sent));

    await_that("eleven that were delivered in appearance", || events(&house.service, "deliver.success").len() >= 11);
    let listed = house.get(&key, "/v1/submissions?limit=100");
    let all = listed["data"].as_array().unwrap();
    assert_eq!(all.len(), 11);
    assert!(all.iter().all(|one| one["test"] == true && one["status"] == "smtp_accepted"), "{listed}");
    assert!(events(&house.service, "deliver.success").iter().all(|event| event["upstream"] == "(test)"));
    let taken = events(&house.service, "msg.accept");
    assert!(taken.len() == 11 && taken.iter().all(|event| event["data"].to_string().contains("test")), "{taken:?}");
    assert_eq!(house.connections(), 0, "an upstream was asked");
    assert_eq!(house.get(&key, "/v1/keys/self")["test"], true);
    assert_whom_it_is_shown_of(&house.service);

    // A live key shows that the counter counts, and a message of its own may be a test.
    let live = house.add("live", &[]);
    assert!(live.starts_with("gp_live_"), "{live}");
    let mut tested = letter("b@example.org");
    tested["test"] = true.into();
    let (status, answer) = house.send(&live, &tested);
    assert_eq!((status, &answer["test"]), (202, &true.into()), "{answer}");
    house.await_status(&live, answer["id"].as_str().unwrap(), "smtp_accepted");
    let bearer = format!("Authorization: Bearer {live}\r\nContent-Type: application/json");
    let postmark = format!("X-Postmark-Server-Token: {live}\r\nContent-Type: application/json");
    let mut theirs = theirs;
    theirs["test"] = true.into();
    for (path, fields, body) in [
        ("/send", &bearer, &tested),
        ("/emails", &bearer, &tested),
        ("/email", &postmark, &theirs),
        ("/api/v1/emails", &bearer, &tested),
    ] {
        let (status, answer) = house.ask(&format!("POST {path}"), fields, &body.to_string());
        assert_eq!(status, 200, "{path}: {answer}");
    }
    await_that("all five are over", || {
        std::thread::sleep(Duration::from_millis(200));
        let listed = house.get(&live, "/v1/submissions?limit=100");
        let all = listed["data"].as_array().unwrap();
        all.len() == 5 && all.iter().all(|one| one["test"] == true && one["status"] == "smtp_accepted")
    });
    assert_eq!(house.connections(), 0);
    let (status, answer) = house.send(&live, &letter("b@example.org"));
    assert_eq!((status, &answer["test"]), (202, &Value::Null), "{answer}");
    assert!(house.service.sink.next(PATIENCE).is_some());
    assert!(house.connections() > 0);
    house.service.stop();
}

/// Who looks at the credential, or asks what becomes of its mail, is told that it is for tests; and of another one that it isn't.
fn assert_whom_it_is_shown_of(service: &Service) {
    assert!(service.command(&["credential", "add", "other", "--sender", "@example.net"]).status.success());
    let said = |words: &[&str]| String::from_utf8(service.command(words).stdout).unwrap();
    let listed = said(&["credential", "list"]);
    for (id, mail) in [(CREDENTIAL, "test"), ("other", "live")] {
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
        assert_eq!(line.split_whitespace().nth(3), Some(mail), "{listed}");
        assert!(said(&["credential", "show", id]).contains(&format!("\ntest: {}\n", mail == "test")), "{id}");
        let asked = ["explain", "--json", "--credential", id, "--from", "a@example.net", "--to"];
        let explain = |to: &str| serde_json::from_str::<Value>(&said(&[&asked[..], &[to]].concat())).unwrap();
        let (anybody, bounced) = (explain("b@example.org"), explain("bounced@sandbox.test"));
        assert_eq!((&anybody["test"], &anybody["verdict"]), (&json!(mail == "test"), &json!("taken")), "{anybody}");
        let rules = bounced["steps"].as_array().unwrap().iter().map(|step| step["rule"].as_str().unwrap());
        let rules: Vec<&str> = rules.collect();
        let (reason, rule) = match mail {
            "test" => (Value::Null, "as if it was refused for good"),
            _ => (json!("test-address"), "an address for tests, and the credential is not for tests"),
        };
        assert!(bounced["reason"] == reason && rules.contains(&rule), "{bounced}");
    }
}

#[test]
fn addresses_for_tests_end_as_they_say_and_all_that_is_told_of_them_says_that_it_was_a_test() {
    let house = House::build();
    let key = house.add(CREDENTIAL, &["--test"]);
    let send = |to: &str| {
        let (status, answer) = house.send(&key, &letter(to));
        assert_eq!(status, 202, "{to}: {answer}");
        answer["id"].as_str().unwrap().to_owned()
    };
    let slow = send("slow@sandbox.test");
    let deferred = send("deferred+order-17@sandbox.test");
    for (to, status, code) in [
        ("delivered@sandbox.test", "smtp_accepted", "2.0.0"),
        ("b@example.org", "smtp_accepted", "2.0.0"),
        ("x@blackhole.postmarkapp.com", "smtp_accepted", "2.0.0"),
        ("delivered@resend.dev", "smtp_accepted", "2.0.0"),
        ("bounced@sandbox.test", "smtp_failed", "5.1.1"),
        ("bounced@resend.dev", "smtp_failed", "5.1.1"),
        ("complained@sandbox.test", "smtp_accepted", "2.0.0"),
    ] {
        let found = house.await_status(&key, &send(to), status);
        let one = &found["recipients"][0];
        assert_eq!((&found["test"], &one["code"], &one["attempts"]), (&true.into(), &code.into(), &1.into()), "{to}");
        assert!(one["reply"].as_str().unwrap().contains("nothing was sent"), "{found}");
    }
    // It isn't on a list because of that: one bounce is enough here, and it goes the same way again.
    house.await_status(&key, &send("bounced@sandbox.test"), "smtp_failed");
    house.await_status(&key, &send("complained@sandbox.test"), "smtp_accepted");
    let list = house.service.command(&["suppress", "list", "--json"]);
    assert!(!String::from_utf8_lossy(&list.stdout).contains("sandbox"), "{}", programs::said(&list));

    let found = house.await_status(&key, &deferred, "smtp_accepted");
    assert_eq!(found["recipients"][0]["attempts"], 3, "{found}");
    let found = house.await_status(&key, &slow, "smtp_accepted");
    assert_eq!(found["recipients"][0]["attempts"], 1, "{found}");
    let delayed = house.get(&key, &format!("/v1/events?submission={deferred}"));
    let kinds: Vec<_> = delayed["data"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, ["email.delivery_delayed", "email.delivery_delayed", "email.sent"]);
    let mut all = Value::Null;
    await_that("two complaints", || {
        std::thread::sleep(Duration::from_millis(200));
        all = house.get(&key, "/v1/events?limit=100");
        all["data"].as_array().unwrap().iter().filter(|event| event["type"] == "email.complained").count() == 2
    });
    assert!(all["data"].as_array().unwrap().iter().all(|event| event["data"]["test"] == true), "{all}");

    // Eleven messages with an outcome, two of which are put off twice before; each says what it is.
    let told: Vec<Value> = house.receiver.await_requests(13).iter().map(|request| request.json()).collect();
    assert!(told.iter().all(|event| event["data"]["test"] == true), "{told:?}");
    assert_eq!(told.iter().filter(|event| event["type"] == "email.bounced").count(), 3, "{told:?}");
    // Whoever is owed a report of those that failed is told of it in the same way.
    await_that("three reports", || events(&house.service, "dsn.sent").len() == 3);
    await_that("an empty queue", || {
        let output = house.service.command(&["queue", "list", "--json"]);
        output.status.success() && output.stdout.iter().filter(|octet| **octet == b'{').count() == 0
    });
    assert_eq!(house.connections(), 0);
    house.service.stop();
}

#[test]
fn what_asks_to_be_refused_is_refused_and_a_live_key_sends_nothing_to_addresses_for_tests() {
    let house = House::build();
    let (test, live) = (house.add(CREDENTIAL, &["--test"]), house.add("live", &[]));
    for (key, to, finding) in [
        (&test, "rejected@sandbox.test", "test_rejected"),
        (&test, "bounce@sandbox.test", "test_address"),
        (&live, "delivered@sandbox.test", "test_address"),
        (&live, "rejected@sandbox.test", "test_address"),
        (&live, "delivered@resend.dev", "test_address"),
        (&live, "x@blackhole.postmarkapp.com", "test_address"),
    ] {
        let (status, answer) = house.send(key, &letter(to));
        assert_eq!((status, &answer["errors"][0]["code"]), (400, &finding.into()), "{to}: {answer}");
        let fields = format!("Authorization: Bearer {key}\r\nContent-Type: application/json");
        let (status, answer) = house.ask("POST /send", &fields, &letter(to).to_string());
        assert_eq!((status, &answer["code"]), (403, &"forbidden_recipient".into()), "{to}: {answer}");
    }
    let mut session = house.service.log_in(&test);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<rejected@sandbox.test>"), 550);
    assert_eq!(session.say("RCPT TO:<delivered@sandbox.test>"), 250);
    // What it is for can't be changed, and nor can it be delivered while its client waits.
    for wrong in [
        &["credential", "set", CREDENTIAL, "--delivery", "direct"][..],
        &["credential", "add", "other", "--sender", "@example.net", "--test", "--delivery", "direct"],
    ] {
        let done = house.service.command(wrong);
        assert!(programs::said(&done).contains("there is no upstream to wait for"), "{}", programs::said(&done));
    }
    assert_eq!(house.connections(), 0);
    house.service.stop();
}

#[test]
fn a_test_stays_one_when_its_credential_is_gone_and_over_a_reload_and_a_restart() {
    let mut house = House::build();
    let key = house.add(CREDENTIAL, &["--test"]);
    let mut later = letter("b@example.org");
    later["scheduled_at"] = (jiff::Timestamp::now() + Duration::from_secs(8)).to_string().into();
    let (status, answer) = house.send(&key, &later);
    assert_eq!(status, 202, "{answer}");
    assert!(
        house.service.command(&["credential", "remove", CREDENTIAL, "--queue", "deliver", "--yes"]).status.success()
    );
    // The same name, and not for tests.
    house.add(CREDENTIAL, &[]);
    let from = house.service.log().len();
    house.service.signal(Signal::SIGHUP);
    house.service.await_log(from, "reload");
    house.service.end();
    house.service.restart();
    await_that("its end", || events(&house.service, "deliver.success").len() == 1);
    assert_eq!(events(&house.service, "deliver.success")[0]["upstream"], "(test)");
    assert_eq!(house.connections(), 0, "an upstream was asked");
    house.service.stop();
}
