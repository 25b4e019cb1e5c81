//! Lists of addresses in one text (RFC 5322 section 3.4), as some APIs have them.

/// The longest address that is repeated to who wrote it (RFC 5321 section 4.5.3.1.3).
const MAX_SHOWN: usize = 254;

/// The single addresses of a list, each as it is written: only commas that separate are looked for, and each address is read
/// by who takes addresses. Empty places between commas are none.
pub fn split(text: &str) -> Vec<String> {
    let (mut all, mut start) = (Vec::new(), 0);
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (at, sign) in text.char_indices() {
        match sign {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' if !quoted && !bracketed => {
                all.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    all.push(&text[start..]);
    all.into_iter().map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// The address of a text with or without a name, if it can be repeated: short, printable and without quotes.
pub fn shown(text: &str) -> Option<&str> {
    let address = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>')).trim();
    let plain = address.bytes().all(|b| b.is_ascii_graphic() && !b"'\"<>\\".contains(&b));
    (plain && !address.is_empty() && address.len() <= MAX_SHOWN).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_outside_of_quotes_and_brackets_alone() {
        for (text, all) in [
            ("a@x.test", &["a@x.test"][..]),
            ("a@x.test,b@x.test , \"C, D\" <c@x.test>", &["a@x.test", "b@x.test", "\"C, D\" <c@x.test>"]),
            (r#""a \", b" <a@x.test>, c@x.test"#, &[r#""a \", b" <a@x.test>"#, "c@x.test"]),
            ("Ann <a,b@x.test>", &["Ann <a,b@x.test>"]),
            (" , ,", &[]),
            ("", &[]),
            ("\"open, a@x.test", &["\"open, a@x.test"]),
        ] {
            assert_eq!(split(text), all, "{text}");
        }
    }

    #[test]
    fn only_what_looks_like_an_address_is_repeated() {
        assert_eq!(shown("Ann <bad>"), Some("bad"));
        assert_eq!(shown("nobody"), Some("nobody"));
        for text in ["", "a'b", "a b", "a\u{e4}@b", "a\r\nb", "<>", &"x".repeat(255)] {
            assert_eq!(shown(text), None, "{text:?}");
        }
    }
}
