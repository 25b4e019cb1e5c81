//! The transfer encoding of a part (RFC 2045 section 6), read once more: what the parser doesn't know it takes for no encoding at all, and
//! of damaged base64 it gives what it could make of it. Either would arrive as something that nobody sent.

use mail_parser::{Encoding, Message, MessagePart};

const FIELD: &str = "Content-Transfer-Encoding";

/// Errors: nobody can be sure what is in the part.
pub fn check(message: &Message<'_>, part: &MessagePart<'_>, body: &[u8], name: &str) -> Result<(), String> {
    let mut fields = part.headers.iter().filter(|header| header.name().eq_ignore_ascii_case(FIELD));
    let said = fields.next().map(|header| {
        let from = usize::try_from(header.offset_start).unwrap_or(usize::MAX);
        let to = usize::try_from(header.offset_end).unwrap_or_default();
        message.raw_message().get(from..to).unwrap_or_default().trim_ascii().to_ascii_lowercase()
    });
    if fields.next().is_some() {
        return Err(format!("a part of type {name} names two transfer encodings"));
    }
    let meant = match said.as_deref() {
        None | Some(b"" | b"7bit" | b"8bit" | b"binary") => Encoding::None,
        Some(b"quoted-printable") => Encoding::QuotedPrintable,
        Some(b"base64") => Encoding::Base64,
        // One with a comment is legal, and hardly anybody writes it.
        Some(_) => return Err(format!("a part of type {name} has a transfer encoding that isn't known")),
    };
    if meant != part.encoding {
        return Err(format!("a part of type {name} has a transfer encoding that can't be told"));
    }
    match meant == Encoding::Base64 && !is_whole(body) {
        true => Err(format!("a part of type {name} is no whole base64")),
        false => Ok(()),
    }
}

/// Whether this is base64 from its beginning to its end, in lines: RFC 2045 section 6.8 has other octets ignored, but whoever wrote them
/// into it meant something else.
fn is_whole(body: &[u8]) -> bool {
    let signs: Vec<u8> = body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let end = signs.iter().position(|octet| *octet == b'=').unwrap_or(signs.len());
    let (data, padding) = signs.split_at_checked(end).unwrap_or_default();
    let is_sign = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
    data.iter().all(is_sign)
        && padding.iter().all(|octet| *octet == b'=')
        && padding.len() <= 2
        && signs.len().is_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use crate::courier::provider::fields::{Able, parts};

    fn read(fields: &str, body: &str) -> Result<(), String> {
        let text = format!("Content-Type: text/plain\r\n{fields}\r\n{body}");
        let able = Able { attachments: 1, reply_to: 1, types: false, inline: false, header: |_, _| Ok(()) };
        parts::read(&MessageParser::default().parse(text.as_bytes()).unwrap(), able).map(drop)
    }

    #[test]
    fn what_nobody_can_be_sure_of_is_carried_by_no_field() {
        let field = |value: &str| format!("Content-Transfer-Encoding: {value}\r\n");
        for value in ["7bit", "8BIT", " binary ", "quoted-printable", "Base64"] {
            assert_eq!(read(&field(value), "aGVs\r\nbG8h\r\n"), Ok(()), "{value}");
        }
        assert_eq!(read("", "hello\r\n"), Ok(()));
        for value in ["base64 (a comment)", "\"base64\"", "base64;", "(c) base64", "quoted-printable (x)", "x-uuencode"]
        {
            assert!(read(&field(value), "aGVsbG8h\r\n").is_err(), "{value}");
        }
        assert!(read(&(field("7bit") + &field("base64")), "aGVsbG8h\r\n").is_err());
        for body in ["aGVsbA==", "aGk=\r\n", "aGVs\r\nbA==\r\n\r\n", ""] {
            assert_eq!(read(&field("base64"), body), Ok(()), "{body}");
        }
        for body in ["aGVsbA", "aGVsbA=", "aGVsbA==\r\nand words behind it", "aGk=aGk=", "aG-k", "aGk====="] {
            assert!(read(&field("base64"), body).is_err(), "{body}");
        }
    }
}
