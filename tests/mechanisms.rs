//! Claim: where a listener says so, a key logs in as a bearer's token; nothing but the mechanisms that are written logs anybody
//! in; and no secret shows in a log, whichever way it was said.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::smtp::{Smtp, trusting};
use support::{CREDENTIAL, Service, Setting, free_port};

#[test]
fn row_36_row_37_a_key_is_a_token_where_the_listener_says_so_and_never_shows_in_a_log() {
    let listener = "mechanisms = [\"OAUTHBEARER\", \"XOAUTH2\"]".to_owned();
    let service = Service::start_with(&Setting { listener, ..Setting::default() });
    let secret = service.add_credential();
    let xoauth2 = |user: &str| STANDARD.encode(format!("user={user}\x01auth=Bearer {secret}\x01\x01"));
    let oauthbearer =
        |behalf: &str| STANDARD.encode(format!("n,{behalf},\x01host=gate\x01auth=Bearer {secret}\x01\x01"));
    let mut session = service.connect().secure(&trusting(&service.pair));
    let (_, offers) = session.try_ask("EHLO client.example").unwrap();
    assert_eq!(offers, "AUTH OAUTHBEARER XOAUTH2");
    assert_eq!(session.log_in(&secret), 504, "PLAIN is not offered");
    assert_eq!(session.say(&format!("AUTH XOAUTH2 {}", xoauth2("somebody"))), 334);
    assert_eq!(session.say(""), 535);
    assert_eq!(session.say(&format!("AUTH OAUTHBEARER {}", oauthbearer(&format!("a={CREDENTIAL}")))), 235);
    assert_eq!(session.send("by token"), 250);
    let mut in_two_rounds = service.connect().secure(&trusting(&service.pair));
    assert_eq!(in_two_rounds.say("AUTH XOAUTH2"), 334);
    assert_eq!(in_two_rounds.say(&xoauth2(CREDENTIAL)), 235);
    let mut nameless = service.connect().secure(&trusting(&service.pair));
    assert_eq!(nameless.say(&format!("AUTH OAUTHBEARER {}", oauthbearer(""))), 235);
    service.await_arrival(vec!["by token".into()]);

    let trail = service.command(&["audit", "query", "--json"]);
    assert!(trail.status.success());
    let trail = String::from_utf8(trail.stdout).unwrap();
    let log = service.stop();
    for word in ["OAUTHBEARER", "XOAUTH2", "auth.failure"] {
        assert!(trail.contains(word), "no {word} in {trail}");
    }
    // Behind the key id there is nothing of it that anybody may see.
    let (_, hidden) = secret.rsplit_once('_').unwrap();
    for text in [&log, &trail] {
        assert!(!text.contains(hidden), "the key is shown: {text}");
    }
}

#[test]
fn who_is_kept_out_before_any_login_is_in_the_log_once_with_what_to_do() {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"devices\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\n\
         identify_by_network = true\nzone = \"devices\"\n"
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let mut printer = service.connect();
    assert_eq!(printer.code(), 220);
    for (line, code) in [("EHLO printer", 250), ("MAIL FROM:<a@example.net>", 530), ("AUTH CRAM-MD5", 530)] {
        assert_eq!(printer.say(line), code, "{line}");
    }
    assert_eq!(printer.say("STARTTLS"), 220);
    let mut printer = printer.shake_hands(&trusting(&service.pair));
    for (line, code) in [
        ("EHLO printer", 250),
        ("MAIL FROM:<a@example.net>", 530),
        ("MAIL FROM:<a@example.net>", 530),
        ("AUTH cram-md5", 504),
        ("AUTH NTLM", 504),
    ] {
        assert_eq!(printer.say(line), code, "{line}");
    }
    let mut hasty = service.connect().secure(&trusting(&service.pair));
    assert_eq!(hasty.say(&format!("AUTH {secret}")), 504);
    assert_eq!(hasty.say("AUTH SCRAM-SHA-256 biwsbj1hLHI9Yg=="), 504);
    let mut device = Smtp::connect(port);
    assert_eq!((device.code(), device.say("EHLO scanner")), (220, 250));
    assert_eq!(device.say("AUTH PLAIN AGJpbGxpbmcAczNjcmV0"), 502);
    assert_eq!(device.say("AUTH LOGIN"), 502);

    let log = service.stop();
    let told: Vec<_> = log.lines().filter(|line| line.contains("a client was refused: ")).collect();
    let why = [
        ("submission", "it did not begin TLS: set it to STARTTLS", ""),
        ("submission", "it did not log in: give it name and password of a credential", ""),
        ("submission", "it asked for a way to log in", "mechanism=\"CRAM-MD5\" offered=\"PLAIN LOGIN\""),
        ("submission", "it asked for a way to log in", "mechanism=\"[no name of one]\" offered=\"PLAIN LOGIN\""),
        ("devices", "it wants to log in where its address is its login", ""),
    ];
    assert_eq!(told.len(), why.len(), "{log}");
    // Those of different processes come in any order.
    for (listener, why, more) in why {
        let listener = format!("listener=\"{listener}\" client=127.0.0.1");
        let is_it = |line: &&&str| line.contains(&listener) && line.contains(why) && line.contains(more);
        assert_eq!(told.iter().filter(is_it).count(), 1, "{why} in {log}");
    }
    assert!(!log.contains(secret.as_str()), "{log}");
}
