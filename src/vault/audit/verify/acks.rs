//! What the service said it had accepted, or passed on while its sender waited, against the events of it: a captured vault that leaves events out is found by those
//! who kept the words of the processes before it.

use std::collections::HashSet;

use super::hole::Holes;
use super::stopped::Stopped;
use super::{Fault, altered};
use crate::mail::id::MessageId;
use crate::vault::audit::event::Name;
use crate::vault::audit::row::Row;

/// The words before the id in a line of the service's log: the vault's, and those of the edge, which told the client. The
/// edge is the better witness: a vault that was taken over has no say in its lines. A field called `message` stands in a line
/// without its name.
const WORDS: [&str; 2] = ["a message was accepted ", "a message was acknowledged "];

/// The messages of the lines that say so.
pub fn acceptances(log: &str) -> Vec<MessageId> {
    let id = |line: &str| {
        let (_, rest) = WORDS.iter().find_map(|words| line.split_once(words))?;
        rest.split_ascii_whitespace().next()?.parse().ok()
    };
    log.lines().filter_map(id).collect()
}

/// Those of which no event was seen yet.
#[derive(Debug, Default)]
pub struct Acknowledged(HashSet<MessageId>);

impl Acknowledged {
    pub fn new(messages: &[MessageId]) -> Self {
        Self(messages.iter().copied().collect())
    }

    pub fn event(&mut self, row: &Row) {
        if !self.0.is_empty()
            && [Name::MsgAccept, Name::MsgIntent].iter().any(|name| row.event == name.word())
            && let Some(message) = row.text("msg_id").and_then(|id| id.parse().ok())
        {
            self.0.remove(&message);
        }
    }

    /// Passes over those that have their event in the database of a stopped service, which no file has yet. Whether all of them
    /// are known by that.
    pub fn waiting(&mut self, stopped: &Stopped) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Ok(accepted) = stopped.accepted() else { return false };
        self.0.retain(|message| !accepted.contains(message));
        // What looks left out because it was being written proves nothing.
        stopped.is_still().is_ok()
    }

    /// Whether everything has its event that was accepted in the time of this log, save what is declared lost. An id begins with
    /// the time at which it was given, which is before the event.
    pub fn judge(&self, first_us: u64, last_us: u64, holes: &Holes) -> Result<(), Fault> {
        let time_us = |message: &MessageId| {
            u64::try_from(message.uuid().as_u128() >> 80).unwrap_or(u64::MAX).saturating_mul(1000)
        };
        let is_due = |time_us: u64| (first_us..=last_us).contains(&time_us) && !holes.has(time_us);
        let mut missing: Vec<&MessageId> = self.0.iter().filter(|message| is_due(time_us(message))).collect();
        missing.sort();
        match missing.first() {
            Some(first) => Err(altered(format!(
                "{} messages were acknowledged and have no event of it, first {first}: they were left out",
                missing.len()
            ))),
            None => Ok(()),
        }
    }
}
