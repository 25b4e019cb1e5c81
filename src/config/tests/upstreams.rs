//! Upstreams: how they are logged in to.

use super::*;
use crate::config::slice::Auth;

#[test]
fn rule_u5_how_to_log_in_is_one_of_four_words_and_needs_a_name() {
    let auth =
        |word: &str| load(&FULL.replace("username = \"gate\"", &format!("username = \"gate\"\nauth = \"{word}\"")));
    for (word, expected) in
        [("auto", Auth::Auto), ("scram-sha-256", Auth::ScramSha256), ("plain", Auth::Plain), ("login", Auth::Login)]
    {
        assert_eq!(auth(word).unwrap().upstreams[0].auth, expected);
    }
    assert_eq!(load(FULL).unwrap().upstreams[0].auth, Auth::Auto);
    assert!(auth("cram-md5").unwrap_err().0[0].contains("auth: \"cram-md5\" is unknown"));
    let alone =
        complaint("username = \"gate\"\npassword_file = \"/etc/gatepost/smarthost.secret\"\n", "auth = \"plain\"\n");
    assert!(alone.contains("auth: there is no login without username"), "{alone}");
}
