//! What is odd about the credentials of a file that loads all the same: nobody can use them as they stand.

use super::file::Config;
use super::findings::Findings;
use super::plan::Plan;
use super::routes;

/// Warns of each of them, at its place in the file.
pub fn credentials(plan: &Plan, config: &Config, findings: &mut Findings<'_>) {
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
