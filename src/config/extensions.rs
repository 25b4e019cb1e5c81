//! Extensions of SMTP that a listener can be told not to offer.

use super::file::{self, At};
use super::findings::Findings;
use super::plan::word;
use super::slice::{Extension, Protocol};

impl Extension {
    const ALL: [(&str, Self); 9] = [
        ("PIPELINING", Self::Pipelining),
        ("SIZE", Self::Size),
        ("8BITMIME", Self::EightBit),
        ("SMTPUTF8", Self::Utf8),
        ("ENHANCEDSTATUSCODES", Self::StatusCodes),
        ("CHUNKING", Self::Chunking),
        ("DSN", Self::Dsn),
        ("REQUIRETLS", Self::RequireTls),
        ("LIMITS", Self::Limits),
    ];
}

/// What this listener doesn't offer.
pub fn off(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Vec<Extension> {
    let list: &[At<String>] = written.extensions_off.as_deref().unwrap_or_default();
    if let (Protocol::Http, Some(first)) = (protocol, list.first()) {
        findings.refuse(first.span(), "extensions_off: is for protocol = \"smtp\"");
    }
    list.iter().filter_map(|item| word(item, "extensions_off", &Extension::ALL, &[], findings)).collect()
}
