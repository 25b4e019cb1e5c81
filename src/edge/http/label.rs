//! What a client says of its message beside it: tags and metadata, from JSON to what the vault is told.

use super::json::Node;
use super::letter::{Flaw, HeaderText, Letter, flaw};
use super::members::{At, Findings, Members, Table, elements};
use super::submit;
use crate::ipc::label::{self, Label, Tag};

pub const TAG: &Table = &[("name", &[]), ("value", &[])];

/// `[{"name", "value"}]`, `["name"]` or `{"name": "value"}`.
pub fn tags(findings: &mut Findings, at: &At<'_, '_>) -> Vec<Tag> {
    let (mut tags, pointer) = (Vec::<Tag>::new(), &at.pointer);
    let mut add = |findings: &mut Findings, pointer: &str, name: &str, value: Option<&str>| {
        let name = findings.take(pointer, word(name));
        let value = value.map(|value| findings.take(pointer, word(value)));
        let (Some(name), true) = (name, value.as_ref().is_none_or(Option::is_some)) else { return };
        if tags.iter().any(|known| known.name == name) {
            return findings.add(pointer, flaw("duplicate_member", "is a tag whose name another one has"));
        }
        tags.push(Tag { name, value: value.flatten() });
    };
    let count = match at.node {
        Node::Map(members) => {
            for (name, node) in members.iter().filter(|(_, node)| *node != Node::Null) {
                let place = At { node, pointer: pointer.clone() };
                if let Some(value) = findings.text(&place) {
                    add(findings, pointer, name, Some(value));
                }
            }
            members.len()
        }
        Node::List(list) => {
            for at in elements(list, pointer) {
                if let Node::Text(name) = at.node {
                    add(findings, &at.pointer, name, None);
                    continue;
                }
                let Some(members) = Members::read(findings, TAG, &at) else { continue };
                let Some(name) = members.get("name") else {
                    findings.add(&members.place("name"), flaw("required", "is missing"));
                    continue;
                };
                let Some(name) = findings.text(name) else { continue };
                match members.get("value").map(|at| findings.text(at)) {
                    None => add(findings, &at.pointer, name, None),
                    Some(Some(value)) => add(findings, &at.pointer, name, Some(value)),
                    Some(None) => {}
                }
            }
            list.len()
        }
        other => {
            findings.wrong_type(pointer, other, "an array of objects with name and value, or an object of strings");
            0
        }
    };
    if count > label::MOST_TAGS {
        findings.add(pointer, flaw("too_many", format!("holds more than {} tags", label::MOST_TAGS)));
    }
    tags
}

/// A tag's name, or its value.
fn word(text: &str) -> Result<String, Flaw> {
    let is_word = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_word && (1..=label::MOST_TAG).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    let message =
        format!("must be 1 to {} ASCII letters, digits, underscores and dashes, name and value alike", label::MOST_TAG);
    Err(flaw("invalid_tag", message))
}

/// One tag in the client's own words, as Postmark has it.
pub fn free_tag(text: &str) -> Result<Tag, Flaw> {
    let text = HeaderText::parse(text, label::MOST_FREE_TAG)?;
    Ok(Tag { name: text.as_str().to_owned(), value: None })
}

/// An object of strings. Members that are null are absent.
pub fn metadata(findings: &mut Findings, at: &At<'_, '_>) -> Vec<(String, String)> {
    let Node::Map(members) = at.node else {
        findings.wrong_type(&at.pointer, at.node, "an object of strings");
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, node) in members.iter().filter(|(_, node)| *node != Node::Null) {
        let shown = super::json::shown(name);
        let place =
            At { node, pointer: shown.map_or_else(|| at.pointer.clone(), |name| format!("{}/{name}", at.pointer)) };
        if name.is_empty() || name.chars().count() > label::MOST_NAME || name.chars().any(char::is_control) {
            let message =
                format!("has a name that is empty, longer than {} characters or no plain text", label::MOST_NAME);
            findings.add(&place.pointer, flaw("invalid_metadata", message));
        }
        if let Some(value) = findings.text(&place) {
            all.push((name.to_string(), value.to_owned()));
        }
    }
    if members.len() > label::MOST_MEMBERS {
        findings.add(&at.pointer, flaw("too_many", format!("has more than {} members", label::MOST_MEMBERS)));
    }
    let all = Label { metadata: all, ..Label::default() };
    if all.metadata_octets() > label::MOST_METADATA {
        let message = format!("is longer than {} octets as JSON", label::MOST_METADATA);
        findings.add(&at.pointer, flaw("too_long", message));
    }
    all.metadata
}

