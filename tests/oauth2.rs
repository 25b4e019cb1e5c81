//! Claims: an upstream is logged in to by a token that its courier gets by itself, over verified TLS; a token that is refused is asked for
//! once more; when there is none, mail waits and goes out as soon as there is one; and none of the secrets is shown anywhere.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::sync::{Arc, Mutex};

use support::provider::{Answer, Provider};
use support::{Service, Setting};

const CLIENT_SECRET: &str = "cl1ent~s3cret/+";
const REFRESH: &str = "1//0-refresh-me";
const LETTER: &str = "From: a@example.net\r\nTo: b@example.org\r\nSubject: onwards\r\n\r\nHello.\r\n";

/// The next gate: it takes XOAUTH2, and the secret of its credential as the token.
fn next_gate() -> (Service, String) {
    let listener = "mechanisms = [\"XOAUTH2\"]".to_owned();
    let next = Service::start_with(&Setting { listener, ..Setting::default() });
    let added = next.command(&["credential", "add", "gate", "--sender", "@example.net"]);
    let token = String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned();
    (next, token)
}

/// An endpoint that gives these answers, one after the other, and then the last one again.
fn endpoint(answers: Vec<Answer>) -> Provider {
    let left = Arc::new(Mutex::new(answers));
    Provider::start(move |_| {
        let mut left = left.lock().unwrap();
        if left.len() > 1 { left.remove(0) } else { left[0].clone() }
    })
}

fn given(token: &str) -> Answer {
    let body = serde_json::json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token});
    Some((200, body.to_string()))
}

fn refused(error: &str) -> Answer {
    let why = format!("client {CLIENT_SECRET} and token {REFRESH}");
    Some((400, serde_json::json!({"error": error, "error_description": why}).to_string()))
}

