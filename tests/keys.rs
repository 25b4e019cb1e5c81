//! Claims: over HTTP a key sees what it may and what is left of its limits, and asking takes nothing; what others may is seen by a key
//! with the scope `admin` alone, and the audit log has each look; every answer to a known key says what is left.
//!
//! Numbers are compared, never times: the rates are so slow that a test run sees no second message of them.

mod support;

use serde_json::{Value, json};
use support::{CREDENTIAL, Service, Setting};

/// What came back.
struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> u64 {
        let text = self.field(name).unwrap_or_else(|| panic!("no {name} in {}", self.head));
        text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no whole number"))
    }

    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

fn ask(service: &Service, key: Option<&str>, line: &str, fields: &str, body: &str) -> Answer {
    let login = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let response = service.http(&format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\n{login}Connection: close\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() }
}

fn get(service: &Service, key: &str, path: &str) -> Answer {
    ask(service, Some(key), &format!("GET {path}"), "", "")
}

fn letter(to: &[&str]) -> Value {
    json!({ "from": "a@example.net", "to": to, "subject": "x", "text": "hi" })
}

fn post(service: &Service, key: &str, path: &str, fields: &str, body: &Value) -> Answer {
    let fields = format!("Content-Type: application/json\r\n{fields}");
    ask(service, Some(key), &format!("POST {path}"), &fields, &body.to_string())
}

