//! What a request asks for: a path, and perhaps a query (RFC 9112 section 3.2).

use std::borrow::Cow;

use super::flaw::Flaw;
use super::host::Host;
use super::lines::Lines;
use crate::edge::http::reply::Code;

/// Octets of a target, and of the query in it: the longest that we have are far below.
pub const TARGET: usize = 2048;
pub const QUERY: usize = 1024;
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Begins with a slash.
    pub path: Cow<'a, str>,
    /// The host that stands in a target which is a whole URI.
    pub host: Option<Host<'a>>,
    /// What its scheme means where no port is named.
    pub port: u16,
}

impl<'a> Target<'a> {
    pub fn read(method: &str, target: &'a [u8]) -> Result<Self, Flaw> {
        if target.len() > TARGET {
            return Err(long());
        }
        let text = std::str::from_utf8(target).ok().filter(|target| target.bytes().all(|b| b.is_ascii_graphic()));
        let text = text.ok_or_else(|| Flaw::framing("the target holds an octet that must be percent-encoded"))?;
        if method == "CONNECT" || text == "*" && method == "OPTIONS" {
            return Err(Flaw::new(Code::MethodNotAllowed, "this method is not served here"));
        }
        let (path, host, port) = match scheme(text) {
            Some((rest, port)) => {
                let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let host = Host::read(host).ok_or_else(|| Flaw::framing("the target's host is not a host"))?;
                let path = if path.starts_with('/') { path.into() } else { format!("/{path}").into() };
                (path, Some(host), port)
            }
            None => (Cow::Borrowed(text), None, HTTP),
        };
        if !path.starts_with('/') {
            return Err(Flaw::framing("the target must begin with a slash"));
        }
        if !is_sound(&path) {
            return Err(Flaw::framing("the target holds an octet that must be percent-encoded"));
        }
        if path.split_once('?').is_some_and(|(_, query)| query.len() > QUERY) {
            return Err(long());
        }
        Ok(Self { path, host, port })
    }
}

/// The path of a request whose head may have any flaw, as far as it can be told: a guess, good for nothing but the words in which
/// its client is answered. Empty: there is none.
pub fn path(lines: &Lines) -> String {
    let line = lines.first();
    let target = line.split(|octet| *octet == b' ').nth(1).unwrap_or_default();
    let text = String::from_utf8_lossy(target.get(..TARGET).unwrap_or(target));
    let rest =
        scheme(&text).map_or(&*text, |(rest, _)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default());
    rest.split('?').next().unwrap_or_default().to_owned()
}

pub fn long() -> Flaw {
    Flaw::new(Code::UriTooLong, format!("the target is longer than {TARGET} octets, or the query in it than {QUERY}"))
}

/// What stands behind the scheme, and the port that it means (RFC 9110 sections 4.2.1 and 4.2.2).
fn scheme(text: &str) -> Option<(&str, u16)> {
    [("http://", HTTP), ("https://", HTTPS)].into_iter().find_map(|(scheme, port)| {
        let (begin, rest) = text.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some((rest, port))
    })
}

/// RFC 3986 sections 3.3 and 3.4: of what an URI may hold, all but a fragment.
fn is_sound(path: &str) -> bool {
    let mut octets = path.bytes();
    while let Some(octet) = octets.next() {
        let is_sound = match octet {
            b'%' => [octets.next(), octets.next()].iter().all(|hex| hex.is_some_and(|hex| hex.is_ascii_hexdigit())),
            _ => octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&octet),
        };
        if !is_sound {
            return false;
        }
    }
    true
}
