//! What the upstream is told beside addresses, and what it is not told.

use super::*;
use crate::mail::dsn::{Notify, Report, Ret, Wish};

fn offering(keywords: &[&str]) -> Options {
    Options { keywords: keywords.iter().map(|word| (*word).to_owned()).collect(), ..Options::default() }
}

/// A recipient, and the occasions on which its sender is to be told.
fn addressee(text: &str, notify: &str, orcpt: &str) -> Addressee {
    let (notify, orcpt) = (Some(Notify::parse(notify).unwrap()), Some(orcpt.to_owned().try_into().unwrap()));
    Addressee { address: Address::parse(text).unwrap(), wish: Wish { notify, orcpt } }
}

fn commands(sink: &Sink) -> Vec<String> {
    sink.tally().commands.into_iter().filter(|line| line.starts_with("MAIL") || line.starts_with("RCPT")).collect()
}

#[test]
fn rule_x6_rule_u12_what_was_asked_of_reports_goes_where_dsn_is_offered_and_nowhere_else() {
    let manner = Manner { report: Report { ret: Some(Ret::Headers), envid: "QQ+2B1".to_owned().try_into().ok() } };
    let recipients = || {
        let plain = Address::parse("b@b.test").unwrap().into();
        vec![addressee("a@b.test", "SUCCESS,DELAY", "rfc822;x+2By@c.test"), plain]
    };
    let with = [
        "MAIL FROM:<sender@gate.test> RET=HDRS ENVID=QQ+2B1",
        "RCPT TO:<a@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@c.test",
        "RCPT TO:<b@b.test>",
    ];
    let without = ["MAIL FROM:<sender@gate.test>", "RCPT TO:<a@b.test>", "RCPT TO:<b@b.test>"];
    for (keywords, expected) in [(["PIPELINING", "DSN"].as_slice(), with), (&["PIPELINING"], without)] {
        let (mut bench, sink) = bench(offering(keywords));
        let job = bench.vault.offer_with(manner.clone(), recipients(), 3);
        assert_eq!(bench.vault.follow(job, b"x\r\n").word(), "delivered 250");
        assert_eq!(commands(&sink), expected);
    }
}
