//! What each answer of a token endpoint means, and what is done about one that gives none.

use super::super::protected::certified;
use super::super::rehearsals::heard;
use super::*;
use crate::ipc::shown::Belief;

#[test]
fn each_answer_of_an_endpoint_has_the_outcome_of_its_table_and_nobody_is_connected_to() {
    let error =
        |line: &str, error: &str| status(line, &format!("{{\"error\":\"{error}\",\"error_description\":\"why\\n\"}}"));
    let token = |token: &str| status("200 OK", &format!("{{\"access_token\":\"{token}\",\"token_type\":\"bearer\"}}"));
    let redirect = "HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned();
    let large = format!("{{\"access_token\":\"t\",\"token_type\":\"bearer\",\"x\":\"{}\"}}", "x".repeat(10 << 20));
    let cases = [
        (error("400 Bad Request", "invalid_grant"), true, "tokens.test: HTTP 400 invalid_grant: why "),
        (error("401 Unauthorized", "invalid_client"), true, "HTTP 401 invalid_client: why"),
        (error("400 Bad Request", "unauthorized_client"), true, "unauthorized_client"),
        (error("403 Forbidden", "access_denied"), true, "access_denied"),
        (error("200 OK", "invalid_grant"), true, "HTTP 200 invalid_grant"),
        (status("400 Bad Request", "<html>"), true, "HTTP 400 no error that could be read"),
        (error("400 Bad Request", "temporarily_unavailable"), false, "temporarily_unavailable"),
        (error("500 Internal Server Error", "invalid_grant"), false, "HTTP 500 invalid_grant"),
        (status("503 Service Unavailable", "{}"), false, "HTTP 503"),
        (status("404 Not Found", "token here: t0ken"), false, "HTTP 404 no error that could be read"),
        (Act::Answer(redirect), false, "correct token_url"),
        (status("200 OK", "garbage t0ken"), false, "its answer can't be read"),
        (status("200 OK", &large), false, "its answer can't be read"),
        (status("200 OK", "{}"), false, "has no access_token"),
        (status("200 OK", "{\"access_token\":\"t0ken\"}"), false, "another type than bearer"),
        (status("200 OK", "{\"access_token\":\"t0ken\",\"token_type\":\"mac\"}"), false, "another type than bearer"),
        (token(""), false, "its token is none"),
        (token("a\\u0001auth=x"), false, "its token is none"),
        (token("a\\r\\nQUIT"), false, "its token is none"),
        (token(&"t".repeat(8193)), false, "its token is none"),
        (Act::Answer("no HTTP\r\n\r\n".to_owned()), false, "HTTP: "),
        (Act::Leave(3), false, "tokens.test: "),
    ];
    for (act, is_login, why) in cases {
        let (mailbox, mail) = Mailbox::taking(&["t0ken", "t", ""]).start();
        let (mut bench, _told) = bench(mail, vec![act]);
        let ending = bench.deliver(&["a@b.test"]);
        assert_eq!(matches!(ending, Ending::LoginRefused(_)), is_login, "{why}: {ending:?}");
        assert!(ending.reason().contains(why) && !ending.reason().contains("t0ken"), "{why}: {ending:?}");
        assert!(ending.reason().len() < 600 && !ending.reason().contains('\n'), "{ending:?}");
        assert!(mailbox.heard().is_empty() && bench.dials().is_empty(), "{why}");
    }
}

#[test]
fn an_endpoint_that_does_not_answer_or_is_not_there_fails_the_route() {
    let (_mailbox, mail) = Mailbox::taking(&["t0ken"]).start();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let tokens = tokens(slice(Grant::RefreshToken, port)).with_patience(Duration::from_millis(200));
    let ending = bench_with(mail, tokens, port).deliver(&["a@b.test"]);
    assert!(matches!(&ending, Ending::RouteFailed(reason) if reason.contains("took longer")), "{ending:?}");
    drop(silent);
    let ending = bench_with(mail, self::tokens(slice(Grant::RefreshToken, port)), port).deliver(&["a@b.test"]);
    assert!(matches!(&ending, Ending::RouteFailed(reason) if reason.contains("refused")), "{ending:?}");
}

