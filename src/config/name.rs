//! The names an operator gives, each by one grammar. They appear in process titles, logs and the audit log.

use super::file::At;
use super::findings::Findings;

/// A process title and a log column still look well with it.
const MAX_LABEL: usize = 32;
/// RFC 1035 section 2.3.4.
const MAX_HOST: usize = 253;
const MAX_HOST_LABEL: usize = 63;

/// A listener, an upstream or a zone.
pub fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (1..=MAX_LABEL).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// What a label looks like, for messages.
pub const LABEL: &str = "1 to 32 of a-z, 0-9, - and _, a letter or digit first";

/// A host name by RFC 1123 section 2.1.
pub fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_HOST_LABEL).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX_HOST && text.split('.').all(label)
}

/// The longest that Linux and OpenBSD take.
const MAX_USER: usize = 31;

/// A system user, as systemd takes it (its "User/Group Name Syntax").
pub fn is_user(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    (1..=MAX_USER).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The name of this gate.
pub(super) fn hostname(written: &Option<At<String>>, findings: &mut Findings<'_>) -> String {
    let Some(written) = written else {
        findings.refuse_whole("hostname is missing: the name that clients and the audit log see");
        return String::new();
    };
    if !is_host(written.get_ref()) {
        findings.refuse(written.span(), format!("hostname: {:?} is not a host name", written.get_ref()));
    }
    written.get_ref().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_confuse_a_log_or_a_protocol_are_refused() {
        for text in ["", "-x", "a b", "a\nb", "ü", "a/b"] {
            assert!(!is_label(text) && !is_host(text), "{text:?}");
        }
        assert!(is_label("smart-host_2") && !is_label("Smarthost") && !is_label(&"x".repeat(33)));
        assert!(is_user("_gatepost-mail") && !is_user("-x") && !is_user("0") && !is_user("a b"));
        assert!(is_host("gate.example.net") && !is_host("gate.example.net.") && !is_host("a..b"));
    }
}
