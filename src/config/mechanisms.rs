//! By which mechanisms of SASL a listener lets clients log in, and by what over HTTP.

use super::file::{self, At};
use super::findings::Findings;
use super::plan::word;
use super::slice::{Protocol, TlsMode};
use crate::policy::mechanism::Mechanism;

/// What is offered where nothing else is written: a password inside TLS, which every client can say.
const USUAL: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// Those that can be offered, by the names that IANA has for them.
const HERE: [(&str, Mechanism); 7] = [
    ("PLAIN", Mechanism::Plain),
    ("LOGIN", Mechanism::Login),
    ("OAUTHBEARER", Mechanism::OauthBearer),
    ("XOAUTH2", Mechanism::Xoauth2),
    ("EXTERNAL", Mechanism::External),
    ("SCRAM-SHA-256", Mechanism::ScramSha256),
    ("SCRAM-SHA-256-PLUS", Mechanism::ScramSha256Plus),
];

/// Those of HTTP, which has no names for them: a key, in whichever form it comes, and the certificate without one.
const OVER_HTTP: [(&str, Mechanism); 2] = [("BEARER", Mechanism::Bearer), ("EXTERNAL", Mechanism::External)];

/// Those that never will be, and why.
const NEVER: [(&str, &str); 4] = [
    ("CRAM-MD5", "it needs secrets that can be read back, and only their hashes are kept: offer PLAIN over TLS"),
    ("DIGEST-MD5", "it is obsolete (RFC 6331), and its hashes are as good as the password: offer PLAIN over TLS"),
    ("NTLM", "its hashes are as good as the password, and can be relayed: offer PLAIN over TLS"),
    ("ANONYMOUS", "nobody sends mail without a login: networks of devices stand in identified_by of a credential"),
];

/// What this listener offers and takes, in the order in which it is announced.
pub fn offered(
    written: &file::Listener,
    table: &At<file::Listener>,
    protocol: Protocol,
    tls: TlsMode,
    findings: &mut Findings<'_>,
) -> Vec<Mechanism> {
    let by_network = written.identify_by_network.as_ref().is_some_and(|flag| *flag.get_ref());
    let Some(list) = &written.mechanisms else {
        return match protocol {
            Protocol::Http => vec![Mechanism::Bearer],
            Protocol::Smtp if by_network => Vec::new(),
            Protocol::Smtp => USUAL.to_vec(),
        };
    };
    let place = list.first().map_or_else(|| table.span(), At::span);
    match protocol {
        Protocol::Http if list.is_empty() => {
            let text = "mechanisms is empty: nobody could send here: name \"BEARER\", \"EXTERNAL\" or both, or drop it";
            findings.refuse(place, text);
        }
        Protocol::Smtp if by_network && !list.is_empty() => {
            findings.refuse(place, "mechanisms: identify_by_network never offers AUTH: choose one of the two");
        }
        Protocol::Smtp if !by_network && list.is_empty() => {
            let text = "mechanisms is empty: nobody could log in here, and nobody sends without a login: name some, such \
                        as [\"PLAIN\", \"LOGIN\"], or drop the listener";
            findings.refuse(place, text);
        }
        Protocol::Http | Protocol::Smtp => {}
    }
    let here: &[_] = if protocol == Protocol::Http { &OVER_HTTP } else { &HERE };
    let mut offered = Vec::new();
    for item in list {
        let name = item.get_ref().as_str();
        if let Some((_, why)) = NEVER.iter().find(|(never, _)| never.eq_ignore_ascii_case(name)) {
            findings.refuse(item.span(), format!("mechanisms: {name:?} is not offered on purpose: {why}"));
            continue;
        }
        let elsewhere = HERE.iter().any(|(other, _)| *other == name) && !here.iter().any(|(own, _)| *own == name);
        if elsewhere {
            let text = format!(
                "mechanisms: {name:?} is for protocol = \"smtp\": over HTTP there are \"BEARER\" and \"EXTERNAL\""
            );
            findings.refuse(item.span(), text);
            continue;
        }
        let Some(mechanism) = word(item, "mechanisms", here, &[], findings) else { continue };
        if offered.contains(&mechanism) {
            findings.refuse(item.span(), format!("mechanisms: {name:?} is named twice"));
            continue;
        }
        if mechanism == Mechanism::ScramSha256Plus && tls == TlsMode::None {
            let text =
                format!("mechanisms: {name:?} binds a login to its TLS, and there is none here: set tls, or drop it");
            findings.refuse(item.span(), text);
        }
        offered.push(mechanism);
    }
    offered
}
