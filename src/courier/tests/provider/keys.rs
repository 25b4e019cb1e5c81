//! What a rehearsal finds out of a key of ByteSend or useSend.

use super::*;
use crate::config::slice::OnUnsupported;

const LOGIN: &str = "post /api/v1/smtp/auth http/1.1";
const DOMAINS: &str = "get /api/v1/domains http/1.1";

#[test]
fn rule_u16_a_key_of_bytesend_that_it_does_not_know_is_no_key() {
    let wrong = "{\"error\":{\"code\":\"FORBIDDEN\",\"message\":\"Invalid API token\"}}";
    let other = "{\"error\":{\"code\":\"FORBIDDEN\",\"message\":\"this key may send only\"}}";
    let absent = || status("404 Where", "{}");
    for (acts, passes) in [
        (vec![status("200 OK", "{\"valid\":true}")], true),
        (vec![status("401 No", "{\"valid\":false,\"message\":\"Invalid API key\"}")], false),
        (vec![status("401 No", "{\"valid\":false,\"message\":\"Invalid username\"}"), status("200 OK", "[]")], true),
        (vec![status("405 Not so", ""), status("200 OK", "[]")], true),
        (vec![absent(), status("200 OK", "[]")], true),
        // Whoever comes without a key in the header is told so before anything else.
        (vec![status("401 No", "{\"error\":{\"code\":\"UNAUTHORIZED\"}}"), status("200 OK", "[]")], true),
        (vec![status("401 No", "{\"error\":{\"code\":\"UNAUTHORIZED\"}}"), status("403 No", wrong)], false),
        (vec![absent(), status("401 No", "")], false),
        (vec![absent(), status("403 No", wrong)], false),
        (vec![absent(), status("403 No", other)], true),
        (vec![absent(), status("404 Where", "")], true),
        (vec![absent(), status("500 Ow", "")], false),
        (vec![status("200 OK", "<html>"), status("200 OK", "<html>")], false),
        (vec![absent(), status("302 There\r\nLocation: /", "")], false),
        (vec![status("500 Ow", ""), status("500 Ow", "")], false),
    ] {
        let expected: Vec<&str> = [LOGIN, DOMAINS].into_iter().take(acts.len()).collect();
        let api = Api::Bytesend { on_unsupported: OnUnsupported::Fail };
        let (lines, passed, paths) = tried(api, "/api/v1/emails", acts);
        assert_eq!((passed, paths.iter().map(String::as_str).collect()), (passes, expected), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("sesame")), "{lines:?}");
    }
}
