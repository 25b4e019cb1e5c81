//! What is of the account that all mail goes by, and of no message: it is the route's, whoever has passed before.

use super::*;

#[test]
fn rule_u16_what_is_of_the_whole_account_rests_the_route_although_others_have_passed() {
    let cloudflare_says =
        |code: u32| format!("{{\"success\":false,\"errors\":[{{\"code\":{code},\"message\":\"x\"}}]}}");
    let taken = "{\"success\":true,\"result\":{\"queued\":[\"a@b.test\"]}}".to_owned();
    for (api, taken, line, body) in [
        (Api::Webhook, String::new(), "429 Slow", String::new()),
        (cloudflare(), taken.clone(), "429 Slow", cloudflare_says(10_004)),
        (cloudflare(), taken, "404 Where", cloudflare_says(10_000)),
    ] {
        let (port, _told) = server(vec![status("200 OK", &taken), status(line, &body)], None);
        let mut bench = bench(api, port);
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered");
        let ending = bench.deliver(&["a@b.test"]);
        assert!(matches!(ending, Ending::RouteFailed(_)), "{line}: {ending:?}");
        assert_eq!(bench.vault.rest, Some(Duration::from_secs(60)), "{line}: it didn't say for how long");
    }
}

#[test]
fn rule_u16_a_key_that_was_taken_away_is_a_refused_login_although_it_has_passed() {
    let acts = vec![status("200 OK", "{\"emailId\":\"x\"}"), status("403 No", "{\"error\":\"Invalid API token\"}")];
    let (port, _told) = server(acts, None);
    let mut bench = bench(bytesend(), port);
    let content = b"From: a@b.test\r\nTo: a@b.test\r\nSubject: s\r\n\r\nx\r\n";
    assert_eq!(bench.vault.deliver(&["a@b.test"], content).word(), "delivered");
    let ending = bench.vault.deliver(&["a@b.test"], content);
    assert!(matches!(ending, Ending::LoginRefused(_)), "{ending:?}");
}

#[test]
fn rule_u16_a_page_that_answers_in_the_place_of_bytesend_is_asked_again_and_takes_no_message() {
    let page = || status("200 OK", "<html>back soon</html>");
    for (second, expected) in [(page(), "unknown"), (status("200 OK", r#"{"emailId":"e1"}"#), "delivered")] {
        let (port, told) = server(vec![page(), second], None);
        let content = b"From: a@gate.test\r\nTo: a@b.test\r\nSubject: x\r\n\r\nhello\r\n";
        let ending = bench(bytesend(), port).vault.deliver(&["a@b.test"], content);
        assert_eq!(ending.word(), expected, "{ending:?}");
        assert_eq!(told.iter().count(), 2);
    }
}

#[test]
fn rule_u16_a_lost_answer_is_no_refusal_because_the_second_request_is() {
    // The page of something that stands before it takes no message.
    for (line, body, expected) in [
        ("200 OK", r#"{"emailId":"e1"}"#, "delivered"),
        ("200 OK", "{}", "unknown"),
        ("200 OK", "<html>back soon</html>", "unknown"),
        ("409 Busy", "{}", "unknown"),
        ("400 Bad", "{}", "unknown"),
        ("429 Slow", "{}", "unknown"),
    ] {
        let (port, told) = server(vec![Act::Leave(usize::MAX), status(line, body)], None);
        let api = bytesend();
        let content = b"From: a@gate.test\r\nTo: a@b.test\r\nSubject: x\r\n\r\nhello\r\n";
        let ending = bench(api, port).vault.deliver(&["a@b.test"], content);
        assert_eq!(ending.word(), expected, "{line}: {ending:?}");
        assert_eq!(told.iter().count(), 2);
    }
}
