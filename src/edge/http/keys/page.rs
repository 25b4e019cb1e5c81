//! Which part of the list is asked for: `limit`, and `after` or `before` an id. The id itself is not in it.

use crate::edge::http::letter::{Flaw, flaw};
use crate::edge::http::members::{Findings, Table};
use crate::edge::http::query::{Query, invalid, number};
use crate::edge::http::reply::Fault;
use crate::ipc::card::{MOST_CARDS, Which};
use crate::policy::principal;

const DEFAULT: u8 = 20;
const PARAMETERS: &Table = &[("limit", &[]), ("after", &[]), ("before", &[])];

/// Reads a query. Whatever is wrong with it is told at once.
pub fn read(query: Option<&str>) -> Result<Which, Fault> {
    let mut findings = Findings::default();
    let query = Query::read(&mut findings, PARAMETERS, query);
    let most = query.take(&mut findings, "limit", most).unwrap_or(DEFAULT);
    let after = query.take(&mut findings, "after", cursor);
    let before = query.take(&mut findings, "before", cursor);
    if query.get("after").is_some() && query.get("before").is_some() {
        findings.add("before", flaw("duplicate_member", "and after exclude each other: give one of them"));
    }
    findings.verdict()?;
    Ok(match before {
        Some(before) => Which::Before(before, most),
        None => Which::After(after, most),
    })
}

fn most(text: &str) -> Result<u8, Flaw> {
    let most = number(text, 1, MOST_CARDS.into())?;
    u8::try_from(most).map_err(|_| invalid(format_args!("at most {MOST_CARDS}")))
}

fn cursor(text: &str) -> Result<String, Flaw> {
    if principal::is_id(text) {
        return Ok(text.to_owned());
    }
    Err(invalid(format_args!("the id of a credential, {}", principal::ID)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::reply::Code;

    #[test]
    fn a_page_is_bounded_and_has_one_cursor() {
        let after = |id: &str, most| Ok(Which::After(Some(id.to_owned()), most));
        let read = |query| read(query).map_err(|fault| fault.code);
        assert_eq!(read(None), Ok(Which::After(None, 20)));
        assert_eq!(read(Some("limit=100&after=b")), after("b", 100));
        assert_eq!(read(Some("after=b%40example.net%2bx&")), after("b@example.net+x", 20));
        assert_eq!(read(Some("before=b&limit=1")), Ok(Which::Before("b".to_owned(), 1)));
        assert_eq!(read(Some("limit=&after=")), Ok(Which::After(None, 20)), "empty is absent, as in the other lists");
        let long = format!("after={}", "x".repeat(65));
        for wrong in [
            "limit=0",
            "limit=101",
            "limit=256",
            "limit=-1",
            "limit=1&limit=1",
            "after=a&before=b",
            "after=%",
            "after=%4",
            "after=%ff",
            "after=%00",
            "after=a%2fb",
            "after=%2b1",
            "after=a%+1",
            "offset=1",
            &long,
        ] {
            assert_eq!(read(Some(wrong)), Err(Code::ValidationFailed), "{wrong}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let fault = read(Some("limit=0&after=%2b1&ofset=3&before=x")).unwrap_err();
        let places: Vec<_> = fault.issues.iter().map(|issue| issue.pointer.as_str()).collect();
        assert_eq!(places, ["ofset", "limit", "after", "before"]);
    }
}
