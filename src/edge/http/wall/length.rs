//! How long a request's body is: as Content-Length says, or as its chunks say, and never both (RFC 9112 section 6).

use super::field::Field;
use super::flaw::Flaw;
use super::head::Version;

/// Digits of a length, zeros in front included: more than any number of octets has.
const DIGITS: usize = 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Known(u64),
    Chunked,
}

impl Length {
    /// By the fields of a head, in which neither of the two stands twice. Without either there is no body.
    pub fn of(fields: &[Field<'_>], version: Version) -> Result<Self, Flaw> {
        let find = |name| fields.iter().find(|field| field.is(name)).map(|field| field.value);
        let length = find("content-length").map(number).transpose()?;
        match find("transfer-encoding") {
            None => Ok(Self::Known(length.unwrap_or_default())),
            Some(_) if length.is_some() => {
                Err(Flaw::framing("content-length and transfer-encoding exclude each other"))
            }
            Some(_) if version == Version::Http10 => {
                Err(Flaw::framing("HTTP/1.0 has no transfer-encoding: send content-length"))
            }
            Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Self::Chunked),
            Some(_) => Err(Flaw::framing("the only transfer coding served is \"chunked\"")),
        }
    }
}

fn number(value: &[u8]) -> Result<u64, Flaw> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.len() <= DIGITS && text.bytes().all(|octet| octet.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| Flaw::framing("content-length is not a length"))
}

/// The same number without zeros in front.
pub fn canonical(value: &[u8]) -> &[u8] {
    let zeros = value.iter().take_while(|octet| **octet == b'0').count();
    value.get(zeros.min(value.len().saturating_sub(1))..).unwrap_or(value)
}
