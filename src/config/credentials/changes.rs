//! What a credential wants changed in its messages: whose mail goes out as whose, and which fields don't go out.

use std::collections::BTreeMap;

use crate::config::file::At;
use crate::config::findings::Findings;
use crate::mail::removal::Removable;
use crate::policy::rewrite::Rewrite;

/// `{ "root@web01.internal" = "web01@example.net" }`
pub fn rewrite(table: &BTreeMap<String, At<String>>, findings: &mut Findings<'_>) -> Vec<Rewrite> {
    let mut lines = Vec::new();
    for (from, to) in table {
        match Rewrite::new(from, to.get_ref()) {
            Ok(line) => lines.push(line),
            Err(why) => findings.refuse(to.span(), format!("rewrite: {why}")),
        }
    }
    lines
}

/// Names of fields.
pub fn removed(list: &[At<String>], findings: &mut Findings<'_>) -> Vec<Removable> {
    let mut names = Vec::new();
    for written in list {
        match written.get_ref().parse() {
            Ok(name) => names.push(name),
            Err(why) => findings.refuse(written.span(), format!("remove_headers: {why}")),
        }
    }
    names
}
