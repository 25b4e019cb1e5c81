//! The header fields that `send` takes beside those that it has fields of its own for; it refuses a request for any other.

use std::collections::BTreeMap;

/// Beside these it takes whatever begins with `X-`.
const TAKEN: [&str; 23] = [
    "in-reply-to",
    "references",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-id",
    "list-archive",
    "list-help",
    "list-owner",
    "list-post",
    "list-subscribe",
    "precedence",
    "auto-submitted",
    "content-language",
    "keywords",
    "comments",
    "importance",
    "priority",
    "sensitivity",
    "organization",
    "require-recipient-valid-since",
    "expires",
    "reply-by",
    "archived-at",
];
/// Octets of a name, and of what it says.
const MAX_NAME: usize = 100;
const MAX_TEXT: usize = 2048;
/// Fields that don't begin with `X-`.
const MAX_LISTED: usize = 20;
/// Octets of all of them, each with two for what is between and two for what is behind.
const MAX_ALL: usize = 16 * 1024;

/// Errors: what is lost without it.
pub fn is_taken(name: &str, text: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    let is_own = |rest: &str| !rest.is_empty() && rest.bytes().all(|o| o.is_ascii_alphanumeric() || b"-_".contains(&o));
    let is_name = match lower.strip_prefix("x-") {
        Some(rest) => is_own(rest),
        None => TAKEN.contains(&lower.as_str()),
    };
    let is_fit = match lower.as_str() {
        "list-unsubscribe" => are_addresses(text),
        "list-unsubscribe-post" => text == "List-Unsubscribe=One-Click",
        "precedence" => ["bulk", "list", "junk"].contains(&text.to_ascii_lowercase().as_str()),
        _ => true,
    };
    match is_name && is_fit && name.len() <= MAX_NAME && text.len() <= MAX_TEXT {
        true => Ok(()),
        false => Err(format!("the header field {name}")),
    }
}

/// RFC 2369 section 2: addresses in angle brackets, of which it takes two kinds.
fn are_addresses(text: &str) -> bool {
    let mut addresses = text.split('<').skip(1).peekable();
    addresses.peek().is_some()
        && addresses.all(|rest| {
            let kind = rest.split(':').next().unwrap_or_default();
            rest.contains('>') && ["https", "mailto"].iter().any(|taken| kind.eq_ignore_ascii_case(taken))
        })
}

/// Errors: what it takes no more of.
pub fn keep_to(headers: &BTreeMap<String, String>) -> Result<(), String> {
    let is_listed = |name: &&String| !name.get(..2).is_some_and(|begin| begin.eq_ignore_ascii_case("x-"));
    if headers.keys().filter(is_listed).count() > MAX_LISTED {
        return Err(format!("it has more than {MAX_LISTED} header fields that don't begin with X-"));
    }
    let octets: usize = headers.iter().map(|(name, text)| name.len() + 2 + text.len() + 2).sum();
    match octets > MAX_ALL {
        true => Err(format!("its header fields have {octets} octets, and this API takes {MAX_ALL}")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_by_its_name_and_by_what_it_says() {
        let (long, name) = ("x".repeat(2049), format!("X-{}", "a".repeat(99)));
        for (name, text, is) in [
            ("X-Tag_1", "a", true),
            ("x-tag", "", true),
            ("X-", "a", false),
            ("X-Tag.1", "a", false),
            ("Archived-At", "<https://x>", true),
            ("In-Reply-To", "<1@x>", true),
            ("Sender", "a@example.net", false),
            ("Feedback-ID", "a", false),
            ("Resent-To", "a@example.net", false),
            ("List-Unsubscribe", "<https://x/u>, <mailto:u@x>", true),
            ("List-Unsubscribe", "(by post) <HTTPS://x/u>", true),
            ("List-Unsubscribe", "<http://x/u>", false),
            ("List-Unsubscribe", "<https://x/u>, <http://x/u>", false),
            ("List-Unsubscribe", "https://x/u", false),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click", true),
            ("List-Unsubscribe-Post", "yes", false),
            ("Precedence", "Bulk", true),
            ("Precedence", "first-class", false),
            ("X-Tag", long.as_str(), false),
            (name.as_str(), "a", false),
        ] {
            let expected = if is { Ok(()) } else { Err(format!("the header field {name}")) };
            assert_eq!(is_taken(name, text), expected, "{name}: {text}");
        }
    }

    #[test]
    fn there_are_so_many_fields_and_octets_and_no_more() {
        let of = |names: Vec<String>, octets: usize| {
            names.into_iter().map(|name| (name, "x".repeat(octets))).collect::<BTreeMap<_, _>>()
        };
        let all: Vec<String> = TAKEN.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(keep_to(&of(all[..20].to_vec(), 1)), Ok(()));
        assert!(keep_to(&of(all[..21].to_vec(), 1)).unwrap_err().contains("more than 20"));
        let own = |count: usize| (0..count).map(|n| format!("X-{n:02}")).collect();
        assert_eq!(keep_to(&of(own(25), 1)), Ok(()));
        // 8 of 4 + 2 + 2040 + 2 are 16,384.
        assert_eq!(keep_to(&of(own(8), 2040)), Ok(()));
        assert!(keep_to(&of(own(8), 2041)).unwrap_err().contains("have 16392 octets"));
    }
}
