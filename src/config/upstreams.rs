//! Upstreams: where mail goes, how it is protected on the way, and where the password comes from.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{CONNECTIONS, KEPT_AGE, KEPT_IDLE, KEPT_MESSAGES, time, whole};
use super::listeners::TLS;
use super::plan::{Upstream, label, number, word};
use super::providers::{KINDS, SENDMAIL, SMTP};
use super::slice::{Auth, Bearer, Family, Keep, TlsMode};
use super::source::Source;
use super::{Mode, name, oauth2, pace, programs, protection, providers};
use crate::secret::Secret;

/// The words for which addresses are connected to.
const FAMILY: [(&str, Family); 3] = [("any", Family::Any), ("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];
/// By what is logged in.
#[derive(Clone, Copy)]
enum Means {
    Password(Auth),
    Token(Bearer),
}

/// The words for how to log in.
const AUTH: [(&str, Means); 6] = [
    ("auto", Means::Password(Auth::Auto)),
    ("scram-sha-256", Means::Password(Auth::ScramSha256)),
    ("plain", Means::Password(Auth::Plain)),
    ("login", Means::Password(Auth::Login)),
    ("xoauth2", Means::Token(Bearer::Xoauth2)),
    ("oauthbearer", Means::Token(Bearer::Oauthbearer)),
];

/// Hosts of one upstream, tried in order.
const MOST_HOSTS: usize = 16;

pub fn plan(tables: &[At<file::Upstream>], mode: Mode, findings: &mut Findings<'_>) -> Vec<Upstream> {
    let mut names = BTreeSet::new();
    let mut upstreams = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let written = table.get_ref();
        let kind = kind(written, table, findings);
        providers::only(kind, written, findings);
        let number = number(index, "upstreams", findings);
        let name = label(written.name.as_ref(), table, "name", &mut names, findings);
        if kind == SENDMAIL {
            upstreams.extend(programs::plan((number, name), table, findings));
            continue;
        }
        if kind != SMTP {
            upstreams.extend(providers::plan(kind, (number, name), table, findings));
            continue;
        }
        let tls = written.tls.as_ref().and_then(|tls| word(tls, "tls", &TLS, &[], findings));
        let tls = tls.unwrap_or(TlsMode::Starttls);
        let hosts = hosts(written, table, findings);
        let means = means(written, findings);
        let (auth, oauth2) = match means {
            Means::Password(auth) => (auth, oauth2::none(written, findings)),
            Means::Token(bearer) => (Auth::default(), oauth2::plan(bearer, written, findings)),
        };
        let family = family(written, &hosts, findings);
        let upstream = Upstream {
            number,
            name,
            provider: None,
            program: None,
            protection: protection::plan(written, tls, &hosts, findings),
            username: username(&written.username, findings),
            password: password(written, mode, findings),
            auth,
            oauth2,
            requiretls: written.requiretls.as_ref().is_some_and(|flag| *flag.get_ref()),
            connections: whole(&written.connections, &CONNECTIONS, findings),
            pace: pace::plan(&written.pace, findings),
            keep: Keep {
                idle: time(&written.idle, &KEPT_IDLE, findings),
                age: time(&written.max_age, &KEPT_AGE, findings),
                messages: whole(&written.messages_per_connection, &KEPT_MESSAGES, findings),
            },
            helo: helo(written, findings),
            family,
            sources: sources(written, &hosts, family, findings),
            hosts,
            tls,
            hook: None,
        };
        judge(&upstream, matches!(means, Means::Token(_)), table, findings);
        upstreams.push(upstream);
    }
    upstreams
}

/// Login comes whole or not at all, and never in the clear over a network.
fn judge(upstream: &Upstream, by_token: bool, table: &At<file::Upstream>, findings: &mut Findings<'_>) {
    let written = table.get_ref();
    let password = [
        written.password_file.as_ref().map(At::span),
        written.password.as_ref().map(At::span),
        written.password_insecure_inline.as_ref().map(At::span),
    ];
    let password = password.into_iter().flatten().next();
    let gave_password = password.is_some();
    match &written.username {
        _ if by_token => {
            if let Some(place) = password {
                findings.refuse(place, "auth asks for a login by token, which has no password: take this away");
            }
        }
        Some(username) if !gave_password => {
            findings.refuse(username.span(), "username: a password is missing beside it: give password_file");
        }
        None if gave_password => findings.refuse(table.span(), "username is missing beside the password"),
        _ => {}
    }
    if let (TlsMode::None, true, Some(flag)) = (upstream.tls, upstream.requiretls, &written.requiretls) {
        let text = "requiretls: there is no TLS to this upstream: set tls to \"starttls\" or \"implicit\"";
        findings.refuse(flag.span(), text);
    }
    let leaves = upstream.hosts.iter().find(|(host, _)| !is_loopback(host));
    if let (TlsMode::None, Some((host, _))) = (upstream.tls, leaves) {
        let place = written.tls.as_ref().map_or_else(|| table.span(), At::span);
        if written.username.is_some() {
            let what = if by_token { "token" } else { "password" };
            let text = format!("tls: the {what} would go to {host} in the clear: write \"starttls\" or \"implicit\"");
            findings.refuse(place, text);
        } else {
            findings.warn(Some(place), format!("tls: mail goes to {host} in the clear"));
        }
    }
}

/// The kind; smtp when it can't be told, which has been said then.
fn kind(written: &file::Upstream, table: &At<file::Upstream>, findings: &mut Findings<'_>) -> &'static str {
    let Some(kind) = &written.kind else {
        findings.refuse(table.span(), "kind is missing: write kind = \"smtp\"");
        return SMTP;
    };
    word(kind, "kind", &KINDS.map(|kind| (kind, kind)), &[], findings).unwrap_or(SMTP)
}

fn hosts(written: &file::Upstream, table: &At<file::Upstream>, findings: &mut Findings<'_>) -> Vec<(String, u16)> {
    if written.hosts.is_empty() {
        findings.refuse(table.span(), "hosts is missing: a list such as [\"smtp.example.net:587\"]");
    }
    if let Some(beyond) = written.hosts.get(MOST_HOSTS) {
        findings.refuse(beyond.span(), format!("hosts: at most {MOST_HOSTS}"));
    }
    let mut hosts = Vec::new();
    for place in &written.hosts {
        match host(place.get_ref()) {
            Some(host) => hosts.push(host),
            None => {
                let text = format!(
                    "hosts: {:?}: write a name and a port, \"smtp.example.net:587\" or \"[2001:db8::1]:587\"",
                    place.get_ref()
                );
                findings.refuse(place.span(), text);
            }
        }
    }
    hosts
}

/// `name:port`, with an IPv6 address in brackets.
pub fn host(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner?.parse::<Ipv6Addr>().ok()?.to_string(),
        None if name::is_host(host) => host.to_ascii_lowercase(),
        None => return None,
    };
    Some((host, port))
}

pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn username(written: &Option<At<String>>, findings: &mut Findings<'_>) -> Option<String> {
    let written = written.as_ref()?;
    if written.get_ref().is_empty() || written.get_ref().contains(char::is_control) {
        findings.refuse(written.span(), "username: must not be empty or have control characters");
    }
    Some(written.get_ref().clone())
}

fn helo(written: &file::Upstream, findings: &mut Findings<'_>) -> Option<String> {
    let written = written.helo.as_ref()?;
    if !name::is_host(written.get_ref()) {
        findings.refuse(written.span(), format!("helo: {:?} is not a host name", written.get_ref()));
    }
    Some(written.get_ref().to_ascii_lowercase())
}

pub fn family(written: &file::Upstream, hosts: &[(String, u16)], findings: &mut Findings<'_>) -> Family {
    let Some(written) = &written.family else { return Family::default() };
    let family = word(written, "family", &FAMILY, &[], findings).unwrap_or_default();
    let addresses = hosts.iter().filter_map(|(host, _)| host.parse::<IpAddr>().ok());
    for other in addresses.filter(|address| !family.has(*address)) {
        findings.refuse(written.span(), format!("family: {other} among the hosts is no {} address", family.name()));
    }
    family
}

/// The addresses of this machine that an upstream is to see, one of each family at most.
pub fn sources(
    written: &file::Upstream,
    hosts: &[(String, u16)],
    family: Family,
    findings: &mut Findings<'_>,
) -> Vec<IpAddr> {
    let Some(list) = &written.source_address else { return Vec::new() };
    if list.get_ref().is_empty() {
        findings.refuse(list.span(), "source_address: the list is empty; leave it out for any address");
    }
    let mut sources: Vec<IpAddr> = Vec::new();
    for written in list.get_ref() {
        let refused = match written.get_ref().parse::<IpAddr>() {
            Err(_) => "is not an IP address",
            Ok(address) if address != address.to_canonical() => "is an IPv4 address in IPv6: write it as IPv4",
            Ok(address) if is_nobodys(address) => "is no address of one machine that others reach",
            Ok(address) if !family.has(address) => "is of a family that this upstream isn't reached by (family)",
            Ok(address) if sources.iter().any(|known| known.is_ipv4() == address.is_ipv4()) => {
                "is a second one of its family: give one IPv4 and one IPv6 address at most"
            }
            Ok(address) => {
                sources.push(address);
                continue;
            }
        };
        findings.refuse(written.span(), format!("source_address: {:?} {refused}", written.get_ref()));
    }
    let addresses = hosts.iter().filter_map(|(host, _)| literal(host));
    let is_reached = |address: &IpAddr| sources.iter().any(|source| source.is_ipv4() == address.is_ipv4());
    if let Some(other) = addresses.into_iter().find(|address| !sources.is_empty() && !is_reached(address)) {
        let message = format!("source_address: none is of the family of {other}, which is among the hosts");
        findings.refuse(list.span(), message);
    }
    sources
}

/// Of none, of many, or of a link that it doesn't name.
fn is_nobodys(address: IpAddr) -> bool {
    let is_bound_to_a_link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    address.is_unspecified() || address.is_multicast() || is_broadcast || is_bound_to_a_link
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn means(written: &file::Upstream, findings: &mut Findings<'_>) -> Means {
    let Some(auth) = &written.auth else { return Means::Password(Auth::default()) };
    if written.username.is_none() {
        findings.refuse(auth.span(), "auth: there is no login without username");
    }
    word(auth, "auth", &AUTH, &[], findings).unwrap_or(Means::Password(Auth::default()))
}

pub fn authorities(written: &Option<At<String>>, findings: &mut Findings<'_>) -> Option<Source> {
    let written = written.as_ref()?;
    Source::file(written.get_ref())
        .map_err(|why| findings.refuse(written.span(), format!("authorities_file: {why}")))
        .ok()
}

/// One of the three keys that give a password.
fn password(written: &file::Upstream, mode: Mode, findings: &mut Findings<'_>) -> Option<Source> {
    let file::Upstream { password_file, password, password_insecure_inline, .. } = written;
    let indirect = |text: &At<Secret<String>>| Source::indirect(text.get_ref().expose());
    let given = [
        password_file.as_ref().map(|text| ("password_file", text.span(), Source::file(text.get_ref()))),
        password.as_ref().map(|text| ("password", text.span(), indirect(text))),
        password_insecure_inline.as_ref().map(|text| ("password_insecure_inline", text.span(), inline(text, mode))),
    ];
    let mut given = given.into_iter().flatten();
    let (key, place, source) = given.next()?;
    if let Some((second, place, _)) = given.next() {
        findings.refuse(place, format!("{second}: there is {key} already: give one of them"));
    }
    source.map_err(|why| findings.refuse(place, format!("{key}: {why}"))).ok()
}

fn inline(written: &At<Secret<String>>, mode: Mode) -> Result<Source, String> {
    if !mode.is_private() {
        return Err("others than the owner can read this file: chmod 600, or better use password_file".into());
    }
    match written.get_ref().expose().is_empty() {
        true => Err("is empty".into()),
        false => Ok(Source::Inline(written.get_ref().clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_need_a_name_and_a_port() {
        assert_eq!(host("SMTP.example.net:587"), Some(("smtp.example.net".into(), 587)));
        assert_eq!(host("[2001:db8::1]:25"), Some(("2001:db8::1".into(), 25)));
        assert_eq!(host("127.0.0.1:25"), Some(("127.0.0.1".into(), 25)));
        for text in
            ["smtp.example.net", "smtp.example.net:", "x:0", "x:65536", ":25", "2001:db8::1:25", "[x]:25", "a b:25"]
        {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
