//! Media types: the one that requests must have, and those of attachments.

use hyper::header::{self, HeaderMap};

use super::reply::{Code, Fault};

const MESSAGE: &str = "message/rfc822";
pub const JSON: &str = "application/json";
/// RFC 6838 section 4.2.
const MAX_NAME: usize = 127;
/// More than any real type has. With its number and a piece of its value, a name fits its line.
const MAX_PARAMETERS: usize = 5;
const MAX_PARAMETER: usize = 40;
const MAX_VALUE: usize = 255;

/// A type as it stands in Content-Type, its parts checked: nothing in it can end the field or begin another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype` in lower case.
    pub essence: String,
    pub parameters: Vec<(String, String)>,
}

impl MediaType {
    /// RFC 9110 section 8.3.1, without the empty parameters it tolerates.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        let essence = parts.next()?;
        let (kind, subtype) = essence.split_once('/')?;
        if ![kind, subtype].iter().all(|name| is_token(name) && name.len() <= MAX_NAME) {
            return None;
        }
        let parameters: Vec<_> = parts.map(parameter).collect::<Option<_>>()?;
        (parameters.len() <= MAX_PARAMETERS).then(|| Self { essence: essence.to_ascii_lowercase(), parameters })
    }
}

fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let unquoted = match value.strip_prefix('"') {
        // A quoted value with a semicolon or a backslash in it is real nowhere and is refused.
        Some(rest) => rest
            .strip_suffix('"')
            .filter(|text| text.bytes().all(|b| matches!(b, b' '..=b'~') && !b"\"\\".contains(&b)))?,
        None => Some(value).filter(|value| is_token(value))?,
    };
    (is_token(name) && name.len() <= MAX_PARAMETER && unquoted.len() <= MAX_VALUE)
        .then(|| (name.to_ascii_lowercase(), unquoted.to_owned()))
}

/// RFC 9110 section 5.6.2.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The body must say that it is JSON. A browser can't say so to another site without asking first, so no foreign page
/// can send with a visitor's hands; and nothing compressed is taken, so no bomb either.
pub fn require_json(headers: &HeaderMap) -> Result<(), Fault> {
    let refuse = |message| Err(Fault::new(Code::UnsupportedMediaType, message));
    require_plain(headers)?;
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return refuse("the content-type field is missing: send application/json");
    };
    let media = value.to_str().ok().and_then(MediaType::parse);
    let is_json = media.is_some_and(|media| {
        let utf8 = |(name, value): &(String, String)| name == "charset" && value.eq_ignore_ascii_case("utf-8");
        media.essence == JSON && media.parameters.len() <= 1 && media.parameters.iter().all(utf8)
    });
    if is_json { Ok(()) } else { refuse("the content type must be application/json, in UTF-8") }
}

/// The body must say that it is a message. Pages of other sites can't say so either without asking first.
pub fn require_message(headers: &HeaderMap) -> Result<(), Fault> {
    require_plain(headers)?;
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| MediaType::parse(value.to_str().ok()?));
    if media.is_some_and(|media| media.essence == MESSAGE && media.parameters.is_empty()) {
        return Ok(());
    }
    Err(Fault::new(Code::UnsupportedMediaType, "the content type must be message/rfc822, without parameters"))
}

fn require_plain(headers: &HeaderMap) -> Result<(), Fault> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let message = "send the body as it is: content-encoding is not served";
        return Err(Fault::new(Code::UnsupportedMediaType, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json_with_or_without_its_charset_and_nothing_else_is() {
        let asked = |value: &'static str| {
            require_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())])).is_ok()
        };
        for good in ["application/json", "Application/JSON; charset=\"UTF-8\"", "application/json;charset=utf-8"] {
            assert!(asked(good), "{good}");
        }
        for bad in
            ["text/plain", "application/json; charset=latin1", "application/json, text/plain", "application/jsonp"]
        {
            assert!(!asked(bad), "{bad}");
        }
        assert!(require_json(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_type_that_could_break_out_of_its_field_is_none() {
        for bad in
            ["", "text", "text/", "/plain", "text/plain\r\nBcc: x", "text/pl ain", "text/plain; name=\"a\"b\"", "a/b;"]
        {
            assert_eq!(MediaType::parse(bad), None, "{bad:?}");
        }
        let media = MediaType::parse("text/calendar; method=REQUEST").unwrap();
        assert_eq!((media.essence.as_str(), media.parameters.len()), ("text/calendar", 1));
    }
}
