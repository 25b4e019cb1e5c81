//! The checklist on a screen, and as one object.

use serde_json::{Value, json};

use super::finding::{Finding, Level, Sheet};
use super::pages::located;
use crate::vault::audit::visible::visible;

/// The lines for people: what is wrong first, each with why and what to do; what is well by its families, in one line.
pub fn lines(sheet: &Sheet) -> Vec<String> {
    let mut lines = Vec::new();
    for level in [Level::Fail, Level::Warn] {
        for finding in sheet.0.iter().filter(|finding| finding.level == level) {
            lines.push(format!("{}  {:<24}  {}", level.word(), finding.id, visible(&finding.what)));
            if !finding.why.is_empty() {
                lines.push(format!("        {}", visible(&finding.why)));
            }
            if !finding.fix.is_empty() {
                lines.push(format!("     => {}  ({})", visible(&located(&finding.fix)), finding.doc()));
            }
        }
    }
    for (why, ids) in skipped(sheet) {
        lines.push(format!("skip  {}: {}", ids.join(" "), visible(why)));
    }
    let mut families: Vec<(&str, usize)> = Vec::new();
    for finding in sheet.0.iter().filter(|finding| finding.level == Level::Pass) {
        match families.iter_mut().find(|(name, _)| *name == finding.family()) {
            Some((_, count)) => *count += 1,
            None => families.push((finding.family(), 1)),
        }
    }
    let passed: Vec<String> = families.into_iter().map(|(name, count)| format!("{name} {count}")).collect();
    if !passed.is_empty() {
        lines.push(format!("pass  {}", passed.join(", ")));
    }
    let counts = Level::ALL.map(|level| format!("{} {}", sheet.count(level), level.word()));
    lines.push(counts.join(", "));
    lines
}

/// What was not looked at, by the reason.
fn skipped(sheet: &Sheet) -> Vec<(&str, Vec<&str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    for finding in sheet.0.iter().filter(|finding| finding.level == Level::Skip) {
        match all.iter_mut().find(|(why, _)| *why == finding.why) {
            Some((_, ids)) => ids.extend((!ids.contains(&finding.id)).then_some(finding.id)),
            None => all.push((&finding.why, vec![finding.id])),
        }
    }
    all
}

/// The same for programs.
pub fn object(sheet: &Sheet) -> Value {
    let counts = Level::ALL.map(|level| (level.word().to_owned(), Value::from(sheet.count(level))));
    let mut findings: Vec<&Finding> = sheet.0.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let one = |finding: &&Finding| {
        json!({
            "id": finding.id,
            "level": finding.level.word(),
            "what": finding.what,
            "why": finding.why,
            "fix": located(&finding.fix),
            "doc": finding.doc(),
        })
    };
    json!({
        "gatepost": env!("CARGO_PKG_VERSION"),
        "verdict": if sheet.worst() == Level::Skip { "pass" } else { sheet.worst().word() },
        "counts": serde_json::Map::from_iter(counts),
        "findings": findings.iter().map(one).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_what_is_well_takes_one_line() {
        let mut sheet = Sheet::default();
        sheet.pass("disk.space", "room");
        sheet.pass("disk.inodes", "names");
        sheet.warn("audit.mask", "clear\u{1b}[31m", "why", "fix");
        sheet.skip("machine.clock", "the clock", "no such call");
        sheet.skip("disk.flush", "a flush", "no such call");
        sheet.fail("tls.expiry", "over", "why", "renew");
        let lines = lines(&sheet);
        assert!(lines[0].starts_with("fail  tls.expiry "), "{lines:#?}");
        assert!(lines[2].contains("=> renew") && lines[2].ends_with("checklist.md#tls)"));
        assert!(lines[3].starts_with("warn  audit.mask") && !lines[3].contains('\u{1b}'), "{lines:#?}");
        let end = ["skip  machine.clock disk.flush: no such call", "pass  disk 2", "1 fail, 1 warn, 2 skip, 2 pass"];
        assert_eq!(lines[lines.len() - 3..], end);
        let object = object(&sheet);
        assert_eq!((&object["verdict"], &object["counts"]["pass"]), (&"fail".into(), &2.into()));
        assert_eq!(object["findings"][0]["id"], "tls.expiry");
    }
}
