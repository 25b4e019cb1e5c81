//! What a credential wants changed in its messages: whose mail goes out as whose, which fields don't go out, and to whom it goes.

use std::collections::BTreeMap;

use crate::config::file::At;
use crate::config::findings::Findings;
use crate::mail::address::Address;
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

/// Who gets all its mail.
pub fn redirect(written: &Option<At<String>>, findings: &mut Findings<'_>) -> Option<Address> {
    written.as_ref().and_then(|written| mailbox(written, "redirect", findings))
}

/// Who gets copies.
pub fn copies(list: &[At<String>], findings: &mut Findings<'_>) -> Vec<Address> {
    list.iter().filter_map(|written| mailbox(written, "always_bcc", findings)).collect()
}

fn mailbox(written: &At<String>, key: &str, findings: &mut Findings<'_>) -> Option<Address> {
    let read = Address::parse(written.get_ref());
    read.map_err(|why| {
        let text = written.get_ref();
        findings.refuse(written.span(), format!("{key}: {text:?} is not an address ({why}): write \"user@domain\""));
    })
    .ok()
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
