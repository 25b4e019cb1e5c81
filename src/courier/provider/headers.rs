//! Fields of a message's header, left out by their names.

use std::borrow::Cow;

/// The message without these fields; without any name, as it is. Names compare in ASCII whatever their case.
pub fn without<'a>(content: &'a [u8], names: &[String]) -> Cow<'a, [u8]> {
    if names.is_empty() {
        return Cow::Borrowed(content);
    }
    let mut kept = Vec::with_capacity(content.len());
    let (mut rest, mut drops) = (content, false);
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, behind) = rest.split_at(end + 1);
        if line == b"\r\n" {
            break;
        }
        // A line that begins with a blank belongs to the field before it.
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|octet| *octet == b':').next().unwrap_or_default().trim_ascii_end();
            drops = names.iter().any(|dropped| dropped.as_bytes().eq_ignore_ascii_case(name));
        }
        if !drops {
            kept.extend_from_slice(line);
        }
        rest = behind;
    }
    kept.extend_from_slice(rest);
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_goes_with_its_further_lines_and_nothing_of_the_body_does() {
        let names = ["received".to_owned(), "X-A".to_owned()];
        for (content, expected) in [
            ("Received: a\r\n b\r\n\tc\r\nX: d\r\n\r\nReceived: e\r\n", "X: d\r\n\r\nReceived: e\r\n"),
            ("X: d\r\nx-a : e\r\n f\r\n\r\n", "X: d\r\n\r\n"),
            ("X-AB: d\r\n\r\n", "X-AB: d\r\n\r\n"),
            ("X-A: d\r\n", ""),
            ("\r\nX-A: d\r\n", "\r\nX-A: d\r\n"),
        ] {
            assert_eq!(without(content.as_bytes(), &names), expected.as_bytes(), "{content:?}");
            assert_eq!(without(content.as_bytes(), &[]), content.as_bytes());
        }
    }
}
