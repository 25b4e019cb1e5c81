//! Replacing those that fall: at once the first time, more slowly when it keeps happening, and a vault not without end.

use std::time::{Duration, Instant};

use super::child::{Child, Standing};
use super::post::Post;
use super::{Parent, Phase, change};
use crate::ipc::control::{HOW, Happening};
use crate::role::{Generation, Instance, Life, Role};

/// A process that fell within this time of being ready is replaced ever more slowly.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// The first and the longest wait before a process that keeps falling is started again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Vault deaths are counted over this time; beyond `limits.vault_deaths` of them it stays down, because a vault that
/// can't stand may be harming what it keeps.
const VAULT_WINDOW: Duration = Duration::from_secs(600);

/// A post whose process fell and that is to be filled again.
#[derive(Debug)]
pub struct Vacancy {
    pub due: Instant,
    post: Post,
    generation: Generation,
}

impl Parent {
    /// Ends a child that can't be dealt with; whatever it is, it is not the parent's end. Its successor may do better.
    pub fn condemn(&mut self, instance: Instance, reason: &str) {
        if let Some(child) = self.household.get_mut(instance) {
            child.reason = Some(reason.to_owned());
            child.kill();
        }
    }

    /// A child is gone, expected or not.
    pub fn fell(&mut self, child: &Child, how: &str, violation: bool) -> Result<(), String> {
        let how = &how.chars().take(HOW).collect::<String>();
        let expected =
            matches!(child.standing, Standing::Draining { .. }) || matches!(self.phase, Phase::Closing { .. });
        if expected {
            return Ok(());
        }
        if self.phase == Phase::Opening {
            return Err(format!("{}: {how}", child.post));
        }
        let newcomer = child.post.role.row().life == Life::Generation
            && self.change.as_ref().is_some_and(|change| change.generation == child.generation);
        // One that can't use a configuration is why that is refused, and nothing that served is gone.
        if !newcomer || violation {
            tracing::error!(role = %child.post, instance = child.instance.0, how = %how, "a process fell");
            let (role, instance) = (child.post.role, child.instance);
            self.record(Happening::Fell { role, instance, how: how.clone(), violation });
        }
        if let Some(change) = &self.change {
            // Its successor comes with the old configuration: a switch half done can't be finished with it.
            let switching = change.is_switching() && matches!(child.post.role, Role::Vault | Role::Listener);
            if newcomer || switching {
                change::give_up(self, &format!("{}: {how}", child.post));
            }
            if newcomer {
                return Ok(());
            }
        }
        if child.post.role == Role::Vault && self.vault_is_beyond_help() {
            return Ok(());
        }
        let life = match child.standing {
            Standing::Ready { since } => since.elapsed(),
            _ => Duration::ZERO,
        };
        let falls = self.falls.entry(child.post.clone()).or_default();
        *falls = if life < SHORT_LIFE { falls.saturating_add(1) } else { 0 };
        let wait = match *falls {
            0 | 1 => Duration::ZERO,
            n => FIRST_WAIT.saturating_mul(1 << (n - 2).min(16)).min(LONGEST_WAIT),
        };
        self.vacancies.push(Vacancy {
            due: Instant::now() + wait,
            post: child.post.clone(),
            generation: child.generation,
        });
        Ok(())
    }

    /// Counts a death of the vault; true when it should stay down.
    fn vault_is_beyond_help(&mut self) -> bool {
        let now = Instant::now();
        self.vault_deaths.push_back(now);
        self.vault_deaths.retain(|death| now.duration_since(*death) < VAULT_WINDOW);
        let most = self.plan().limits.vault_deaths;
        let beyond = self.vault_deaths.len() > usize::try_from(most).unwrap_or(usize::MAX);
        if beyond {
            tracing::error!(
                deaths = self.vault_deaths.len(),
                "the vault fell too often in ten minutes and stays down; clients are told 421. \
                 Look for the reason above (disk, memory, damaged database), mend it, and restart the service"
            );
            self.notifier.tell("STATUS=the vault stays down: see the log");
        }
        beyond
    }

    /// Starts those whose time has come. One that can't be started is tried again.
    pub fn fill_vacancies(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.vacancies).into_iter().partition(|vacancy| vacancy.due <= now);
        self.vacancies = later;
        for Vacancy { post, generation, .. } in due {
            // A process of the service comes back with the configuration that serves now, whatever it began with.
            let generation = if post.role.row().life == Life::Service { self.generation } else { generation };
            // Nobody needs one of a generation that was replaced.
            if !self.plans.contains_key(&generation) {
                continue;
            }
            if let Err(reason) = self.hire(post.clone(), generation) {
                tracing::error!(role = %post, reason, "a fallen process could not be replaced; trying again");
                self.vacancies.push(Vacancy { due: now + LONGEST_WAIT, post, generation });
            }
        }
    }
}
