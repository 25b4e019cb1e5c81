//! A walk over a JSON tree that collects every mistake with its place, and goes on.

use super::json::{Node, shown};
use super::letter::{Flaw, flaw};
use super::reply::{Code, Fault, Issue, MAX_ISSUES};

/// A member's name in the model, and the other names it goes by.
pub type Table = [(&'static str, &'static [&'static str])];

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings {
    issues: Vec<Issue>,
}

impl Findings {
    pub fn add(&mut self, pointer: &str, flaw: Flaw) {
        // One more than a reply lists, and the rest would be work for nothing.
        if self.issues.len() <= MAX_ISSUES {
            self.issues.push(Issue { code: flaw.code, pointer: pointer.to_owned(), message: flaw.message });
        }
    }

    /// The value, or its flaw on the list.
    pub fn take<T>(&mut self, pointer: &str, result: Result<T, Flaw>) -> Option<T> {
        result.map_err(|flaw| self.add(pointer, flaw)).ok()
    }

    pub fn wrong_type(&mut self, pointer: &str, node: &Node<'_>, wanted: &str) {
        self.add(pointer, flaw("wrong_type", format!("must be {wanted} and is {}", node.kind())));
    }

    pub fn text<'n>(&mut self, at: &At<'n, '_>) -> Option<&'n str> {
        match at.node {
            Node::Text(text) => Some(text),
            other => {
                self.wrong_type(&at.pointer, other, "a string");
                None
            }
        }
    }

    pub fn truth(&mut self, at: &At<'_, '_>) -> Option<bool> {
        match at.node {
            Node::Bool(value) => Some(*value),
            other => {
                self.wrong_type(&at.pointer, other, "true or false");
                None
            }
        }
    }

    /// All findings as one fault, if there are any.
    pub fn verdict(self) -> Result<(), Fault> {
        if self.issues.is_empty() { Ok(()) } else { Err(self.fault()) }
    }

    pub fn fault(self) -> Fault {
        Fault::of(Code::ValidationFailed, self.issues)
    }
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct At<'n, 'a> {
    pub node: &'n Node<'a>,
    pub pointer: String,
}

/// The members of an object by their names in the model. Those that are null are absent.
#[derive(Debug)]
pub struct Members<'n, 'a> {
    found: Vec<(&'static str, At<'n, 'a>)>,
    pointer: String,
}

impl<'n, 'a> Members<'n, 'a> {
    /// Sorts an object's members by the table; what is unknown or there under two names is a finding.
    pub fn read(findings: &mut Findings, table: &Table, at: &At<'n, 'a>) -> Option<Self> {
        let Node::Map(members) = at.node else {
            findings.wrong_type(&at.pointer, at.node, "an object");
            return None;
        };
        let mut this = Self { found: Vec::new(), pointer: at.pointer.clone() };
        for (name, node) in members {
            let Some((known, _)) = table.iter().find(|(known, others)| known == name || others.contains(&&**name))
            else {
                this.unknown(findings, table, name);
                continue;
            };
            let place = At { node, pointer: format!("{}/{name}", at.pointer) };
            if *node == Node::Null {
                continue;
            }
            if this.get(known).is_some() {
                let message = format!("is the same member as {known} under another name; give one of them");
                findings.add(&place.pointer, flaw("duplicate_member", message));
                continue;
            }
            this.found.push((known, place));
        }
        Some(this)
    }

    pub fn get(&self, name: &str) -> Option<&At<'n, 'a>> {
        self.found.iter().find(|(known, _)| *known == name).map(|(_, at)| at)
    }

    /// Where a member is, or would be.
    pub fn place(&self, name: &str) -> String {
        self.get(name).map_or_else(|| format!("{}/{name}", self.pointer), |at| at.pointer.clone())
    }

    fn unknown(&self, findings: &mut Findings, table: &Table, name: &str) {
        let Some(shown) = shown(name) else {
            return findings.add(&self.pointer, flaw("unknown_member", "holds a member that is not known"));
        };
        let message = match nearest(table, shown) {
            Some(known) => format!("is not known; did you mean {known}?"),
            None => "is not known".to_owned(),
        };
        findings.add(&format!("{}/{shown}", self.pointer), flaw("unknown_member", message));
    }
}

/// The elements of an array with their places.
pub fn elements<'n, 'a>(list: &'n [Node<'a>], pointer: &str) -> Vec<At<'n, 'a>> {
    list.iter().enumerate().map(|(n, node)| At { node, pointer: format!("{pointer}/{n}") }).collect()
}

/// The known name that a mistyped one is nearest to, if it is near: two changes, and fewer than the name has letters.
pub fn nearest(table: &Table, name: &str) -> Option<&'static str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['_', '-'], "");
    let name = plain(name);
    table
        .iter()
        .flat_map(|(known, others)| std::iter::once(known).chain(*others))
        .map(|known| (changes(&plain(known), &name), *known))
        .filter(|(changes, _)| *changes <= 2 && *changes * 2 < name.len())
        .min_by_key(|(changes, _)| *changes)
        .map(|(_, known)| known)
}

/// Levenshtein's distance, over one row. Both are short: known names, and names short enough to be shown.
fn changes(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, a) in one.bytes().enumerate() {
        let mut diagonal = n;
        let mut left = n + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = n + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &Table =
        &[("subject", &[]), ("text", &["body"]), ("html", &["html_body", "body_html"]), ("reply_to", &[]), ("to", &[])];

    #[test]
    fn changes_are_counted() {
        for (a, b, n) in [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("to", "ot", 2)] {
            assert_eq!(changes(a, b), n, "{a} {b}");
        }
    }

    #[test]
    fn a_mistyped_name_gets_the_nearest_known_one() {
        assert_eq!(nearest(TABLE, "subjct"), Some("subject"));
        assert_eq!(nearest(TABLE, "replyTo"), Some("reply_to"));
        assert_eq!(nearest(TABLE, "htmlBody"), Some("html_body"));
        assert_eq!(nearest(TABLE, "Text"), Some("text"));
        assert_eq!(nearest(TABLE, "bcc"), None);
        assert_eq!(nearest(TABLE, "template"), None);
    }

    #[test]
    fn null_is_absent_and_two_names_of_one_member_are_a_finding() {
        let node =
            super::super::json::parse(br#"{"text":null,"body":"a","subjct":"x","html":"b","body_html":"c"}"#).unwrap();
        let mut findings = Findings::default();
        let members = Members::read(&mut findings, TABLE, &At { node: &node, pointer: String::new() }).unwrap();
        assert_eq!(members.get("text").unwrap().pointer, "/body");
        let found: Vec<_> = findings.issues.iter().map(|issue| (issue.code, issue.pointer.as_str())).collect();
        assert_eq!(found, [("unknown_member", "/subjct"), ("duplicate_member", "/body_html")]);
    }
}
