//! The name of a credential: the user name of an SMTP client, and the account in logs and in the audit log.

/// A user name that every SMTP client and printer takes.
const LONGEST: usize = 64;

/// What an id looks like, for messages.
pub const ID: &str = "1 to 64 of a-z, A-Z, 0-9, -, _, ., @ and +, a letter or digit first";

/// Who sends what the gate itself has to say. No credential can have this id, and none is needed.
pub const GATE: &str = "(gate)";

/// The public part of a key is short; four characters keep chance collisions apart.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 4..=32;

/// What a key id looks like, for messages.
pub const KEY_ID: &str = "4 to 32 letters and digits";

/// Whether a text may name a secret.
pub fn is_key_id(text: &str) -> bool {
    KEY_LENGTH.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Whether a text may be a credential's id.
pub fn is_id(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    (1..=LONGEST).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_is_short_and_plain() {
        assert!(is_key_id("7fQ2mKx9") && !is_key_id("7fQ") && !is_key_id("a-bcd") && !is_key_id(&"x".repeat(33)));
    }

    #[test]
    fn an_id_is_short_plain_and_not_hidden() {
        for id in ["billing", "Billing+eu@example.net", "7", &"x".repeat(64)] {
            assert!(is_id(id), "{id}");
        }
        for id in [GATE, "", ".hidden", "-x", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
            assert!(!is_id(id), "{id:?}");
        }
    }
}
