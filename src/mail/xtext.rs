//! xtext: how values that may have any octet stand in a parameter of MAIL or RCPT. RFC 3461 section 4.

/// The octets that such a text means; none when it is no xtext. `+` and two upper-case hexadecimal digits stand for an
/// octet, every other printable character but `=` for itself.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut meant = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => meant.push(hex(rest.next()?)? * 16 + hex(rest.next()?)?),
            b'!'..=b'~' if octet != b'=' => meant.push(octet),
            _ => return None,
        }
    }
    Some(meant)
}

/// A text of printable ASCII as such a value.
pub fn encode(text: &str) -> String {
    let plain = |octet: &u8| matches!(octet, b'!'..=b'~') && !matches!(octet, b'+' | b'=');
    text.bytes()
        .map(|octet| if plain(&octet) { char::from(octet).to_string() } else { format!("+{octet:02X}") })
        .collect()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        let every: String = (b' '..=b'~').map(char::from).collect();
        assert_eq!(decode(&encode(&every)).unwrap(), every.as_bytes());
        assert_eq!(encode("a b=c+"), "a+20b+3Dc+2B");
    }

    #[test]
    fn a_plus_stands_for_an_octet_and_nothing_else_does() {
        assert_eq!(decode("a+2Bb+0D").unwrap(), b"a+b\r");
        assert_eq!(decode("").unwrap(), b"");
        for bad in ["+", "+2", "+2b", "+zz", "a=b", "a b", "a\tb", "\u{e4}", "+\u{e4}"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
