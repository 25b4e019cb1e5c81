//! A request's head, read once: what it asks for, its fields, and how long its body is.

use std::borrow::Cow;

use super::FIELDS;
use super::field::Field;
use super::flaw::Flaw;
use super::host::Host;
use super::length::{self, Length};
use super::lines::Lines;
use super::target::Target;
use crate::edge::http::media::is_token;
use crate::edge::http::reply::Code;

/// The longest name of a method is far shorter.
const METHOD: usize = 24;
/// Fields that mean nothing certain when there are two of them.
const SINGLE: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "authorization",
    "content-type",
    "content-encoding",
    "expect",
    "idempotency-key",
    "x-api-key",
    "x-postmark-server-token",
    "x-mail-from",
];
/// Fields that may be repeated, and whose other spelling must not be passed over either.
const REPEATED: [&str; 1] = ["x-rcpt-to"];
/// Fields of this connection alone. Nothing is spoken here that they could ask for, so hyper doesn't see them.
const HOP: [&str; 7] = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// A head that has one meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub method: &'a str,
    /// A path that begins with a slash, and perhaps a query: what stands before it in a whole URI says the same as Host.
    pub target: Cow<'a, str>,
    pub version: Version,
    /// In their order.
    pub fields: Vec<Field<'a>>,
    pub length: Length,
}

impl<'a> Head<'a> {
    /// Reads lines that are whole.
    pub fn read(lines: &'a Lines) -> Result<Self, Flaw> {
        let mut lines = lines.each();
        let (method, target, version) = request_line(lines.next().unwrap_or_default())?;
        let target = Target::read(method, target)?;
        let mut fields = Vec::new();
        for line in lines {
            if fields.len() == FIELDS {
                return Err(Flaw::new(Code::HeadersTooLarge, format!("the head has more than {FIELDS} fields")));
            }
            fields.push(Field::read(line)?);
        }
        // Many a program behind a gate reads `_` as `-`, and a second length or key in what we passed over.
        let is_disguised = |field: &Field<'_>| {
            let name = field.name.replace('_', "-");
            name != field.name
                && SINGLE.iter().chain(&REPEATED).chain(&HOP).any(|known| name.eq_ignore_ascii_case(known))
        };
        if fields.iter().any(is_disguised) {
            return Err(Flaw::framing(
                "a field's name has _ where one that means something here has -; write it with -",
            ));
        }
        let twice = |name: &&&str| fields.iter().filter(|field| field.is(name)).nth(1).is_some();
        if let Some(name) = SINGLE.iter().find(twice) {
            return Err(Flaw::new(Code::BadRequest, format!("{name} stands twice in the request; send it once")));
        }
        check_host(&fields, &target, version)?;
        let length = Length::of(&fields, version)?;
        let persistence = persistence(&fields);
        fields.retain(|field| !HOP.iter().any(|name| field.is(name)));
        for field in &mut fields {
            if field.is("content-length") {
                field.value = length::canonical(field.value);
            } else if field.is("transfer-encoding") {
                field.value = b"chunked";
            }
        }
        fields.extend(persistence.map(|value| Field { name: "connection", value }));
        Ok(Self { method, target: target.path, version, fields, length })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let version = match self.version {
            Version::Http10 => " HTTP/1.0\r\n",
            Version::Http11 => " HTTP/1.1\r\n",
        };
        for part in [self.method, " ", &self.target, version] {
            out.extend_from_slice(part.as_bytes());
        }
        self.fields.iter().for_each(|field| field.write(out));
        out.extend_from_slice(b"\r\n");
    }
}

fn request_line(line: &[u8]) -> Result<(&str, &[u8], Version), Flaw> {
    let parts: Vec<&[u8]> = line.split(|octet| *octet == b' ').collect();
    let [method, target, version] = parts.as_slice() else {
        return Err(Flaw::framing("the first line is not METHOD, blank, TARGET, blank, HTTP/1.1"));
    };
    let version = match *version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(Flaw::framing("HTTP/1.1 is spoken here, and no other version of it")),
    };
    let method = std::str::from_utf8(method).ok().filter(|method| is_token(method) && method.len() <= METHOD);
    Ok((method.ok_or_else(|| Flaw::framing("the method is not a method"))?, target, version))
}

/// HTTP/1.1 needs one Host, and a target that is a whole URI must name the same. Probes speak HTTP/1.0 without any.
fn check_host(fields: &[Field<'_>], target: &Target<'_>, version: Version) -> Result<(), Flaw> {
    let host = match fields.iter().find(|field| field.is("host")) {
        None if version == Version::Http10 && target.host.is_none() => return Ok(()),
        None => return Err(Flaw::framing("the Host field is missing")),
        Some(field) => std::str::from_utf8(field.value).ok().and_then(Host::read),
    };
    match (host, target.host) {
        (None, _) => Err(Flaw::framing("the Host field is not a host")),
        (Some(host), Some(named)) if !host.is(&named, target.port) => {
            Err(Flaw::framing("the request names two different hosts"))
        }
        _ => Ok(()),
    }
}

/// What the client says of the connection's end, in the one word that changes anything. HTTP/1.0 ends it with each request, whatever
/// it asks for: an old proxy passes `keep-alive` on without knowing what it is (RFC 9112 section C.2.2).
fn persistence(fields: &[Field<'_>]) -> Option<&'static [u8]> {
    let options = || {
        let fields = fields.iter().filter(|field| field.is("connection"));
        fields.flat_map(|field| field.value.split(|octet| *octet == b',')).map(<[u8]>::trim_ascii)
    };
    let has = |word: &[u8]| options().any(|option| option.eq_ignore_ascii_case(word));
    has(b"close").then_some(b"close")
}