fn command(service: &Service, words: &[&str]) -> String {
    let output = service.command(words);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Adds a credential; gives its key.
fn add(service: &Service, id: &str, words: &[&str]) -> String {
    command(service, &[&["credential", "add", id], words].concat()).lines().last().unwrap().to_owned()
}

fn looks(service: &Service) -> Vec<Value> {
    let text = command(service, &["audit", "query", "--event", "credential.view", "--json"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(page: &Answer) -> Vec<&str> {
    page.body["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[test]
fn a_key_sees_what_it_may_and_who_may_see_others_is_written_down() {
    let service = Service::start();
    let key = service.add_credential();
    command(&service, &["credential", "set", CREDENTIAL, "--per-minute", "60", "--description", "for the operator"]);
    command(&service, &["credential", "set", CREDENTIAL, "--always-bcc", "archive@example.net"]);
    let own = get(&service, &key, "/v1/keys/self");
    assert_eq!((own.status, &own.body["id"], &own.body["enabled"]), (200, &CREDENTIAL.into(), &true.into()));
    assert_eq!((&own.body["senders"], &own.body["limits"]["per_minute"]), (&json!(["@example.net"]), &60.into()));
    assert_eq!((&own.body["scopes"], &own.body["masked"]), (&json!(["smtp", "send", "send_raw"]), &true.into()));
    let shown = own.body["keys"][0]["id"].as_str().unwrap();
    assert!(key.contains(shown) && own.body["keys"].as_array().unwrap().len() == 1, "{}", own.body);
    let text = own.body.to_string();
    for hidden in [key.as_str(), key.rsplit('_').next().unwrap(), "argon2", "sink", "operator", "archive"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }

    // Whether there is such a key makes no difference to who may not see it.
    let refused: Vec<_> =
        ["/v1/keys", "/v1/keys/tester", "/v1/keys/nobody"].map(|path| get(&service, &key, path)).into();
    for answer in &refused {
        assert_eq!((answer.status, answer.code()), (403, "insufficient_scope"));
        assert_eq!((&answer.body["message"], answer.head.len()), (&refused[0].body["message"], refused[0].head.len()));
    }
    assert!(looks(&service).is_empty());

    let admin = add(&service, "viewer", &["--sender", "viewer@example.net", "--scope", "admin"]);
    add(&service, "gone@example.net", &["--sender", "@example.net"]);
    command(&service, &["credential", "disable", "gone@example.net"]);
    let first = get(&service, &admin, "/v1/keys?limit=2");
    assert_eq!((first.status, ids(&first)), (200, vec!["gone@example.net", CREDENTIAL]));
    assert_eq!((&first.body["data"][0]["enabled"], &first.body["has_more"]), (&false.into(), &true.into()));
    let next = get(&service, &admin, &format!("/v1/keys?after={}", first.body["next_after"].as_str().unwrap()));
    assert_eq!((ids(&next), &next.body["has_more"]), (vec!["viewer"], &false.into()));
    let one = get(&service, &admin, "/v1/keys/gone@example.net");
    assert_eq!((one.status, &one.body["enabled"]), (200, &false.into()));
    let none = get(&service, &admin, "/v1/keys/nobody");
    assert_eq!((none.status, none.code()), (404, "not_found"));
    let all = looks(&service);
    assert_eq!(all.len(), 4, "one for each look: {all:?}");
    assert!(all.iter().all(|event| event["account"] == "viewer"), "{all:?}");
    assert_eq!(post(&service, &admin, "/v1/send", "", &letter(&["b@example.org"])).code(), "insufficient_scope");

    command(&service, &["credential", "disable", "viewer"]);
    assert_eq!(get(&service, &admin, "/v1/keys").code(), "forbidden");
    assert_eq!(looks(&service).len(), 4);
    service.stop();
}

/// What it says of its tightest limit, in all three spellings.
fn left(answer: &Answer) -> u64 {
    let (limit, remaining, reset) =
        (answer.number("ratelimit-limit"), answer.number("ratelimit-remaining"), answer.number("ratelimit-reset"));
    let (policy, now) = (answer.field("ratelimit-policy").unwrap(), answer.field("ratelimit").unwrap());
    assert!(policy.contains(&format!("\"per_hour\";q={limit};w=3600")), "{policy}");
    assert!(now.contains(&format!("\"per_hour\";r={remaining};t={reset}")), "{now}");
    remaining
}

#[test]
fn rule_p18_what_is_left_is_said_with_every_answer_and_asking_takes_nothing() {
    let mut service = Service::start();
    let key = add(&service, CREDENTIAL, &["--sender", "@example.net", "--per-hour", "1", "--burst", "7"]);
    let good = letter(&["b@example.org"]);
    let limits = |service: &Service| {
        let answer = get(service, &key, "/v1/limits");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let one = &answer.body["limits"][0];
        assert_eq!(
            (&one["policy"], &one["limit"], &one["window_seconds"]),
            (&"per_hour".into(), &1.into(), &3600.into())
        );
        assert_eq!(one["remaining"], left(&answer), "the head says what the body does");
        left(&answer)
    };
    assert_eq!([limits(&service), limits(&service), limits(&service)], [7, 7, 7]);
    assert_eq!(left(&post(&service, &key, "/v1/send", "", &good)), 6);
    let once = "Idempotency-Key: order-17\r\n";
    assert_eq!(left(&post(&service, &key, "/v1/send", once, &good)), 5);
    let again = post(&service, &key, "/v1/send", once, &good);
    assert_eq!((again.field("idempotency-replayed"), left(&again)), (Some("true"), 5));
    // Refused by the edge, by the policy, and only tried.
    assert_eq!(left(&post(&service, &key, "/v1/send", "", &json!({}))), 5);
    let sender = json!({ "from": "ceo@example.com", "to": "b@example.org", "text": "hi" });
    assert_eq!(left(&post(&service, &key, "/v1/send", "", &sender)), 5);
    assert_eq!(left(&post(&service, &key, "/v1/validate", "", &good)), 5);
    assert_eq!(left(&post(&service, &key, "/v1/send-bulk", "", &json!({ "messages": [good, good] }))), 3);

    // By the other protocol, and over a restart.
    let mut session = service.log_in(&key);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(limits(&service), 2, "what is under way has its place");
    assert_eq!((session.say("RCPT TO:<b@example.org>"), session.say("DATA")), (250, 354));
    assert_eq!(session.say("From: a@example.net\r\nSubject: s\r\n\r\nHello.\r\n."), 250);
    drop(session);
    service.end();
    service.restart();
    assert_eq!(limits(&service), 2);
    assert_eq!(left(&post(&service, &key, "/v1/send", "", &good)), 1);
    assert_eq!(left(&post(&service, &key, "/v1/send", "", &good)), 0);

    let refused = post(&service, &key, "/v1/send", "", &good);
    assert_eq!((refused.status, refused.code(), left(&refused)), (429, "rate_limited", 0));
    let (after, reset) = (refused.number("retry-after"), refused.number("ratelimit-reset"));
    assert!(after >= reset && reset > 0, "{after} {reset}");
    assert_eq!(limits(&service), 0, "a refusal takes nothing either");
    // A stranger is told nothing, and neither is who has no limits.
    assert_eq!(ask(&service, None, "GET /v1/limits", "", "").field("ratelimit-policy"), None);
    let free = add(&service, "free", &["--sender", "@example.net"]);
    let none = get(&service, &free, "/v1/limits");
    assert_eq!((none.body["limits"].as_array().map(Vec::len), none.field("ratelimit")), (Some(0), None));
    service.stop();
}

#[test]
fn of_limits_that_others_share_a_key_is_told_that_they_are_there() {
    let limits =
        "global = { per_hour = 98765, burst = 54321 }\naddress = { per_hour = 87654, burst = 43210 }".to_owned();
    let service = Service::start_with(&Setting { limits, ..Setting::default() });
    let key = add(&service, CREDENTIAL, &["--sender", "@example.net", "--per-minute", "60"]);
    let found = get(&service, &key, "/v1/limits");
    assert_eq!(found.body["shared"], json!(["global", "address"]));
    let (own, sent) =
        (get(&service, &key, "/v1/keys/self"), post(&service, &key, "/v1/send", "", &letter(&["b@example.org"])));
    assert_eq!((own.status, sent.status), (200, 202));
    for answer in [found, own, sent] {
        for number in ["98765", "54321", "87654", "43210"] {
            assert!(!format!("{}{}", answer.head, answer.body).contains(number), "{number}: {}", answer.head);
        }
    }
    service.stop();
}
