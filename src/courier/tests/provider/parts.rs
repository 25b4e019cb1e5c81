//! Messages to more recipients than go with one request.

use super::*;

#[test]
fn rule_u16_more_recipients_than_cloudflare_takes_at_once_go_in_parts() {
    let names: Vec<String> = (0..120).map(|n| format!("r{n}@b.test")).collect();
    let recipients: Vec<&str> = names.iter().map(String::as_str).collect();
    let taken = status("200 OK", "{\"success\":true,\"result\":{}}");
    let (port, told) = server(vec![taken.clone(), taken.clone(), taken], None);
    let ending = bench(cloudflare(), port).deliver(&recipients);
    assert_eq!(ending.word(), "delivered", "{ending:?}");
    let parts: Vec<serde_json::Value> =
        (0..3).map(|_| serde_json::from_slice(&told.recv_timeout(PATIENCE).unwrap().1).unwrap()).collect();
    let said: Vec<&str> =
        parts.iter().flat_map(|part| part["recipients"].as_array().unwrap()).map(|to| to.as_str().unwrap()).collect();
    assert_eq!(said, recipients);
    assert_eq!(parts.iter().map(|part| part["recipients"].as_array().unwrap().len()).collect::<Vec<_>>(), [50, 50, 20]);
    // What a part meets is the affair of those behind it, and not of those before.
    let (port, _told) = server(vec![status("200 OK", "{\"success\":true,\"result\":{}}"), status("401 Who", "")], None);
    let mut bench = bench(cloudflare(), port);
    assert!(matches!(bench.deliver(&recipients), Ending::LoginRefused(_)));
    let delivered = bench.vault.told.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Delivered(_)));
    assert_eq!(delivered.map(|(number, _)| *number).collect::<Vec<_>>(), (10..60).collect::<Vec<_>>());
}

#[test]
fn rule_u16_what_can_not_be_said_to_a_later_part_is_said_to_nobody() {
    let names: Vec<String> = (0..55).map(|n| format!("r{n}@b.test")).collect();
    let recipients: Vec<&str> = names.iter().map(String::as_str).collect();
    let letter = |to: &str| format!("From: a@example.net\r\n{to}Subject: s\r\n\r\nhello\r\n").into_bytes();
    // Whom To names would be named to those of another request, too, and get it twice.
    for named in ["r0@b.test", "r52@b.test"] {
        let (port, told) = server(Vec::new(), None);
        let mut bench = bench(bytesend(), port);
        let ending = bench.vault.deliver(&recipients, &letter(&format!("To: {named}\r\n")));
        assert_eq!(ending.word(), "unsendable", "{ending:?}");
        assert!(told.try_recv().is_err(), "{named}: nothing was posted");
    }
    // Nobody is named: each goes alone.
    let taken = || status("200 OK", "{\"emailId\":\"x1\"}");
    let (port, told) = server(vec![taken(), taken(), taken()], None);
    let ending = bench(bytesend(), port).vault.deliver(&recipients[..3], &letter(""));
    assert_eq!((ending.word().as_str(), told.iter().take(3).count()), ("delivered", 3), "{ending:?}");
}
