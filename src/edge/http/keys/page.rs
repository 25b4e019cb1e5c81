//! Which part of the list is asked for: `limit`, and `after` or `before` an id. The id itself is not in it.

use crate::edge::http::reply::{Code, Fault};
use crate::ipc::card::{MOST_CARDS, Which};
use crate::policy::principal;

const DEFAULT: u8 = 20;

/// Reads a query. An id in it may be written with percent signs, as libraries write `@` and `+`.
pub fn read(query: Option<&str>) -> Result<Which, Fault> {
    let (mut limit, mut after, mut before) = (None, None, None);
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match name {
            "limit" => &mut limit,
            "after" => &mut after,
            "before" => &mut before,
            _ => return Err(bad("the query may have limit, after and before, and nothing else")),
        };
        if slot.replace(value).is_some() {
            return Err(bad("the query has a parameter twice"));
        }
    }
    let most = match limit {
        None => DEFAULT,
        Some(text) => {
            let most = text.parse().ok().filter(|most| (1..=MOST_CARDS).contains(most));
            most.ok_or_else(|| bad(&format!("limit: a whole number from 1 to {MOST_CARDS}")))?
        }
    };
    match (after, before) {
        (Some(_), Some(_)) => Err(bad("after and before: name one of them")),
        (Some(after), None) => Ok(Which::After(Some(cursor(after)?), most)),
        (None, Some(before)) => Ok(Which::Before(cursor(before)?, most)),
        (None, None) => Ok(Which::After(None, most)),
    }
}

fn cursor(text: &str) -> Result<String, Fault> {
    let wrong = || bad(&format!("after, before: the id of a credential, {}", principal::ID));
    let (mut id, mut rest) = (String::new(), text);
    while let Some((plain, coded)) = rest.split_once('%') {
        let (hex, behind) = coded.split_at_checked(2).ok_or_else(wrong)?;
        let octet = u8::from_str_radix(hex, 16).ok().filter(u8::is_ascii).ok_or_else(wrong)?;
        id.push_str(plain);
        id.push(char::from(octet));
        rest = behind;
    }
    id.push_str(rest);
    if principal::is_id(&id) { Ok(id) } else { Err(wrong()) }
}

fn bad(message: &str) -> Fault {
    Fault::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_and_has_one_cursor() {
        let after = |id: &str, most| Ok(Which::After(Some(id.to_owned()), most));
        let read = |query| read(query).map_err(|fault| fault.code);
        assert_eq!(read(None), Ok(Which::After(None, 20)));
        assert_eq!(read(Some("limit=100&after=b")), after("b", 100));
        assert_eq!(read(Some("after=b%40example.net%2bx&")), after("b@example.net+x", 20));
        assert_eq!(read(Some("before=b&limit=1")), Ok(Which::Before("b".to_owned(), 1)));
        for wrong in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=",
            "limit=1&limit=1",
            "after=a&before=b",
            "after=",
            "after=%",
            "after=%4",
            "after=%ff",
            "after=%00",
            "after=a%2fb",
            "after=%2b1",
            "after=a%+1",
            "offset=1",
            "after",
        ] {
            assert_eq!(read(Some(wrong)), Err(Code::BadRequest), "{wrong}");
        }
        assert_eq!(read(Some(&format!("after={}", "x".repeat(65)))), Err(Code::BadRequest));
    }
}
