//! The service that runs, if one does, whose it is, and the credentials that are in force.

use std::path::Path;
use std::time::Duration;

use super::finding::Sheet;
use crate::cli::check::doubled::doubled;
use crate::cli::control::{self, Undone};
use crate::config::plan::Plan;
use crate::ipc::admin::credential::{Command, KeyEntry, Response};
use crate::ipc::admin::load::Obstacle;
use crate::ipc::admin::overview::Overview;
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::parent::{self, Family};
use crate::policy::Policy;

/// How long it may be silent: its vault gives its store 5 seconds to answer. Whoever is silent then is asked nothing more.
const PATIENCE: Duration = Duration::from_secs(7);

/// How often the processes are looked at, at most, until all of them have become what they are to be.
const LOOKS: u32 = 20;
const NAP: Duration = Duration::from_millis(50);

pub enum Service {
    /// Its processes, where the system shows them, and what keeps mail out of it, or its log unsigned.
    Runs(Option<Family>, Vec<Obstacle>),
    /// It is there and says nothing; in words.
    Silent(Option<Family>, String),
    Stopped,
    /// Somebody is there, and can't be asked; why not.
    Closed(String),
}

impl Service {
    pub fn find(plan: &Plan) -> Self {
        match control::listener(&plan.runtime_directory) {
            Ok(Some(pid)) => match obstacles(&plan.runtime_directory) {
                Ok(obstacles) => Self::Runs(pid.and_then(settled), obstacles),
                Err(why) => Self::Silent(pid.and_then(settled), why),
            },
            Ok(None) => Self::Stopped,
            Err(undone) => Self::Closed(undone.into()),
        }
    }

    /// Why it can't be asked.
    pub fn silence(&self) -> Option<&str> {
        match self {
            Self::Runs(..) => None,
            Self::Stopped => Some("the service does not run"),
            Self::Silent(_, why) | Self::Closed(why) => Some(why),
        }
    }

    /// Its processes, where there are any and the system shows them.
    pub fn family(&self) -> Option<&Family> {
        match self {
            Self::Runs(family, _) | Self::Silent(family, _) => family.as_ref(),
            Self::Stopped | Self::Closed(_) => None,
        }
    }

    /// The user that the service is, or would be when it is started: its parent's; of one that shows no parent the owner's of its
    /// state, and without a state the user's who asks (`us`). None where somebody else's service keeps it to itself.
    pub fn user(&self, state: &Path, us: u32) -> Option<u32> {
        match (self.family(), self) {
            (Some((parent, _)), _) => Some(parent.user),
            (None, Self::Closed(_)) => None,
            (None, _) => Some(parent::owner(state).unwrap_or(us)),
        }
    }
}

/// The family of a parent, when none of it was made a moment ago: such a child is a copy of its parent, with its title and user, until
/// it becomes what it is to be. What stays so is no child of ours, and is told as it is.
fn settled(parent: i32) -> Option<Family> {
    settle(|| parent::family(parent))
}

fn settle(look: impl Fn() -> Option<Family>) -> Option<Family> {
    for _ in 0..LOOKS {
        let (head, children) = look()?;
        if children.iter().all(|child| child.title != head.title) {
            return Some((head, children));
        }
        std::thread::sleep(NAP);
    }
    look()
}

/// What it says is in its way. Errors: its vault is stuck, in words.
fn obstacles(runtime: &Path) -> Result<Vec<Obstacle>, String> {
    match control::ask_within(runtime, Any::Ready, PATIENCE) {
        Ok(Some(Answer::Ready(readiness))) if readiness.obstacles.contains(&Obstacle::Store) => {
            Err("its store does not answer".to_owned())
        }
        Ok(Some(Answer::Ready(readiness))) => Ok(readiness.obstacles),
        // What it refuses, it has heard.
        Ok(_) | Err(Undone::Refused(_)) => Ok(Vec::new()),
        Err(Undone::Unreachable(why)) => Err(why),
    }
}

/// One credential.
pub struct Account {
    pub id: String,
    pub policy: Policy,
    /// It stands in the file.
    pub declared: bool,
    pub enabled: bool,
    pub keys: Vec<KeyEntry>,
}

