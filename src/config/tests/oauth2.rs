//! Upstreams that are logged in to by tokens.

use super::*;
use crate::config::slice::{Auth, Bearer, CourierSlice, Grant};

const LOGIN: &str = "username = \"gate\"\npassword_file = \"/etc/gatepost/smarthost.secret\"\n";
const BY_TOKEN: &str = "username = \"gate@example.net\"\nauth = \"xoauth2\"\n\
                        oauth2.grant = \"refresh_token\"\noauth2.token_url = \"https://Tokens.example.net:8443/t?a=b\"\n\
                        oauth2.client_id = \"gate\"\noauth2.client_secret_file = \"credential:client\"\n\
                        oauth2.refresh_token_file = \"/etc/gatepost/refresh.token\"\noauth2.scope = \"https://mail/ x\"\n";

#[test]
fn rule_u5_tokens_are_asked_for_where_the_file_says_and_with_what() {
    let plan = load(&FULL.replacen(LOGIN, BY_TOKEN, 1)).unwrap();
    let upstream = &plan.upstreams[0];
    assert!(upstream.password.is_none() && plan.ports().contains(&8443));
    assert_eq!(upstream.sources().count(), 2);
    let CourierSlice::Smtp(slice) = plan.courier_slice(upstream) else { panic!("another kind") };
    assert_eq!((slice.username.as_deref(), slice.auth), (Some("gate@example.net"), Auth::Auto));
    let oauth2 = slice.oauth2.unwrap();
    assert_eq!((oauth2.bearer, oauth2.grant), (Bearer::Xoauth2, Grant::RefreshToken));
    assert_eq!((oauth2.host.as_str(), oauth2.port, oauth2.tls), ("tokens.example.net", 8443, true));
    assert_eq!((oauth2.path.as_str(), oauth2.client_id.as_str(), oauth2.client_secret), ("/t?a=b", "gate", true));
    assert_eq!(oauth2.scope.as_deref(), Some("https://mail/ x"));
    // The dialer knows the endpoint by the upstream's name, and that one alone has it.
    let dialer = plan.dialer_slice();
    assert_eq!(dialer.upstreams.len(), 2);
    let endpoints: Vec<_> = dialer.token_endpoints.iter().map(|one| (one.name.as_str(), one.hosts.clone())).collect();
    assert_eq!(endpoints, [("smarthost", vec![("tokens.example.net".to_owned(), 8443)])]);
    let table = "username = \"g\"\nauth = \"oauthbearer\"\n[upstream.oauth2]\ngrant = \"client_credentials\"\n\
                 token_url = \"http://127.0.0.1:1\"\nclient_id = \"g\"\nclient_secret = \"env:SECRET\"\n";
    // What stands behind the login in the file would be of that table.
    let text = FULL.replacen(&format!("{LOGIN}connections = 8\n"), table, 1);
    let plan = load(&text).unwrap();
    let CourierSlice::Smtp(slice) = plan.courier_slice(&plan.upstreams[0]) else { panic!("another kind") };
    let oauth2 = slice.oauth2.unwrap();
    assert_eq!((oauth2.bearer, oauth2.grant), (Bearer::Oauthbearer, Grant::ClientCredentials));
    assert_eq!((oauth2.path.as_str(), oauth2.tls, oauth2.scope), ("/", false, None));
}