#[test]
fn an_endpoint_in_clear_is_believed_on_this_machine_alone() {
    let (_mailbox, mail) = Mailbox::taking(&["t0ken"]).start();
    let (port, told) = server(vec![hour("t0ken")], None);
    let login = Some(Login::Token(Box::new(Bearer::new(
        USER.into(),
        slice::Bearer::Xoauth2,
        tokens(slice(Grant::RefreshToken, port)),
    ))));
    let mut bench = Bench::without_dialer(Settings { login, ..settings_for(&one(mail)) });
    bench.attach_dialer_with(&one(mail), Ipv4Addr::new(192, 0, 2, 1), Some(port));
    let ending = bench.deliver(&["a@b.test"]);
    assert!(ending.reason().contains("in clear it is spoken to on this machine alone"), "{ending:?}");
    assert!(told.try_recv().is_err());
}

#[test]
fn an_endpoint_is_left_alone_for_as_long_as_it_wants() {
    let (mailbox, mail) = Mailbox::taking(&["t0ken"]).start();
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 900\r\nContent-Length: 0\r\n\r\n";
    let (mut bench, told) = bench(mail, vec![Act::Answer(busy.to_owned()), hour("t0ken")]);
    for _ in 0..2 {
        let ending = bench.deliver(&["a@b.test"]);
        assert!(matches!(ending, Ending::RouteFailed(_)), "{ending:?}");
        let rest = bench.vault.rest.unwrap();
        assert!((Duration::from_secs(800)..=Duration::from_secs(900)).contains(&rest), "{rest:?}");
    }
    let (lines, passed) = rehearse(&mut bench, "");
    assert!(!passed && lines.iter().any(|line| line.contains("HTTP 429")), "{lines:?}");
    // It tells of a request behind its answer.
    told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(told.try_iter().count(), 0, "it was asked again");
    assert!(mailbox.heard().is_empty());
}

#[test]
fn who_looks_on_sees_what_the_endpoint_shows_of_itself_believed_or_not() {
    let (bundle, config) = certified(&["tokens.test"]);
    let (strange, _) = certified(&["tokens.test"]);
    for (trusted, belief) in [(&bundle, Belief::Verified), (&strange, Belief::Refused)] {
        let (_mailbox, mail) = Mailbox::taking(&["t0ken"]).start();
        // Twice: a session that is resumed shows no certificate.
        let (port, _told) = server(vec![hour("t0ken"), hour("t0ken")], Some(Arc::clone(&config)));
        let trust = Trust { authorities: Some(trusted.as_bytes()), ..Trust::default() };
        let settings = tokens::Settings {
            slice: Oauth2Slice { tls: true, ..slice(Grant::RefreshToken, port) },
            connector: Some(trust::connector(trust).unwrap()),
            client_secret: None,
            refresh_token: Some(Secret::new(REFRESH.to_owned())),
        };
        let mut bench = bench_with(mail, Tokens::new(settings), port);
        for _ in 0..2 {
            let (lines, passed) = heard(&mut bench, vec![None]);
            assert_eq!(passed, belief == Belief::Verified, "{lines:?}");
            let at = lines.iter().position(|line| line.shown.is_some()).unwrap_or_else(|| panic!("{lines:?}"));
            let shown = lines[at].shown.as_ref().unwrap();
            assert_eq!((shown.belief, shown.agreed.is_some()), (belief, passed), "{lines:?}");
            assert_eq!(shown.chain[0].names, ["tokens.test"]);
            let next = &lines[at + 1].text;
            assert!(next.starts_with(&format!("asked https://tokens.test:{port}/token?a=b for a token: ")), "{next}");
        }
    }
}
