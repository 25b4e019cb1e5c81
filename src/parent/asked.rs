//! Who asked for a reload by a command, and is told what became of it.

use super::Parent;
use crate::ipc::control::{BY, Order, REASON};
use crate::ipc::reload::{Ticket, Verdict};
use crate::mail::unseen::is_unseen;
use crate::role::{Instance, Role};

/// All that one vault asked for and was not told of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ask {
    vault: Instance,
    through: Ticket,
    by: String,
}

#[derive(Debug, Default)]
pub struct Asked {
    /// For whom a reload is to begin: what is under way read its files before they asked.
    waiting: Option<Ask>,
    /// For whom the one that is under way was begun.
    begun: Option<Ask>,
}

impl Asked {
    /// The vault hands on that somebody asks. What it says of who goes into the log as it may stand there.
    pub fn note(&mut self, vault: Instance, ticket: Ticket, by: &str) {
        let by = match self.waiting.take().filter(|ask| ask.vault == vault) {
            Some(ask) if ask.by != by => format!("{}, {by}", ask.by),
            _ => by.to_owned(),
        };
        let by = by.chars().filter(|c| !is_unseen(*c)).take(BY).collect();
        self.waiting = Some(Ask { vault, through: ticket, by });
    }

    /// A reload begins: it is for all who wait.
    pub fn begin(&mut self) {
        self.begun = self.waiting.take();
    }

    /// Who asked for the one that is under way, when it was a command.
    pub fn by(&self) -> Option<String> {
        self.begun.as_ref().map(|ask| ask.by.clone())
    }
}

/// Tells those for whom the reload that ends now was begun.
pub fn tell(parent: &mut Parent, verdict: Verdict) {
    if let Some(ask) = parent.asked.begun.take() {
        send(parent, ask, verdict);
    }
}

/// Tells all who asked that nothing comes of it.
pub fn refuse(parent: &mut Parent, reason: &str) {
    let Asked { waiting, begun } = std::mem::take(&mut parent.asked);
    for ask in [begun, waiting].into_iter().flatten() {
        send(parent, ask, refusal(reason));
    }
}

/// A refusal that fits into a packet whatever was said.
pub fn refusal(reason: &str) -> Verdict {
    Verdict::Refused { reason: reason.chars().take(REASON).collect() }
}

/// To the vault that asked. The commands of one that fell know that they won't be told.
fn send(parent: &Parent, Ask { vault, through, .. }: Ask, verdict: Verdict) {
    if let Some(child) = parent.household.the(Role::Vault).filter(|child| child.instance == vault)
        && let Err(error) = child.tell(&Order::Reloaded { through, verdict }, None)
    {
        tracing::warn!(%error, "whoever asked for a reload can't be told what became of it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_for_those_who_asked_before_it_began() {
        let mut asked = Asked::default();
        asked.note(Instance(1), Ticket(1), "uid 0");
        asked.note(Instance(1), Ticket(2), "uid 0 (al\u{1b}ice)");
        asked.begin();
        asked.note(Instance(1), Ticket(3), "uid 7");
        assert_eq!(asked.by().as_deref(), Some("uid 0, uid 0 (alice)"));
        assert_eq!(asked.begun.as_ref().map(|ask| ask.through), Some(Ticket(2)));
        assert_eq!(asked.waiting.as_ref().map(|ask| ask.through), Some(Ticket(3)));
        // A signal's: nobody is told.
        let mut signal = Asked::default();
        signal.begin();
        assert_eq!(signal.by(), None);
        // What another vault asked died with it.
        asked.note(Instance(2), Ticket(1), "uid 8");
        assert_eq!(asked.waiting, Some(Ask { vault: Instance(2), through: Ticket(1), by: "uid 8".into() }));
    }
}
