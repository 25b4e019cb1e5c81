//! One field of a head: its name and value, in the one form that all readers agree on (RFC 9112 section 5).

use super::flaw::Flaw;
use crate::edge::http::media::is_token;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a str,
    /// Without the blanks around it; may hold octets beyond ASCII.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads a line, in which there is no control character but tabs.
    pub fn read(line: &'a [u8]) -> Result<Self, Flaw> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Flaw::framing("a field goes on in a second line; write it in one"));
        }
        let mut parts = line.splitn(2, |octet| *octet == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            return Err(Flaw::framing("a line of the head has no colon and is no field"));
        };
        if name.ends_with(b" ") || name.ends_with(b"\t") {
            return Err(Flaw::framing("a blank stands between a field's name and its colon"));
        }
        let name = std::str::from_utf8(name).ok().filter(|name| is_token(name));
        let name = name.ok_or_else(|| Flaw::framing("a field's name has an octet that no name may have"))?;
        Ok(Self { name, value: trim(value) })
    }

    pub const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.name.bytes().map(|octet| octet.to_ascii_lowercase()));
        out.extend_from_slice(b": ");
        out.extend_from_slice(self.value);
        out.extend_from_slice(b"\r\n");
    }
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let Some(rest) = value.strip_prefix(b" ").or_else(|| value.strip_prefix(b"\t")) {
        value = rest;
    }
    while let Some(rest) = value.strip_suffix(b" ").or_else(|| value.strip_suffix(b"\t")) {
        value = rest;
    }
    value
}
