//! The query of a request: parameters that are known, each once. Whatever is wrong with them is told at once.

use super::json::shown;
use super::letter::{Flaw, flaw};
use super::members::{Findings, Table, nearest};

/// The finding for a value that a parameter can't have.
const INVALID: &str = "invalid_parameter";

/// Parameters by their names; those without a value are absent.
#[derive(Debug, Default)]
pub struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads a query; what is unknown, there twice or no text is a finding.
    pub fn read(findings: &mut Findings, table: &Table, query: Option<&str>) -> Self {
        let mut this = Self::default();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some((known, _)) = table.iter().find(|(known, _)| *known == name) else {
                unknown(findings, table, name);
                continue;
            };
            if this.get(known).is_some() {
                findings.add(known, flaw("duplicate_member", "stands twice in the query"));
                continue;
            }
            let value = decoded(value).ok_or_else(|| flaw(INVALID, "is not percent-encoded UTF-8"));
            if let Some(value) = findings.take(known, value).filter(|value| !value.is_empty()) {
                this.0.push((known, value));
            }
        }
        this
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that may be absent, checked.
    pub fn take<T>(
        &self,
        findings: &mut Findings,
        name: &str,
        check: impl FnOnce(&str) -> Result<T, Flaw>,
    ) -> Option<T> {
        self.get(name).and_then(|value| findings.take(name, check(value)))
    }
}

/// A value that isn't what it must be.
pub fn invalid(must_be: impl std::fmt::Display) -> Flaw {
    flaw(INVALID, format!("must be {must_be}"))
}

/// A whole number in a range, in digits alone.
pub fn number(text: &str, from: u32, to: u32) -> Result<u32, Flaw> {
    let is_digits = text.bytes().all(|octet| octet.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_digits && (from..=to).contains(number));
    number.ok_or_else(|| invalid(format_args!("a whole number from {from} to {to}")))
}

fn unknown(findings: &mut Findings, table: &Table, name: &str) {
    let Some(shown) = shown(name) else {
        return findings.add("query", flaw("unknown_member", "has a parameter that is not known"));
    };
    let message = match nearest(table, shown) {
        Some(known) => format!("is not known; did you mean {known}?"),
        None => "is not known".to_owned(),
    };
    findings.add(shown, flaw("unknown_member", message));
}

/// A plus is a plus: it stands in times, and no value has blanks.
fn decoded(text: &str) -> Option<String> {
    let (mut octets, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &Table = &[("limit", &[]), ("since", &[])];

    fn read(query: &str) -> (Query, Vec<(&'static str, String)>) {
        let mut findings = Findings::default();
        let query = Query::read(&mut findings, TABLE, Some(query));
        let issues = findings.fault().issues;
        (query, issues.into_iter().map(|issue| (issue.code, issue.pointer)).collect())
    }

    #[test]
    fn a_value_is_decoded_and_a_plus_stays_one() {
        let (query, issues) = read("since=2026-11-26T10%3A00%3A00+01:00&limit=&&");
        assert_eq!((query.get("since"), query.get("limit")), (Some("2026-11-26T10:00:00+01:00"), None));
        assert_eq!(issues, []);
        for bad in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(read(&format!("since={bad}")).1, [(INVALID, "since".to_owned())], "{bad}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_found_and_nothing_strange_is_repeated() {
        let found = |code, place: &str| (code, place.to_owned());
        let (_, issues) = read("limits=1&limit=3&limit=4&%6cimit=1&<b>=x&since=%");
        let expected = [
            found("unknown_member", "limits"),
            found("duplicate_member", "limit"),
            found("unknown_member", "query"),
            found("unknown_member", "query"),
            found(INVALID, "since"),
        ];
        assert_eq!(issues, expected);
    }

    #[test]
    fn a_number_is_digits_in_its_range() {
        assert_eq!((number("1", 1, 100), number("100", 1, 100), number("007", 1, 100)), (Ok(1), Ok(100), Ok(7)));
        for bad in ["0", "101", "-1", "+1", "1.0", "x", "99999999999999999999"] {
            assert!(number(bad, 1, 100).is_err(), "{bad}");
        }
    }
}
