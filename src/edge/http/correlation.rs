//! By what a client knows its request: never our name for it, but in the log beside ours, so that both sides' logs can be laid
//! together.

use hyper::header::HeaderMap;

/// Letters that a client's own id may have.
const LONGEST: usize = 64;
/// W3C Trace Context section 3.2.2: version, trace, parent and flags, each behind a dash.
const TRACE_PARENT: usize = 55;

/// What it said, where that is in its form; all else is as if it had said nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Correlation<'a> {
    pub client_request_id: Option<&'a str>,
    /// Of the trace that the request is a part of.
    pub trace_id: Option<&'a str>,
}

impl<'a> Correlation<'a> {
    pub fn of(headers: &'a HeaderMap) -> Self {
        let client_request_id = single(headers, "x-request-id").filter(|id| is_id(id));
        Self { client_request_id, trace_id: single(headers, "traceparent").and_then(trace_id) }
    }
}

/// A field that stands there once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())?.to_str().ok()
}

fn is_id(text: &str) -> bool {
    let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_letter)
}

fn trace_id(text: &str) -> Option<&str> {
    let is_hex = |part: &str| part.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &str| part.bytes().all(|octet| octet == b'0');
    let (known, rest) = text.split_at_checked(TRACE_PARENT)?;
    let mut parts = known.split('-');
    let [version, trace, parent, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let is_formed = [version, trace, parent, flags].iter().all(|part| is_hex(part)) && parts.next().is_none();
    let is_long = [version.len(), trace.len(), parent.len()] == [2, 32, 16];
    // Of a version that isn't known yet, more may follow.
    let is_whole = rest.is_empty() || version != "00" && rest.starts_with('-');
    (is_formed && is_long && is_whole && version != "ff" && !is_zero(trace) && !is_zero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn ids_of_clients_are_short_and_plain_or_none() {
        let read = |all: &[&str]| {
            let mut headers = HeaderMap::new();
            all.iter().for_each(|id| _ = headers.append("x-request-id", HeaderValue::from_str(id).unwrap()));
            Correlation::of(&headers).client_request_id.map(str::to_owned)
        };
        assert_eq!(read(&["job-17.a_B"]).as_deref(), Some("job-17.a_B"));
        assert_eq!(read(&[&"a".repeat(64)]).map(|id| id.len()), Some(64));
        for all in [&["job 17"][..], &[""], &["a=b"], &["a\"b"], &["one", "two"], &[&"a".repeat(65)]] {
            assert_eq!(read(all), None, "{all:?}");
        }
    }

    #[test]
    fn the_trace_is_read_as_trace_context_has_it_or_not_at_all() {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
        assert_eq!(trace_id(&parent), Some(TRACE));
        let later = format!("01-{TRACE}-b7ad6b7169203331-01-more");
        assert_eq!(trace_id(&later), Some(TRACE));
        for wrong in [
            format!("{parent}-more"),
            parent.replacen("00-", "ff-", 1),
            parent.to_ascii_uppercase(),
            parent.replace(TRACE, &"0".repeat(32)),
            parent.replace("b7ad6b7169203331", &"0".repeat(16)),
            parent[..54].to_owned(),
            format!("0-{TRACE}a-b7ad6b7169203331-01"),
            format!("01-{TRACE}-b7ad6b7169203331-01more"),
        ] {
            assert_eq!(trace_id(&wrong), None, "{wrong}");
        }
    }
}