/// A service that delivers to the next gate, and asks this endpoint for tokens.
fn towards(next: &Service, endpoint: &Provider, grant: &str) -> Service {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let path = folder.path().display().to_string();
    for (name, text) in [
        ("upstream.pem", next.pair.certificate.as_str()),
        ("endpoint.pem", endpoint.pair.certificate.as_str()),
        ("client.secret", CLIENT_SECRET),
        ("refresh.token", REFRESH),
    ] {
        fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let refresh = match grant {
        "refresh_token" => format!("oauth2.refresh_token_file = \"{path}/refresh.token\""),
        _ => "oauth2.scope = \"https://mail.test/.default\"".to_owned(),
    };
    let port = endpoint.port;
    let upstream = format!(
        "username = \"gate\"\nauth = \"xoauth2\"\nauthorities_file = \"{path}/upstream.pem\"\n\
         oauth2.grant = \"{grant}\"\noauth2.token_url = \"https://localhost:{port}/token\"\n\
         oauth2.client_id = \"the-gate\"\noauth2.client_secret_file = \"{path}/client.secret\"\n\
         oauth2.authorities_file = \"{path}/endpoint.pem\"\n{refresh}"
    );
    let host = Some(format!("localhost:{}", next.smtp));
    Service::start_in(folder, &Setting { host, upstream, ..Setting::default() })
}

fn submit(service: &Service) {
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for (line, code) in [
        ("MAIL FROM:<a@example.net>", 250),
        ("RCPT TO:<b@example.org>", 250),
        ("DATA", 354),
        (&format!("{LETTER}."), 250),
    ] {
        assert_eq!(session.say(line), code, "{line}");
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Ends the services, and looks for secrets in whatever they tell.
fn nothing_is_shown(services: [Service; 2], tokens: &[&str], more: &str) {
    for service in services {
        let mut told = more.to_owned();
        for words in [&["audit", "query", "--json"][..], &["route", "status"], &["queue", "list", "--json"]] {
            told += &text(&service.command(words));
        }
        told += &service.stop();
        for secret in tokens.iter().map(|token| token.rsplit('_').next().unwrap()).chain([CLIENT_SECRET, REFRESH]) {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
}

#[test]
fn rule_u5_another_gate_is_logged_in_to_by_a_token_of_either_grant() {
    for (grant, form) in [
        (
            "refresh_token",
            "grant_type=refresh_token&client_id=the-gate&client_secret=cl1ent%7Es3cret%2F%2B&refresh_token=1%2F%2F0-refresh-me",
        ),
        (
            "client_credentials",
            "grant_type=client_credentials&client_id=the-gate&client_secret=cl1ent%7Es3cret%2F%2B&scope=https%3A%2F%2Fmail.test%2F.default",
        ),
    ] {
        let (next, token) = next_gate();
        let endpoint = endpoint(vec![given(&token)]);
        let service = towards(&next, &endpoint, grant);
        submit(&service);
        next.await_arrival(vec!["onwards".to_owned()]);
        let request = &endpoint.await_requests(1)[0];
        assert_eq!(request.line, "POST /token HTTP/1.1");
        assert_eq!(String::from_utf8(request.body.clone()).unwrap(), form);
        service.await_log(0, "delivered=1");
        let trail = text(&next.command(&["audit", "query", "--event", "auth.success", "--json"]));
        assert!(trail.contains("\"XOAUTH2\""), "{trail}");
        let tried = text(&service.command(&["route", "test", "sink", "--sender", "a@example.net"]));
        let asked = format!("* asked https://localhost:{}/token for a token: given, for 3599 s\n", endpoint.port);
        assert!(tried.contains(&asked) && tried.contains("> AUTH XOAUTH2 [hidden]\n"), "{tried}");
        let shown = tried.split(&asked).next().unwrap_or_default();
        assert!(shown.contains("the certificate is verified") && shown.contains("localhost"), "{tried}");
        nothing_is_shown([service, next], &[&token], &tried);
    }
}

#[test]
fn rule_q3_a_token_that_the_upstream_refuses_is_asked_for_once_more() {
    let (next, token) = next_gate();
    let endpoint = endpoint(vec![given("ya29.revoked-already"), given(&token)]);
    let service = towards(&next, &endpoint, "refresh_token");
    submit(&service);
    next.await_arrival(vec!["onwards".to_owned()]);
    assert_eq!(endpoint.await_requests(2).len(), 2);
    service.await_log(0, "the upstream refuses the token: another one is asked for");
    nothing_is_shown([service, next], &["ya29.revoked-already", &token], "");
}

#[test]
fn rule_q3_a_refused_grant_is_a_refused_login_and_mail_waits_until_it_is_mended() {
    let (next, token) = next_gate();
    let endpoint = endpoint(vec![refused("invalid_grant"), given(&token)]);
    let service = towards(&next, &endpoint, "refresh_token");
    submit(&service);
    let from = service.await_log(0, "login refused");
    let why = "token: localhost: HTTP 400 invalid_grant: client [hidden] and token [hidden]";
    assert!(service.log().contains(why), "{}", service.log());
    let listed = text(&service.command(&["queue", "list", "--json"]));
    assert!(listed.contains("\"states\":{\"ready\":1}"), "{listed}");
    assert!(service.command(&["route", "resume", "sink"]).status.success());
    service.await_log(from, "delivered=1");
    next.await_arrival(vec!["onwards".to_owned()]);
    nothing_is_shown([service, next], &[&token], "");
}

#[test]
fn an_endpoint_that_is_away_rests_the_route_and_mail_goes_out_when_it_is_back() {
    let (next, token) = next_gate();
    let endpoint = endpoint(vec![None, Some((503, "<html>".to_owned())), given(&token)]);
    let service = towards(&next, &endpoint, "client_credentials");
    submit(&service);
    let from = service.await_log(0, "route failed");
    next.await_arrival(vec!["onwards".to_owned()]);
    service.await_log(from, "delivered=1");
    assert!(service.log().contains("token: localhost: HTTP 503 no error that could be read"), "{}", service.log());
    assert_eq!(endpoint.await_requests(3).len(), 3);
    nothing_is_shown([service, next], &[&token], "");
}
