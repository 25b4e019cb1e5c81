//! Claim: where a listener says so, a key logs in as a bearer's token; nothing but the mechanisms that are written logs anybody
//! in; and no secret shows in a log, whichever way it was said.

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::smtp::trusting;
use support::{CREDENTIAL, Service, Setting};

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
