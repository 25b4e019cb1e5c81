//! The service that runs, if one does, and the credentials that are in force.

use super::finding::Sheet;
use crate::cli::control;
use crate::config::plan::Plan;
use crate::ipc::admin::credential::{Command, KeyEntry, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::policy::Policy;
use crate::sys::running::{Process, family};

pub enum Service {
    /// Its parent and that one's children, where the system shows them.
    Runs(Option<(Process, Vec<Process>)>),
    Stopped,
    /// Somebody is there, and can't be asked; why not.
    Closed(String),
}

impl Service {
    pub fn find(plan: &Plan) -> Self {
        match control::listener(&plan.runtime_directory) {
            Ok(Some(pid)) => Self::Runs(pid.and_then(family)),
            Ok(None) => Self::Stopped,
            Err(undone) => Self::Closed(undone.into()),
        }
    }

    /// Why it can't be asked.
    pub fn silence(&self) -> Option<&str> {
        match self {
            Self::Runs(_) => None,
            Self::Stopped => Some("the service does not run"),
            Self::Closed(why) => Some(why),
        }
    }
}

/// One credential.
pub struct Account {
    pub id: String,
    pub policy: Policy,
    pub enabled: bool,
    pub keys: Vec<KeyEntry>,
}

/// Those of the file and of the vault, as the running service has them; those of the file where there is none.
pub fn accounts(plan: &Plan, service: &Service, sheet: &mut Sheet) -> Vec<Account> {
    let why = match service.silence() {
        Some(why) => why.to_owned(),
        None => match ask(plan) {
            Ok(all) => {
                sheet.pass("policy.credentials", format!("{} credentials are in force", all.len()));
                return all;
            }
            Err(why) => why,
        },
    };
    sheet.skip("policy.credentials", "the credentials in the vault: only those in the file were looked at", why);
    let declared = plan.credentials.iter().map(|declared| Account {
        id: declared.id.clone(),
        policy: declared.policy.clone(),
        enabled: declared.enabled,
        keys: Vec::new(),
    });
    declared.collect()
}

fn ask(plan: &Plan) -> Result<Vec<Account>, String> {
    let mut all = Vec::new();
    control::ask_for_parts(&plan.runtime_directory, Any::Credential(Command::List), |part| {
        if let Answer::Credential(Response::Entry(entry)) = part {
            let (id, policy, enabled, keys) = (entry.id, entry.policy, entry.enabled, entry.keys);
            all.push(Account { id, policy, enabled, keys });
        }
        true
    })?;
    Ok(all)
}
