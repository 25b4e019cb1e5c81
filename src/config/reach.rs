//! How an HTTP listener is reached: by which hosts, from pages of which origins, and through which proxies, which then say whose request it is.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::credentials::networks;
use super::file::{self, At};
use super::findings::Findings;
use super::plan::word;
use super::slice::Protocol;

/// More names than a service has, and more sites than send through one.
const MOST_HOSTS: usize = 32;
const MOST_ORIGINS: usize = 32;
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
    /// Origins of pages as browsers say them. Empty: no page sends from a visitor's browser.
    pub origins: Vec<String>,
    /// None: nobody is believed.
    pub forwarded_by: Option<ForwardedBy>,
    /// From where the service may be watched. Empty: from loopback.
    pub ops_networks: Vec<IpNet>,
}

pub fn plan(
    written: &file::Listener,
    table: &At<file::Listener>,
    protocol: Protocol,
    findings: &mut Findings<'_>,
) -> Reach {
    Reach {
        hosts: hosts(&written.hosts, protocol, findings),
        origins: origins(&written.origins, protocol, findings),
        forwarded_by: forwarded_by(written, protocol, findings),
        ops_networks: ops_networks(written, table, findings),
    }
}

/// From where it may be watched, where it is said.
fn ops_networks(written: &file::Listener, table: &At<file::Listener>, findings: &mut Findings<'_>) -> Vec<IpNet> {
    let Some(list) = &written.ops_networks else { return Vec::new() };
    let serves = written.serve.iter().flatten().any(|what| what.get_ref() == "ops");
    let place = list.first().map_or_else(|| table.span(), At::span);
    if !serves {
        findings.refuse(place, "ops_networks: is for a listener with serve = [\"ops\"]: add that, or drop it");
    } else if list.is_empty() {
        findings.refuse(place, "ops_networks is empty: name those who watch the service, or drop it for loopback");
    }
    networks::watching(list, "ops_networks", findings)
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

fn origins(written: &Option<Vec<At<String>>>, protocol: Protocol, findings: &mut Findings<'_>) -> Vec<String> {
    let list = written.as_deref().unwrap_or_default();
    if let (Protocol::Smtp, Some(first)) = (protocol, list.first()) {
        findings.refuse(first.span(), "origins: is for protocol = \"http\"");
    }
    if let Some(beyond) = list.get(MOST_ORIGINS) {
        findings.refuse(beyond.span(), format!("origins: at most {MOST_ORIGINS}"));
    }
    let mut origins = Vec::new();
    for place in list {
        match origin(place.get_ref()) {
            Some(origin) => origins.push(origin),
            None => {
                let text = format!(
                    "origins: {:?}: write each as browsers say it, a scheme and a host, and a port that is not the scheme's own: \
                     \"https://www.example.net\"; there is no sign for all of them",
                    place.get_ref()
                );
                findings.refuse(place.span(), text);
            }
        }
    }
    origins
}

/// RFC 6454 section 6.2: compared octet by octet, so only what a browser may say is taken.
fn origin(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let own = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let (name, port) = match rest.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (rest, None),
    };
    let is_sound = |port: &str| port.parse::<u16>().is_ok_and(|number| number != own && number.to_string() == port);
    (host(name).as_deref() == Some(name) && port.is_none_or(is_sound)).then(|| text.to_owned())
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
