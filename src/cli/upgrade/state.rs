//! How far the service has come, and what that is to whoever upgrades it.

use std::path::Path;
use std::time::Duration;

use crate::ipc::loan::{Borrower, LENDER, Lender, Stage};

/// A parent answers at once when it runs; one that is just starting does not yet, and is asked again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why it was not done, and where that leaves the service.
#[derive(Debug)]
pub struct Undone {
    pub state: State,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The one that served before does.
    Unchanged,
    /// It stops.
    Stopping,
    /// Another one is there, and does not serve yet.
    Starting(Option<Lender>),
    /// Another one does.
    Serves(Lender),
    Nobody,
}

impl State {
    /// Looks who is there now.
    pub fn look(runtime: &Path, before: Option<&Lender>) -> Self {
        match Borrower::connect(&runtime.join(LENDER), PATIENCE) {
            Ok(None) | Err(_) => Self::Nobody,
            Ok(Some(borrower)) => borrower.lender().map_or(Self::Starting(None), |lender| Self::of(lender, before)),
        }
    }

    fn of(lender: Lender, before: Option<&Lender>) -> Self {
        match (before.is_some_and(|before| before.is(&lender)), lender.stage) {
            (true, Stage::Stopping) => Self::Stopping,
            (true, _) => Self::Unchanged,
            (false, Stage::Serving) => Self::Serves(lender),
            (false, _) => Self::Starting(Some(lender)),
        }
    }

    /// As scripts read it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Stopping => "stopping",
            Self::Starting(_) => "starting",
            Self::Serves(_) => "serving",
            Self::Nobody => "nobody",
        }
    }

    /// What there is to know and to do, when it was not waited for any longer.
    pub fn told(&self, before: Option<&Lender>, nothing_held: bool) -> String {
        let who = |lender: Option<&Lender>| {
            lender.map_or_else(String::new, |lender| format!(" (version {}, process {})", lender.version, lender.pid))
        };
        let go = if nothing_held { "" } else { "; the ports are let go now" };
        match self {
            Self::Unchanged => format!("the service{} serves on as before", who(before)),
            Self::Stopping => {
                format!("the service{} is still stopping, start it when it has ended{go}", who(before))
            }
            Self::Starting(next) => {
                format!("the next one{} does not serve yet, its log says why{go}", who(next.as_ref()))
            }
            Self::Serves(now) => format!("the next one{} serves", who(Some(now))),
            Self::Nobody if before.is_none() => {
                "none that can be upgraded so has come: `gatepost status` says whether the one before serves".to_owned()
            }
            Self::Nobody => format!(
                "nobody serves: look at the log of the service, and start it, or put the version before back{go}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_before_is_told_from_the_next_one_also_by_the_same_number() {
        let lender = |since, stage| Lender { version: "1.0.0".to_owned(), pid: 1, since, stage };
        let before = lender(5, Stage::Serving);
        let of = |lender: &Lender| State::of(lender.clone(), Some(&before));
        assert_eq!(of(&before), State::Unchanged);
        assert_eq!(of(&lender(5, Stage::Stopping)), State::Stopping);
        let next = lender(6, Stage::Starting);
        assert_eq!(of(&next), State::Starting(Some(next)));
        let next = lender(6, Stage::Serving);
        assert_eq!(of(&next), State::Serves(next.clone()));
        // Of one that could not say who it is, the next one is every one that can.
        assert_eq!(State::of(next.clone(), None), State::Serves(next));
    }

    #[test]
    fn it_is_said_where_that_leaves_the_service_and_its_ports() {
        let before = Lender { version: "1.0.0".to_owned(), pid: 7, since: 5, stage: Stage::Serving };
        let unchanged = State::Unchanged.told(Some(&before), false);
        assert_eq!(unchanged, "the service (version 1.0.0, process 7) serves on as before");
        for state in [State::Stopping, State::Starting(None), State::Nobody] {
            assert!(state.told(Some(&before), false).contains("the ports are let go now"), "{state:?}");
            assert!(!state.told(Some(&before), true).contains("ports"), "{state:?}");
        }
    }
}
