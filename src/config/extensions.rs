//! Extensions of SMTP that a listener can be told not to offer.

use std::time::Duration;

use super::file::{self, At};
use super::findings::Findings;
use super::limits;
use super::plan::word;
use super::slice::{Extension, Protocol};
use crate::policy::Delivery;

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

/// How long a message may ask to be held. Over SMTP it is off unless it is written down; clients of HTTP find out by trying, and
/// those of other services expect it.
pub fn future_release(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Option<Duration> {
    match &written.future_release {
        None => (protocol == Protocol::Http).then_some(limits::FUTURE_RELEASE.default),
        Some(word) if word.get_ref() == limits::NEVER => None,
        Some(written) => Some(limits::duration(written, &limits::FUTURE_RELEASE, findings)),
    }
}

/// How mail leaves that comes here, of credentials that don't say.
pub fn delivery(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Delivery {
    let Some(mode) = &written.delivery else { return Delivery::default() };
    let found = word(mode, "delivery", &Delivery::WORDS, &[], findings).unwrap_or_default();
    if found != Delivery::Spool && protocol == Protocol::Http {
        findings.refuse(mode.span(), "delivery: is for protocol = \"smtp\": HTTP answers when a message is kept");
    }
    found
}

/// What this listener doesn't offer.
pub fn off(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Vec<Extension> {
    let list: &[At<String>] = written.extensions_off.as_deref().unwrap_or_default();
    if let (Protocol::Http, Some(first)) = (protocol, list.first()) {
        findings.refuse(first.span(), "extensions_off: is for protocol = \"smtp\"");
    }
    list.iter().filter_map(|item| word(item, "extensions_off", &Extension::ALL, &[], findings)).collect()
}
