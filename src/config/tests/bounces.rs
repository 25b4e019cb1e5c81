//! Reports: how they leave, who gets them, and when of mail that waits.

use super::*;
use crate::config::slice::Bounce;
use crate::policy::reports::Reports;

const CLOUD: &str = "[[upstream]]\nname = \"cloud\"\nkind = \"cloudflare\"\naccount = \"0123abcd\"\n\
                     token_file = \"/etc/gatepost/cloud.token\"\n";
const SEND: &str = "[[upstream]]\nname = \"send\"\nkind = \"bytesend\"\ntoken_file = \"/etc/gatepost/send.token\"\n";

/// The file with another upstream before its others, by which all mail goes.
fn by(upstream: &str, name: &str, bounce: &str) -> String {
    let at = FULL.find("[[route]]").unwrap();
    let (before, after) = FULL.split_at(at);
    format!("{before}{upstream}{bounce}\n[[route]]\nto = \"*\"\nvia = [\"{name}\"]\n{after}")
}

fn warned(written: &str) -> Vec<String> {
    let warnings = load(written).unwrap().warnings;
    warnings.into_iter().filter(|line| line.contains("reports to senders")).collect()
}

#[test]
fn rule_q13_bounce_says_whom_reports_are_from_and_by_which_upstream_they_go() {
    let own = |plan: &Plan| plan.vault_slice(&Secret::new([0; 32])).bounces;
    assert_eq!(own(&load(FULL).unwrap()), []);
    let plan =
        load(&by(CLOUD, "cloud", "bounce = { from = \"mailer-daemon@Example.net\", via = \"smarthost\" }\n")).unwrap();
    let number = |name: &str| plan.upstreams.iter().find(|upstream| upstream.name == name).unwrap().number;
    let from = crate::mail::address::Address::parse("mailer-daemon@example.net").ok();
    let (upstream, via) = (number("cloud"), Some(number("smarthost")));
    assert_eq!(own(&plan), [Bounce { upstream, from, via, requiretls: false, webhook: None }]);
    // Its own name is no other way, and no mistake beside from.
    let plan = load(&by(CLOUD, "cloud", "bounce = { from = \"a@example.net\", via = \"cloud\" }\n")).unwrap();
    assert_eq!(own(&plan)[0].via, None);
    for (bounce, why) in [
        ("bounce = {}", "bounce: give from, via or both, or webhook"),
        ("bounce = { via = \"cloud\" }", "via: it is this upstream itself"),
        ("bounce = { via = \"smarthots\" }", "via: there is no upstream \"smarthots\": did you mean \"smarthost\"?"),
        ("bounce = { from = \"mailer-daemon\" }", "from: \"mailer-daemon\" is not an address"),
        ("bounce = { from = \"\" }", "from: \"\" is not an address"),
        ("bounce = { from = \"m\u{fc}ller@example.net\" }", "an octet that is not ASCII"),
        ("bounce = { webhook = \"app\" }", "webhook: there is no webhook \"app\": write a [[webhook]] of that name"),
        ("bounce = \"a@example.net\"", "bounce: "),
    ] {
        let errors = load(&by(CLOUD, "cloud", &format!("{bounce}\n"))).unwrap_err().0;
        assert!(errors.iter().any(|error| error.contains(why)), "{bounce}: {errors:?}");
    }
    let round = format!("{SEND}bounce = {{ via = \"smarthost\" }}\n{CLOUD}");
    let errors = load(&by(&round, "cloud", "bounce = { via = \"send\" }\n")).unwrap_err().0;
    assert!(errors[0].contains("bounce: via: \"send\" has others send its reports"), "{errors:?}");
    // An upstream that reports alone go by is used.
    let spare = "[[upstream]]\nname = \"spare\"\nkind = \"smtp\"\nhosts = [\"spare.example.net:587\"]\n";
    let used = by(&format!("{spare}{CLOUD}"), "cloud", "bounce = { from = \"a@example.net\", via = \"spare\" }\n");
    assert!(!load(&used).unwrap().warnings.iter().any(|line| line.contains("\"spare\" is never used")));
}

