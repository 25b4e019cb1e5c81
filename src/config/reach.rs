//! How an HTTP listener is reached: by which hosts, and through which proxies, which then say whose request it is.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::credentials::networks;
use super::file::{self, At};
use super::findings::Findings;
use super::plan::word;
use super::slice::Protocol;

/// More names than a service has.
const MOST_HOSTS: usize = 32;
/// The longest name (RFC 1035 section 2.3.4).
const LONGEST: usize = 253;

/// The field in which proxies say whom they heard. They write one kind, and pass on the other as they got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardedBy {
    /// RFC 7239.
    Forwarded,
    XForwardedFor,
}

impl ForwardedBy {
    const ALL: [(&str, Self); 2] = [("Forwarded", Self::Forwarded), ("X-Forwarded-For", Self::XForwardedFor)];

    /// Its name in a head.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::XForwardedFor => "x-forwarded-for",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Names and addresses in lower case, without ports; those of IPv6 in brackets. Empty: any.
    pub hosts: Vec<String>,
    /// None: nobody is believed.
    pub forwarded_by: Option<ForwardedBy>,
}

pub fn plan(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Reach {
    Reach { hosts: hosts(&written.hosts, protocol, findings), forwarded_by: forwarded_by(written, protocol, findings) }
}

/// The proxies that are believed.
pub fn trusted(written: &file::Listener, findings: &mut Findings<'_>) -> Vec<IpNet> {
    let Some(list) = &written.trusted_proxies else { return Vec::new() };
    networks::believed(list, "trusted_proxies", findings)
}

fn hosts(written: &Option<Vec<At<String>>>, protocol: Protocol, findings: &mut Findings<'_>) -> Vec<String> {
    let list = written.as_deref().unwrap_or_default();
    if let (Protocol::Smtp, Some(first)) = (protocol, list.first()) {
        findings.refuse(first.span(), "hosts: is for protocol = \"http\"");
    }
    if let Some(beyond) = list.get(MOST_HOSTS) {
        findings.refuse(beyond.span(), format!("hosts: at most {MOST_HOSTS}"));
    }
    let mut hosts = Vec::new();
    for place in list {
        match host(place.get_ref()) {
            Some(host) => hosts.push(host),
            None => {
                let text = format!(
                    "hosts: {:?}: write a name or an address as clients name it, without a port: \"api.example.net\"",
                    place.get_ref()
                );
                findings.refuse(place.span(), text);
            }
        }
    }
    hosts
}

fn host(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(if address.is_ipv6() { format!("[{address}]") } else { address.to_string() });
    }
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    (text.len() <= LONGEST && text.split('.').all(is_label)).then(|| text.to_ascii_lowercase())
}

fn forwarded_by(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Option<ForwardedBy> {
    let proxies = written.trusted_proxies.iter().flatten().next();
    match (proxies, &written.forwarded_by) {
        (None, None) => None,
        (None, Some(field)) => {
            findings.refuse(
                field.span(),
                "forwarded_by: name the proxies that are believed in trusted_proxies, or drop it",
            );
            None
        }
        (Some(place), None) => {
            let text =
                "trusted_proxies: say which field they write: forwarded_by = \"X-Forwarded-For\" or \"Forwarded\"";
            findings.refuse(place.span(), text);
            None
        }
        (Some(place), Some(field)) => {
            if protocol == Protocol::Smtp {
                findings.refuse(place.span(), "trusted_proxies: is for protocol = \"http\"");
            }
            word(field, "forwarded_by", &ForwardedBy::ALL, &[], findings)
        }
    }
}
