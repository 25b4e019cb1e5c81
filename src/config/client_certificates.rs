//! Certificates of clients: which listeners ask for one, whom they trust for it, and which a credential wants.

use super::file;
use super::findings::Findings;
use super::plan::word;
use super::slice::{ClientCertificates, TlsMode};
use super::source::Source;
use crate::policy::certificate::Wanted;
use crate::policy::mechanism::Mechanism;

const WORDS: [(&str, ClientCertificates); 2] =
    [("request", ClientCertificates::Request), ("require", ClientCertificates::Require)];

/// Entries of one credential.
const MOST: usize = 16;

/// What this listener asks of its clients, and whose certificates it believes.
pub fn plan(
    written: &file::Listener,
    tls: TlsMode,
    mechanisms: &[Mechanism],
    findings: &mut Findings<'_>,
) -> Option<(ClientCertificates, Source)> {
    let external = written.mechanisms.iter().flatten().find(|_| mechanisms.contains(&Mechanism::External));
    let Some(asked) = &written.client_certificates else {
        if let Some(alone) = &written.client_authorities_file {
            findings.refuse(alone.span(), "client_authorities_file: nobody is asked: add client_certificates");
        }
        if let Some(place) = external {
            let text = "mechanisms: \"EXTERNAL\" needs client_certificates = \"request\" or \"require\" beside it";
            findings.refuse(place.span(), text);
        }
        return None;
    };
    let word = word(asked, "client_certificates", &WORDS, &[], findings);
    if tls == TlsMode::None {
        findings.refuse(asked.span(), "client_certificates: there is no TLS here: set tls");
    } else if written.identify_by_network.as_ref().is_some_and(|flag| *flag.get_ref()) {
        findings.refuse(asked.span(), "client_certificates: identify_by_network has no login to add one to");
    }
    let Some(authorities) = &written.client_authorities_file else {
        let text = "client_certificates: client_authorities_file is missing: a file of the authorities, in PEM form, whose \
                    certificates are believed";
        findings.refuse(asked.span(), text);
        return None;
    };
    let source = Source::file(authorities.get_ref());
    if let Err(why) = &source {
        findings.refuse(authorities.span(), format!("client_authorities_file: {why}"));
    }
    word.zip(source.ok())
}

/// Those of a credential.
pub fn wanted(written: &file::Credential, findings: &mut Findings<'_>) -> Vec<Wanted> {
    if let Some(beyond) = written.certificates.get(MOST) {
        findings.refuse(beyond.span(), format!("certificates: at most {MOST}"));
    }
    if let (Some(first), false) = (written.certificates.first(), written.identified_by.is_empty()) {
        let text = "certificates: identified_by lets the network in without one: choose one of the two";
        findings.refuse(first.span(), text);
    }
    let mut wanted = Vec::new();
    for entry in &written.certificates {
        match entry.get_ref().parse() {
            Ok(one) => wanted.push(one),
            Err(why) => findings.refuse(entry.span(), format!("certificates: {why}")),
        }
    }
    wanted
}
