//! What a credential wants changed in its messages.

use super::*;

/// The file with these keys in its first credential.
fn with(keys: &str) -> String {
    FULL.replacen("[[credential]]\n", &format!("[[credential]]\n{keys}\n"), 1)
}

#[test]
fn row_55a_rewriting_and_removal_stand_in_the_file_too() {
    let keys = "rewrite = { \"root@web01\" = \"web01@example.net\", \"@lan\" = \"a@example.net\" }\n\
                remove_headers = [\"Received\", \"X-Mailer\"]";
    let policy = load(&with(keys)).unwrap().credentials.remove(0).policy;
    let lines: Vec<String> = policy.rewrite.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["@lan=a@example.net", "root@web01=web01@example.net"]);
    let names: Vec<&str> = policy.remove_headers.iter().map(|name| name.name()).collect();
    assert_eq!(names, ["Received", "X-Mailer"]);
    for (keys, why) in [
        ("rewrite = { \"root@web01\" = \"ceo@evil.example\" }", "none of its senders"),
        ("rewrite = { \"web01\" = \"a@example.net\" }", "not a sender rule"),
        ("rewrite = { \"@lan\" = \"a\" }", "not an address to rewrite to"),
        ("remove_headers = [\"From\"]", "can't be removed"),
    ] {
        let said = load(&with(keys)).unwrap_err().to_string();
        assert!(said.contains(why), "{keys}: {said}");
    }
}