/// Those of the file and of the vault, as the running service has them; those of the file where there is none.
pub fn accounts(plan: &Plan, service: &Service, sheet: &mut Sheet) -> Vec<Account> {
    let why = match service.silence() {
        Some(why) => why.to_owned(),
        None => match ask(plan) {
            Ok(all) => {
                let kept = all.iter().filter(|account| !account.declared);
                let kept = kept.map(|account| (account.id.as_str(), account.keys.as_slice()));
                for text in doubled(&plan.credentials, kept) {
                    sheet.warn(
                        "policy.credentials",
                        text,
                        "two have one name, and what is said of one is meant for the other",
                        "let each have its own: docs/credentials.md",
                    );
                }
                sheet.pass_unless_told("policy.credentials", format!("{} credentials are in force", all.len()));
                return all;
            }
            Err(why) => why,
        },
    };
    sheet.skip("policy.credentials", "the credentials in the vault: only those in the file were looked at", why);
    let declared = plan.credentials.iter().map(|declared| Account {
        id: declared.id.clone(),
        policy: declared.policy.clone(),
        declared: true,
        enabled: declared.enabled,
        keys: Vec::new(),
    });
    declared.collect()
}

fn ask(plan: &Plan) -> Result<Vec<Account>, String> {
    let mut all = Vec::new();
    control::ask_for_parts(&plan.runtime_directory, Any::Credential(Command::List), |part| {
        if let Answer::Credential(Response::Entry(entry)) = part {
            let (id, policy, keys) = (entry.id, entry.policy, entry.keys);
            all.push(Account { id, policy, declared: entry.declared, enabled: entry.enabled, keys });
        }
        true
    })?;
    Ok(all)
}

/// What the running service tells of itself; else why it doesn't.
pub fn overview(plan: &Plan, service: &Service) -> Result<Overview, String> {
    if let Some(why) = service.silence() {
        return Err(why.to_owned());
    }
    match control::ask_within(&plan.runtime_directory, Any::Overview, PATIENCE) {
        Ok(Some(Answer::Overview(overview))) => Ok(*overview),
        Ok(_) => Err("it gave another answer".to_owned()),
        Err(undone) => Err(undone.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::sys::running::Process;

    #[test]
    fn a_child_that_was_just_made_is_waited_for_and_one_that_stays_so_is_told() {
        let process = |pid, title: &str| Process { pid, title: title.to_owned(), ..Process::default() };
        let looks = std::cell::Cell::new(0);
        let family = |until| {
            looks.set(0);
            settle(|| {
                looks.set(looks.get() + 1);
                let title = if looks.get() < until { "gatepost serve" } else { "gatepost: vault" };
                Some((process(1, "gatepost serve"), vec![process(2, title)]))
            })
        };
        assert_eq!(family(3).unwrap().1[0].title, "gatepost: vault");
        assert_eq!(looks.get(), 3);
        assert_eq!(family(u32::MAX).unwrap().1[0].title, "gatepost serve");
        assert!(settle(|| None).is_none());
    }

    #[test]
    fn a_service_that_shows_no_process_is_its_states_owner() {
        let state = tempfile::tempdir().unwrap();
        let owner = fs::metadata(state.path()).unwrap().uid();
        let us = owner + 1;
        assert_eq!(Service::Stopped.user(state.path(), us), Some(owner), "another looks at it");
        assert_eq!(Service::Runs(None, Vec::new()).user(state.path(), us), Some(owner));
        assert_eq!(Service::Stopped.user(&state.path().join("none"), us), Some(us), "it would be started by this one");
        assert_eq!(Service::Closed("no way in".into()).user(state.path(), us), None);
        let parent = Process { user: 77, ..Process::default() };
        assert_eq!(Service::Silent(Some((parent, Vec::new())), String::new()).user(state.path(), us), Some(77));
    }

    #[test]
    fn a_state_directory_that_was_given_away_says_nothing_of_the_service() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("not tried: only root can give a file away");
            return;
        }
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("db")).unwrap();
        let give = |path: &Path, user| std::os::unix::fs::chown(path, Some(user), None).unwrap();
        give(&state.path().join("db"), 4712);
        assert_eq!(Service::Stopped.user(state.path(), 9), Some(0), "root's, whose vault is another");
        give(state.path(), 4711);
        assert_eq!(Service::Stopped.user(state.path(), 9), Some(9), "the two are of nobody's service");
        give(&state.path().join("db"), 4711);
        assert_eq!(Service::Stopped.user(state.path(), 9), Some(4711));
    }
}
