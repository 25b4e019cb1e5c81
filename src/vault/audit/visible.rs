//! Text as a terminal may show it: what would steer the terminal, or turn a line around, is written out.

use std::fmt::Write;

use crate::mail::unseen::is_unseen;

/// The text with every such character as `\u{...}`, and the backslash doubled, so that nothing reads like something else.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            c if is_unseen(c) => {
                // Writing to a string doesn't fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// JSON that is all of that, too: the escapes of JSON stand for the same characters.
pub fn visible_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        // Below U+0020 a serializer has escaped already; all of these stand in strings only.
        if is_unseen(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_and_nothing_is_lost() {
        for (text, shown) in [
            ("plain ***@exämple.org", "plain ***@exämple.org"),
            ("a\nb\r\t\0", "a\\u{a}b\\u{d}\\u{9}\\u{0}"),
            ("\u{1b}[2J\u{9b}31m\u{7f}", "\\u{1b}[2J\\u{9b}31m\\u{7f}"),
            ("\u{202e}txt.exe\u{2069}\u{200b}\u{2028}", "\\u{202e}txt.exe\\u{2069}\\u{200b}\\u{2028}"),
            ("\\u{1b}", "\\\\u{1b}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"a": "\u{1b}[2J\u{9b}\u{7f}\u{202e}\u{e0001}\n\\ é"});
        let shown = visible_json(&value.to_string());
        assert!(!shown.chars().any(is_unseen), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
