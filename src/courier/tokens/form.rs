//! A body of the type application/x-www-form-urlencoded (RFC 6749 appendix B).

use zeroize::Zeroizing;

/// The pairs, in their order, in a buffer that never moves.
pub fn encoded(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    let most = pairs.iter().map(|(key, value)| 3 * (key.len() + value.len()) + 2).sum();
    let mut form = Zeroizing::new(String::with_capacity(most));
    for (key, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        add(&mut form, key);
        form.push('=');
        add(&mut form, value);
    }
    form
}

/// One value as it stands in a form.
pub fn value(text: &str) -> Zeroizing<String> {
    let mut value = Zeroizing::new(String::with_capacity(3 * text.len()));
    add(&mut value, text);
    value
}

fn add(form: &mut String, text: &str) {
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => form.push(char::from(octet)),
            b' ' => form.push('+'),
            _ => {
                form.push('%');
                for digit in [octet >> 4, octet & 15] {
                    form.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_spelled_as_the_rfc_shows() {
        // RFC 6749 appendix B, and what client secrets are made of.
        let form = encoded(&[("a", " %&+\u{a3}\u{20ac}"), ("scope", "https://mail.google.com/"), ("s", "~x8Q-_.*=")]);
        assert_eq!(form.as_str(), "a=+%25%26%2B%C2%A3%E2%82%AC&scope=https%3A%2F%2Fmail.google.com%2F&s=%7Ex8Q-_.*%3D");
        assert_eq!(value("a b~").as_str(), "a+b%7E");
    }
}