/// All that the vault is told of a letter, but for the Message-ID that it gets.
pub fn of(letter: &Letter) -> Label {
    let recipients = submit::recipients(letter);
    let to = submit::distinct(&letter.to).len();
    let shown = submit::distinct(letter.to.iter().chain(&letter.cc)).len();
    let count = |of: usize| u32::try_from(of.min(recipients.len())).unwrap_or(u32::MAX);
    Label {
        subject: letter.subject.as_ref().map(|subject| subject.as_str().to_owned()).filter(|text| !text.is_empty()),
        shown: Some((count(to), count(shown - to))),
        ..letter.label.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::v1;

    fn letter(more: &str) -> Result<Letter, Vec<String>> {
        let body = format!(r#"{{"from":"a@example.net","to":"b@example.org","text":"hi",{more}}}"#);
        v1::letter(body.as_bytes(), None)
            .map_err(|fault| fault.issues.iter().map(|issue| format!("{} {}", issue.code, issue.pointer)).collect())
    }

    fn tags_of(json: &str) -> Result<Vec<(String, Option<String>)>, Vec<String>> {
        let letter = letter(&format!("\"tags\":{json}"))?;
        Ok(letter.label.tags.into_iter().map(|tag| (tag.name, tag.value)).collect())
    }

    #[test]
    fn tags_come_in_three_forms() {
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let both = Ok(vec![pair("kind", Some("invoice")), pair("beta", None)]);
        assert_eq!(tags_of(r#"[{"name":"kind","value":"invoice"},{"name":"beta","value":null}]"#), both);
        assert_eq!(tags_of(r#"[{"name":"kind","value":"invoice"},"beta"]"#), both);
        assert_eq!(tags_of(r#"{"kind":"invoice","x":null}"#), Ok(vec![pair("kind", Some("invoice"))]));
        assert_eq!(tags_of("[]"), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_with_tags_is_said_with_its_place() {
        for (json, expected) in [
            (r#"[{"name":"a b","value":"c"}]"#, &["invalid_tag /tags/0"][..]),
            (r#"[{"name":"a","value":"c d"},"\u00e4"]"#, &["invalid_tag /tags/0", "invalid_tag /tags/1"]),
            (r#"[{"value":"c"},7]"#, &["required /tags/0/name", "wrong_type /tags/1"]),
            (r#"[{"name":"a","value":7}]"#, &["wrong_type /tags/0/value"]),
            (r#"[{"name":"a","valu":"b"}]"#, &["unknown_member /tags/0/valu"]),
            (r#"["a",{"name":"a","value":"b"}]"#, &["duplicate_member /tags/1"]),
            (r#"{"a":""}"#, &["invalid_tag /tags"]),
            (r#""a""#, &["wrong_type /tags"]),
            (r#"["a","b","c","d","e","f","g","h","i","j","k"]"#, &["too_many /tags"]),
        ] {
            assert_eq!(tags_of(json), Err(expected.iter().map(|one| (*one).to_owned()).collect()), "{json}");
        }
        assert!(tags_of(&format!("[\"{}\"]", "x".repeat(256))).is_ok());
        assert_eq!(tags_of(&format!("[\"{}\"]", "x".repeat(257))), Err(vec!["invalid_tag /tags/0".to_owned()]));
    }

    #[test]
    fn metadata_are_an_object_of_strings_of_so_many_octets() {
        let of = |json: &str| letter(&format!("\"metadata\":{json}")).map(|letter| letter.label.metadata);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(r#"{"z":"1","a":"\u00e4\n","n":null}"#), Ok(vec![pair("z", "1"), pair("a", "ä\n")]));
        for (json, expected) in [
            ("[]", "wrong_type /metadata"),
            (r#"{"a":7}"#, "wrong_type /metadata/a"),
            (r#"{"a":{"b":"c"}}"#, "wrong_type /metadata/a"),
            (r#"{"":"c"}"#, "invalid_metadata /metadata/"),
            (r#"{"a\nb":"c"}"#, "invalid_metadata /metadata"),
        ] {
            assert_eq!(of(json), Err(vec![expected.to_owned()]), "{json}");
        }
        assert!(of(&format!(r#"{{"a":"{}"}}"#, "x".repeat(4088))).is_ok());
        assert_eq!(of(&format!(r#"{{"a":"{}"}}"#, "x".repeat(4089))), Err(vec!["too_long /metadata".to_owned()]));
        let many: Vec<String> = (0..51).map(|n| format!("\"m{n}\":\"\"")).collect();
        assert_eq!(of(&format!("{{{}}}", many.join(","))), Err(vec!["too_many /metadata".to_owned()]));
    }

    #[test]
    fn metadata_are_as_long_as_they_are_as_json() {
        for (name, value) in [("a", ""), ("ä", "\u{1f4a3}"), ("a\"b", "\\\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}/")] {
            for count in [1, 3] {
                let pair = |n: usize| (format!("{name}{n}"), value.to_owned());
                let label = Label { metadata: (0..count).map(pair).collect(), ..Label::default() };
                let object: serde_json::Map<_, _> =
                    label.metadata.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                assert_eq!(
                    label.metadata_octets(),
                    serde_json::to_string(&object).unwrap().len(),
                    "{name:?} {value:?}"
                );
            }
        }
        assert_eq!(Label::default().metadata_octets(), 0);
    }

    #[test]
    fn what_the_vault_is_told_counts_each_address_once_and_where_it_stood_first() {
        let body = r#"{"from":"a@example.net","to":["b@example.org","b@example.org"],"cc":["b@example.org","c@example.org"],
                       "bcc":"d@example.org","subject":"x","text":"hi","tags":["t"]}"#;
        let label = of(&v1::letter(body.as_bytes(), None).unwrap());
        assert_eq!((label.shown, label.subject.as_deref(), label.tags.len()), (Some((1, 1)), Some("x"), 1));
        assert!(label.is_sound());
    }
}
