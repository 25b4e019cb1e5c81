//! How a listener's SMTP differs from everybody's: LMTP, and what its operator has allowed for the sake of those who need it.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::credentials::networks;
use super::file::{self, At};
use super::findings::Findings;
use super::plan::{Bind, Listener, word};
use super::reach;
use super::slice::{Extension, Protocol};

/// The word for LMTP, which is SMTP in all that roles and zones are about.
pub const LMTP: &str = "lmtp";
/// Mail exchangers listen there, and a client that takes this for one would misread every reply (RFC 2033 section 5).
const SMTP_PORT: u16 = 25;
/// RFC 2033 section 5 wants them of every server of LMTP.
const OF_LMTP: [Extension; 2] = [Extension::Pipelining, Extension::StatusCodes];

/// A command that can be turned off. The others can't: mail needs them, or a client that is lost. BDAT goes with CHUNKING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Optional {
    Helo,
    Help,
    Vrfy,
    Expn,
}

impl Optional {
    const ALL: [(&str, Self); 4] =
        [("HELO", Self::Helo), ("HELP", Self::Help), ("VRFY", Self::Vrfy), ("EXPN", Self::Expn)];
}

/// The default is SMTP as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// LMTP (RFC 2033) instead of SMTP.
    pub lmtp: bool,
    pub commands_off: Vec<Optional>,
    /// Gateways that may say by XCLIENT whose session it is; over HTTP, the proxies that may say so in a field.
    pub xclient_from: Vec<IpNet>,
    /// Filters that may say by XFORWARD whose message it was, for the log.
    pub xforward_from: Vec<IpNet>,
    /// A bare LF in the content of DATA is taken for a line's end.
    pub repair_bare_lf: bool,
}

pub fn plan(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Dialect {
    Dialect {
        lmtp: written.protocol.as_ref().is_some_and(|protocol| protocol.get_ref() == LMTP),
        commands_off: commands_off(written, protocol, findings),
        xclient_from: match protocol {
            Protocol::Smtp => listed(&written.xclient_from, "xclient_from", protocol, findings),
            Protocol::Http => {
                [listed(&written.xclient_from, "xclient_from", protocol, findings), reach::trusted(written, findings)]
                    .concat()
            }
        },
        xforward_from: listed(&written.xforward_from, "xforward_from", protocol, findings),
        repair_bare_lf: repair_bare_lf(&written.repair_bare_lf, protocol, findings),
    }
}

/// What LMTP forbids.
pub fn judge_lmtp(written: &file::Listener, binds: &[Bind], off: &[Extension], findings: &mut Findings<'_>) {
    let is_taken = |bind: &Bind| matches!(bind, Bind::Address(address) if address.port() == SMTP_PORT);
    if let Some(place) = binds.iter().position(is_taken).and_then(|at| written.address.get(at)) {
        findings
            .refuse(place.span(), "address: LMTP is never spoken on port 25 (RFC 2033): choose another, such as 2424");
    }
    if let Some(place) =
        written.extensions_off.iter().flatten().next().filter(|_| off.iter().any(|one| OF_LMTP.contains(one)))
    {
        findings.refuse(place.span(), "extensions_off: LMTP has PIPELINING and ENHANCEDSTATUSCODES always (RFC 2033)");
    }
}

fn commands_off(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Vec<Optional> {
    let list: &[At<String>] = written.commands_off.as_deref().unwrap_or_default();
    if let (Protocol::Http, Some(first)) = (protocol, list.first()) {
        findings.refuse(first.span(), "commands_off: is for protocol = \"smtp\"");
    }
    list.iter().filter_map(|item| word(item, "commands_off", &Optional::ALL, &[], findings)).collect()
}

/// Whose word about a client counts, where several could say it.
pub fn judge_gateways(listener: &Listener, written: &file::Listener, findings: &mut Findings<'_>) {
    for (key, list) in [
        ("xclient_from", &written.xclient_from),
        ("xforward_from", &written.xforward_from),
        ("trusted_proxies", &written.trusted_proxies),
    ] {
        if let (false, Some(place)) = (listener.proxy_from.is_empty(), list.iter().flatten().next()) {
            let text =
                format!("{key}: with proxy_from the proxy's header says whose connection it is: choose one of the two");
            findings.refuse(place.span(), text);
        }
    }
    if let (true, Some(place)) = (listener.identify_by_network, written.xclient_from.iter().flatten().next()) {
        let text = "xclient_from: with identify_by_network an address is a login, and XCLIENT never gives one: choose one \
                    of the two";
        findings.refuse(place.span(), text);
    }
}

fn listed(written: &Option<Vec<At<String>>>, key: &str, protocol: Protocol, findings: &mut Findings<'_>) -> Vec<IpNet> {
    let list = written.as_deref().unwrap_or_default();
    if let (Protocol::Http, Some(first)) = (protocol, list.first()) {
        findings.refuse(first.span(), format!("{key}: is for protocol = \"smtp\""));
    }
    networks::believed(list, key, findings)
}

fn repair_bare_lf(written: &Option<At<bool>>, protocol: Protocol, findings: &mut Findings<'_>) -> bool {
    let Some(flag) = written.as_ref().filter(|flag| *flag.get_ref()) else { return false };
    if protocol == Protocol::Http {
        findings.refuse(flag.span(), "repair_bare_lf: is for protocol = \"smtp\"");
    }
    true
}
