//! Secrets of a credential, and what it wants changed in its messages.

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

#[test]
fn rule_a17_keys_for_scram_stand_beside_their_hash_and_share_a_salt() {
    const KEYS: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let file = |scrams: &[&str]| {
        let secret =
            |(n, scram): (usize, &&str)| format!("{{ key = \"key{n}\", hash = \"HASH\", scram = \"{scram}\" }}");
        let secrets: Vec<String> = scrams.iter().enumerate().map(secret).collect();
        FULL.replace("{ key = \"7fQ2mKx9\", hash = \"HASH\" }", &secrets.join(", "))
    };
    let plan = load(&file(&[KEYS, KEYS])).unwrap();
    let kept = plan.credentials[0].secrets.iter().filter_map(|secret| secret.scram.as_ref());
    assert_eq!(kept.map(|keys| keys.expose().as_str()).collect::<Vec<_>>(), [KEYS, KEYS]);
    let (fewer, other) = (KEYS.replace("4096", "4095"), KEYS.replace("W22Z", "W22A"));
    for (scrams, why) in [
        (&["hunter2"][..], "scram: is not SCRAM-SHA-256$<iterations>"),
        (&[&fewer], "scram: has fewer than 4096 iterations"),
        (&[KEYS, &other], "need the same salt and iterations"),
        (&[&KEYS.replace("4096", "5000"), KEYS], "need the same salt and iterations"),
    ] {
        let said = load(&file(scrams)).unwrap_err().to_string();
        assert!(said.contains(why) && !said.contains("hunter2") && !said.contains("WG5d"), "{scrams:?}: {said}");
    }
}

#[test]
fn row_80b_where_its_mail_goes_stands_in_the_file_too() {
    let keys = "redirect = \"test@example.net\"\nalways_bcc = [\"archive@example.net\", \"b@example.net\"]";
    let policy = load(&with(keys)).unwrap().credentials.remove(0).policy;
    assert_eq!(policy.redirect.unwrap().to_string(), "test@example.net");
    assert_eq!(policy.always_bcc.len(), 2);
    for (keys, why) in [
        ("redirect = \"test\"", "redirect: \"test\" is not an address"),
        ("redirect = \"bounced@sandbox.test\"", "redirect: bounced@sandbox.test is an address for tests"),
        ("always_bcc = [\"delivered@resend.dev\"]", "always_bcc: delivered@resend.dev is an address for tests"),
        ("redirect = \"test@localhost\"", "full domain"),
        ("always_bcc = [\"a@x.example\", \"\"]", "always_bcc: \"\" is not an address"),
        ("always_bcc = [\"a@x.example\", \"a@x.example\"]", "twice"),
    ] {
        let said = load(&with(keys)).unwrap_err().to_string();
        assert!(said.contains(why), "{keys}: {said}");
    }
}

#[test]
fn row_80b_a_mailbox_that_no_route_leads_to_is_a_warning_for_each_key() {
    let astray = |keys: &str, route: &str| {
        let file = with(keys).replace("[[route]]\nvia = [\"smarthost\"]\n", route);
        let warnings = load(&file).unwrap().warnings;
        warnings.into_iter().filter(|line| line.contains("no route leads to")).collect::<Vec<_>>()
    };
    let elsewhere = "[[route]]\nto = \"@example.org\"\nvia = [\"inside\"]\n";
    let copies = "always_bcc = [\"archive@example.net\", \"b@example.org\"]";
    let warned = astray(copies, elsewhere);
    assert!(warned.len() == 1 && warned[0].contains("always_bcc: no route leads to archive@example.net"), "{warned:?}");
    let both = format!("redirect = \"test@example.net\"\n{copies}");
    let warned = astray(&both, elsewhere);
    assert!(warned.len() == 1 && warned[0].contains("redirect: no route leads to test@example.net"), "{warned:?}");
    // A route of others' mail is none for it.
    let others = format!("{elsewhere}[[route]]\nfrom = \"@elsewhere.example\"\nvia = [\"inside\"]\n");
    assert_eq!(astray(copies, &others).len(), 1);
    let all = format!("{elsewhere}[[route]]\nvia = [\"inside\"]\n");
    assert_eq!(astray(&both, &all), [""; 0]);
}

#[test]
fn rules_too_long_for_a_grant_are_refused() {
    let many: Vec<String> = (0..600).map(|n| format!("\"somebody-{n}@a-rather-long-domain.example.net\"")).collect();
    assert!(complaint("\"@competitor.example\"", &many.join(",")).contains("take more than 12 KiB together"));
    let many: String =
        (0..200).map(|n| format!("[[route]]\nto = \"@d{n}.example.net\"\nvia = [\"inside\"]\n")).collect();
    assert!(complaint("[spool]", &format!("{many}[spool]")).contains("the routes that can apply to"));
}

#[test]
fn a_key_id_that_another_credential_has_is_said_with_both_places() {
    let own = "[[credential]]\nid = \"other\"\nsecrets = [{ key = \"7fQ2mKx9\", hash = \"HASH\" }]\nsenders = [\"@example.net\"]\n";
    let text = FULL.replacen("[[upstream]]", &format!("{own}\n[[upstream]]"), 1);
    let line = |of: &str| text[..text.find(of).unwrap()].matches('\n').count() + 1;
    let (first, second) = (line("secrets = [{ key = \"7fQ2mKx9\""), line("id = \"other\"") + 1);
    let warnings = load(&text).unwrap().warnings;
    let [said] = warnings.as_slice() else { panic!("{warnings:#?}") };
    let expected = format!("the key id \"7fQ2mKx9\" is credential \"billing\"'s (line {first}) already");
    assert!(said.contains(&expected) && said.contains(&format!("{second}:")), "{said}");
    assert_eq!(
        load(&text.replacen("[{ key = \"7fQ2mKx9\"", "[{ key = \"another1\"", 1)).unwrap().warnings,
        Vec::<String>::new()
    );
}

#[test]
fn who_may_write_from_and_to_anybody_needs_no_route_for_all() {
    let routes = "[[route]]\nto = \"@a.test\"\nvia = [\"inside\"]\n\n[[route]]\nto = \".b.test\"\nvia";
    for (senders, recipients, warned) in [
        ("[\"*\"]", "{ deny = [\"@competitor.example\"] }", false),
        ("[\"*\"]", "{ allow = [\"*\"] }", false),
        ("[\"@example.net\"]", "{ allow = [\"*\"] }", false),
        ("[\"*\"]", "{ allow = [\"@c.test\"] }", true),
        ("[\"*\"]", "{ allow = [\"@a.test\", \"@x.b.test\"] }", false),
    ] {
        let text = FULL
            .replacen(
                "senders = [\"@example.net\"]\nrecipients = { deny = [\"@competitor.example\"] }",
                &format!("senders = {senders}\nrecipients = {recipients}"),
                1,
            )
            .replacen("[[route]]\nvia", routes, 1);
        let warnings = load(&text).unwrap().warnings;
        let is_warned = warnings.iter().any(|line| line.contains("no route takes mail"));
        assert_eq!(is_warned, warned, "{senders} {recipients}: {warnings:#?}");
    }
    let none =
        FULL.replacen("[[route]]\nvia", "[[route]]\ncredential = \"printers\"\nfrom = \"printer@example.net\"\nvia", 1);
    assert!(
        load(&none).unwrap().warnings.iter().any(|line| line.contains("no route takes mail from @example.net to *"))
    );
}
