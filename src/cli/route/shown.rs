//! What an upstream showed of itself in a TLS handshake, for the terminal and for programs.

use serde_json::{Value, json};

use crate::certificate::facts;
use crate::ipc::shown::{Certificate, Shown};

/// Behind the line that says how it was believed: one for each certificate.
pub fn lines(shown: &Shown) -> Vec<String> {
    let mut lines: Vec<String> = shown.chain.iter().enumerate().map(|(at, one)| line(at, one)).collect();
    if shown.left_out > 0 {
        lines.push(format!("and {} more", shown.left_out));
    }
    lines
}

fn line(at: usize, one: &Certificate) -> String {
    let key = one.key.as_ref().map_or_else(|| "key unreadable".to_owned(), |key| format!("key {}", facts::pin(key)));
    let ends = one.ends.and_then(moment).map_or_else(|| "no end".to_owned(), |end| format!("ends {end}"));
    let mut line = format!("certificate {}: {ends}, {key}", at.saturating_add(1));
    if at == 0 {
        let more = (one.left_out > 0).then(|| format!("{} more", one.left_out));
        let names: Vec<String> = one.names.iter().cloned().chain(more).collect();
        line += &if names.is_empty() { ", no host name".to_owned() } else { format!(", names {}", names.join(", ")) };
    }
    line
}

pub fn object(shown: &Shown) -> Value {
    let agreed = shown.agreed.as_ref();
    let chain: Vec<Value> = shown.chain.iter().enumerate().map(|(at, one)| certificate(at, one)).collect();
    json!({
        "believed": shown.belief.word(),
        "version": agreed.map(|(version, _)| version),
        "suite": agreed.map(|(_, suite)| suite),
        "chain": chain,
        "left_out": shown.left_out,
    })
}

fn certificate(at: usize, one: &Certificate) -> Value {
    let mut object = json!({ "ends": one.ends.and_then(moment), "key": one.key.as_ref().map(facts::pin) });
    if at == 0 {
        object["names"] = json!(one.names);
        object["names_left_out"] = json!(one.left_out);
    }
    object
}

/// RFC 3339; none where no calendar of ours has it.
fn moment(seconds: u64) -> Option<String> {
    let moment = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    Some(format!("{moment:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::shown::Belief;

    #[test]
    fn a_chain_is_told_by_ends_keys_and_the_first_one_s_names() {
        let first = Certificate {
            ends: Some(1_800_000_000),
            key: Some([0xab; 32]),
            names: vec!["mx.example.net".into(), "*.example.net".into()],
            left_out: 3,
        };
        let odd = Certificate { ends: None, key: None, names: Vec::new(), left_out: 0 };
        let agreed = Some(("TLSv1.3".to_owned(), "TLS13_AES_256_GCM_SHA384".to_owned()));
        let mut shown = Shown { belief: Belief::Pinned, agreed, chain: vec![first, odd.clone()], left_out: 2 };
        let key = "sha256:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";
        assert_eq!(
            lines(&shown),
            [
                format!(
                    "certificate 1: ends 2027-01-15T08:00:00Z, key {key}, names mx.example.net, *.example.net, 3 more"
                ),
                "certificate 2: no end, key unreadable".to_owned(),
                "and 2 more".to_owned(),
            ]
        );
        let expected = json!({
            "believed": "pinned",
            "version": "TLSv1.3",
            "suite": "TLS13_AES_256_GCM_SHA384",
            "chain": [
                { "ends": "2027-01-15T08:00:00Z", "key": key, "names": ["mx.example.net", "*.example.net"], "names_left_out": 3 },
                { "ends": null, "key": null },
            ],
            "left_out": 2,
        });
        assert_eq!(object(&shown), expected);
        shown.chain = vec![odd];
        shown.agreed = None;
        assert_eq!(lines(&shown)[0], "certificate 1: no end, key unreadable, no host name");
        assert_eq!(object(&shown)["version"], Value::Null);
    }
}
