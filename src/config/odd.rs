//! What is odd about the credentials of a file that loads all the same: nobody can use them as they stand.

use std::collections::HashMap;
use std::ops::Range;

use super::file::Config;
use super::findings::Findings;
use super::plan::Plan;
use super::routes;

/// Warns of each of them, at its place in the file.
pub fn credentials(plan: &Plan, config: &Config, findings: &mut Findings<'_>) {
    keys(config, findings);
    for (credential, written) in plan.credentials.iter().zip(&config.credential) {
        if credential.policy.senders.is_empty() {
            let text = format!("credential {:?} has no senders: it may send nothing", credential.id);
            findings.warn(Some(written.span()), text);
        } else if !plan.routes.is_empty()
            && !credential.policy.test
            && let Some((from, to)) = routes::uncovered(credential, &plan.routes)
        {
            let text = format!("credential {:?}: no route takes mail from {from} to {to}", credential.id);
            findings.warn(Some(written.span()), text);
        }
        for text in plan.astray(&credential.id, &credential.policy) {
            findings.warn(Some(written.span()), text);
        }
        if !credential.certificates.is_empty() && !plan.listeners.iter().any(|l| l.client_certificates.is_some()) {
            let text = format!(
                "credential {:?} has certificates, but no listener has client_certificates: nobody can log in as it",
                credential.id
            );
            findings.warn(Some(written.span()), text);
        }
        if !credential.policy.identified_by.is_empty() && !plan.listeners.iter().any(|l| l.identify_by_network) {
            let text = format!(
                "credential {:?} has identified_by, but no listener has identify_by_network = true",
                credential.id
            );
            findings.warn(Some(written.span()), text);
        }
    }
}

/// Warns of each key id that another credential has before: whoever shows it as a key is that one alone.
fn keys(config: &Config, findings: &mut Findings<'_>) {
    let mut known: HashMap<&str, (usize, &str, Range<usize>)> = HashMap::new();
    for (number, credential) in config.credential.iter().map(|written| written.get_ref()).enumerate() {
        let id = credential.id.as_ref().map(|id| id.get_ref().as_str()).unwrap_or_default();
        for key in credential.secrets.iter().filter_map(|secret| secret.get_ref().key.as_ref()) {
            match known.get(key.get_ref().as_str()) {
                // The two of one credential are refused.
                Some((owner, ..)) if *owner == number => {}
                Some((_, first, place)) => {
                    // Counted here alone: the file before it is read for that, which for each of many keys would take minutes.
                    let line = findings.line(place);
                    let text = format!(
                        "credential {id:?}: key: the key id {:?} is credential {first:?}'s (line {line}) already, and whoever shows it \
                         is that one: choose one key id for each secret",
                        key.get_ref()
                    );
                    findings.warn(Some(key.span()), text);
                }
                None => _ = known.insert(key.get_ref(), (number, id, key.span())),
            }
        }
    }
}