#[test]
fn rule_u5_a_login_by_token_that_could_not_work_is_refused_with_its_place() {
    let bearer = "auth = \"xoauth2\"\n";
    let own = "oauth2.client_secret_file = \"credential:client\"\n";
    let refresh = "oauth2.refresh_token_file = \"/etc/gatepost/refresh.token\"\n";
    let url = "https://Tokens.example.net:8443/t?a=b";
    let trusted = format!("{own}oauth2.authorities_file = \"/a.pem\"\n");
    for (from, to, why) in [
        ("oauth2.grant = \"refresh_token\"\n", "", "oauth2: grant is missing"),
        ("\"refresh_token\"\n", "\"refresh\"\n", "grant: \"refresh\" is unknown"),
        ("\"refresh_token\"\n", "\"client_credentials\"\n", "no refresh token is used: take it away"),
        (refresh, "", "this grant needs a refresh token: give refresh_token_file"),
        (refresh, "oauth2.refresh_token = \"s3same\"\n", "write \"credential:NAME\" or \"env:NAME\""),
        ("/etc/gatepost/refresh.token", "refresh.token", "refresh_token_file: \"refresh.token\": write the whole path"),
        (
            own,
            &format!("{own}oauth2.client_secret = \"env:X\"\n"),
            "client_secret: there is client_secret_file already",
        ),
        (own, "oauth2.client_secret = \"s3same\"\n", "client_secret: write \"credential:NAME\" or \"env:NAME\""),
        (own, "oauth2.client_secret = 17\n", "client_secret: must be a text in quotes"),
        ("oauth2.client_id = \"gate\"\n", "", "oauth2: client_id is missing"),
        ("oauth2.client_id = \"gate\"\n", "oauth2.client_id = \"\"\n", "client_id: write the id"),
        ("\"https://mail/ x\"", "\"a  b\"", "scope: write the words of the scope"),
        ("\"https://mail/ x\"", "\"a\\\"b\"", "scope: write the words of the scope"),
        (url, "http://tokens.example.net/t", "token_url: http is for this machine only"),
        (url, "tokens.example.net", "token_url: write the token endpoint"),
        (url, "https://u:p@tokens.example.net/", "token_url: write the token endpoint"),
        ("oauth2.token_url = \"https://Tokens.example.net:8443/t?a=b\"\n", "", "oauth2: token_url is missing"),
        ("oauth2.scope", "oauth2.scopes", "unknown key \"scopes\""),
        (bearer, "", "oauth2: only auth = \"xoauth2\" or \"oauthbearer\" logs in by its tokens"),
        (bearer, &format!("{bearer}password_file = \"/p\"\n"), "has no password: take this away"),
        ("username = \"gate@example.net\"\n", "", "auth: there is no login without username"),
    ] {
        let errors = load(&FULL.replacen(LOGIN, &BY_TOKEN.replacen(from, to, 1), 1)).unwrap_err().0;
        assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
        assert!(!errors.iter().any(|error| error.contains("s3same")), "{errors:?}");
    }
    let without = complaint(LOGIN, &format!("username = \"g\"\n{bearer}"));
    assert!(without.contains("auth: oauth2 is missing beside it"), "{without}");
    let local = BY_TOKEN.replacen(url, "http://localhost/t", 1).replacen(own, &trusted, 1);
    let said = complaint(LOGIN, &local);
    assert!(said.contains("authorities_file: nobody's certificate is checked over http"), "{said}");
    let open = BY_TOKEN.replacen(bearer, "auth = \"xoauth2\"\ntls = \"none\"\n", 1);
    let said =
        load(&FULL.replacen("tls = \"starttls\"\nusername", "username", 1).replacen(LOGIN, &open, 1)).unwrap_err().0;
    assert!(said.iter().any(|error| error.contains("tls: the token would go to mx1.example.net")), "{said:?}");
    let client = BY_TOKEN
        .replacen("\"refresh_token\"\n", "\"client_credentials\"\n", 1)
        .replacen(refresh, "", 1)
        .replacen(own, "", 1);
    let said = complaint(LOGIN, &client);
    assert!(said.contains("this grant needs the client's secret: give client_secret_file"), "{said}");
    let elsewhere = "[[upstream]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"https://h.example.net/\"\n\
                     secret_file = \"/s\"\noauth2.grant = \"refresh_token\"\n";
    let errors = load(&format!("{FULL}\n{elsewhere}")).unwrap_err().0;
    assert!(
        errors.iter().any(|error| error.contains("oauth2: only an upstream of kind \"smtp\" has it")),
        "{errors:?}"
    );
}