#[test]
fn rule_q13_check_warns_where_reports_go_by_an_upstream_that_is_known_to_refuse_them() {
    let cloud = |bounce: &str| warned(&by(CLOUD, "cloud", bounce));
    let said = cloud("");
    assert!(
        said.len() == 1 && said[0].contains("\"cloud\" will be refused: it takes no mail from nobody (<>)"),
        "{said:?}"
    );
    assert_eq!(cloud("bounce = { from = \"mailer-daemon@example.net\" }\n"), [""; 0]);
    assert_eq!(cloud("bounce = { via = \"smarthost\" }\n"), [""; 0]);
    let said = cloud("endpoint = \"send\"\nbounce = { from = \"mailer-daemon@example.net\" }\n");
    assert!(said.len() == 1 && said[0].contains("\"cloud\" will be refused: it has no fields"), "{said:?}");
    let fields = |bounce: &str| cloud(&format!("endpoint = \"send\"\non_unsupported = \"drop\"\n{bounce}"));
    assert_eq!(fields("bounce = { from = \"mailer-daemon@example.net\" }\n"), [""; 0]);
    assert_eq!(fields("").len(), 1);
    let send = |bounce: &str| warned(&by(SEND, "send", bounce));
    let said = send("bounce = { from = \"mailer-daemon@example.net\" }\n");
    assert!(said.len() == 1 && said[0].contains("\"send\" will be refused: it has no fields"), "{said:?}");
    assert_eq!(send("on_unsupported = \"drop\"\n"), [""; 0]);
    assert_eq!(send("bounce = { via = \"smarthost\" }\n"), [""; 0]);
    // Named by another, it refuses them no less.
    let by_cloud = warned(&by(&format!("{CLOUD}{SEND}"), "send", "bounce = { via = \"cloud\" }\n"));
    assert!(by_cloud.len() == 1 && by_cloud[0].contains("\"cloud\" will be refused"), "{by_cloud:?}");
    // Where no sender's mail goes by it, or nobody is told anything, there is nothing to refuse.
    let elsewhere = by(CLOUD, "cloud", "").replacen(
        "to = \"*\"\nvia = [\"cloud\"]",
        "to = \"@elsewhere.example\"\nvia = [\"cloud\"]",
        1,
    );
    assert_eq!(warned(&elsewhere), [""; 0]);
    let silent = by(CLOUD, "cloud", "").replace("[[credential]]\n", "[[credential]]\nreports = \"none\"\n");
    assert_eq!(warned(&silent), [""; 0]);
}

#[test]
fn rule_q14_how_long_one_waits_before_that_is_told_and_whether_anything_is() {
    let spool = |line: &str| FULL.replacen("[spool]\n", &format!("[spool]\n{line}\n"), 1);
    let wait = |line: &str| load(&spool(line)).unwrap().vault_slice(&Secret::new([0; 32])).delay_report;
    let hours = |n: u64| Some(Duration::from_secs(n * 3600));
    assert_eq!((wait(""), wait("delay_report = \"1h\""), wait("delay_report = \"never\"")), (hours(4), hours(1), None));
    let odd = load(&spool("delay_report = \"30d\"")).unwrap().warnings;
    assert!(odd.iter().any(|line| line.contains("not shorter than lifetime")), "{odd:?}");
    for (line, why) in
        [("delay_report = \"0s\"", "delay_report: must be from"), ("delay_report = \"no\"", "not a length of time")]
    {
        let errors = load(&spool(line)).unwrap_err().0;
        assert!(errors[0].contains(why), "{line}: {errors:?}");
    }
    let with = |word: &str| FULL.replacen("[[credential]]\n", &format!("[[credential]]\nreports = \"{word}\"\n"), 1);
    let kept = |text: &str| load(text).unwrap().credentials[0].policy.reports;
    assert_eq!((kept(FULL), kept(&with("none")), kept(&with("mail"))), (Reports::Mail, Reports::None, Reports::Mail));
    let later = load(&with("webhook")).unwrap_err().0;
    assert!(later[0].contains("reports: \"webhook\" needs webhook"), "{later:?}");
}
