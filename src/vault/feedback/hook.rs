//! One webhook: its courier, what it has under way, and whether it may be given more.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::line::Line;
use crate::ipc::admin::webhook::{Standing, State};
use crate::ipc::feedback::{Answer, Ask};
use crate::vault::delivery::breaker::{Breaker, Fault};
use crate::vault::store::outbox::{Due, Waiting};

/// Events at one webhook at once: enough for a receiver that answers at once, and no load for one that doesn't.
const AT_ONCE: u32 = 4;
/// So many refused in a row show that it is not the events.
const IN_A_ROW: u32 = 3;

#[derive(Default)]
pub struct Hook {
    pub line: Option<Line>,
    /// It is in the configuration.
    pub is_known: bool,
    /// It said 410.
    pub is_gone: bool,
    breaker: Breaker,
    /// Refused, with none that was taken between.
    in_a_row: u32,
    under_way: HashMap<u64, Due>,
    /// Rows whose fate is on its way to the disk.
    settling: HashSet<i64>,
    pub tests: HashMap<u64, oneshot::Sender<Answer>>,
    /// When there may be something to post, in microseconds.
    pub due_us: u64,
}

impl Hook {
    fn busy(&self) -> usize {
        self.under_way.len() + self.settling.len()
    }

    /// How many more it may be given now.
    pub fn room(&self, now: Instant) -> usize {
        let is_there = self.line.as_ref().is_some_and(|line| !line.is_gone());
        if !is_there || !self.is_known || self.is_gone || self.breaker.rests(now) {
            return 0;
        }
        let most = self.breaker.window.unwrap_or(AT_ONCE).min(AT_ONCE);
        usize::try_from(most).unwrap_or_default().saturating_sub(self.busy())
    }

    /// Rows that are read to find so many that nobody has.
    pub fn depth(&self, room: usize) -> usize {
        room + self.busy()
    }

    pub fn has(&self, row: i64) -> bool {
        self.settling.contains(&row) || self.under_way.values().any(|due| due.row == row)
    }

    pub fn post(&mut self, ticket: u64, due: Due) {
        let (id, body) = (format!("evt_{}", due.id), due.body.clone());
        if self.line.as_ref().is_some_and(|line| line.post(Ask::Post { ticket, id, body })) {
            self.under_way.insert(ticket, due);
        }
    }

    /// What that ticket was of.
    pub fn answered(&mut self, ticket: u64) -> Option<Due> {
        self.under_way.remove(&ticket)
    }

    /// Nobody has looked at what that ticket was of.
    pub fn unread(&mut self, ticket: u64) {
        self.under_way.remove(&ticket);
        self.tests.remove(&ticket);
        self.due_us = 0;
    }

    /// Its fate is on its way to the disk.
    pub fn settle(&mut self, row: i64) {
        self.settling.insert(row);
    }

    pub fn settled(&mut self, row: i64) {
        self.settling.remove(&row);
        self.due_us = 0;
    }

    /// It has taken one. True when that ends a series of failures.
    pub fn took(&mut self) -> bool {
        self.in_a_row = 0;
        let is_back = self.breaker.answered();
        self.breaker.passed(AT_ONCE);
        is_back
    }

    /// It has refused one. How long it rests, when several in a row were refused.
    pub fn refused(&mut self, reason: &str, now: Instant) -> Option<Pause> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row < IN_A_ROW { None } else { self.failed(reason, None, now) }
    }

    /// It can't be used now. How long it rests, when it wasn't resting.
    pub fn failed(&mut self, reason: &str, asked: Option<Duration>, now: Instant) -> Option<Pause> {
        let is_first = !self.breaker.is_open();
        let pause = self.breaker.failed(Fault::Route, reason.to_owned(), now)?;
        let longer = asked.and_then(|asked| self.breaker.rest_at_least(asked, now));
        Some(Pause { time: longer.unwrap_or(pause), is_first })
    }

    /// What was wrong may have been mended. True when something was.
    pub fn forget(&mut self) -> bool {
        (self.in_a_row, self.due_us) = (0, 0);
        let was_gone = std::mem::take(&mut self.is_gone);
        self.breaker.forget() || was_gone
    }

    pub fn state(&self, webhook: &str, waiting: &Waiting, now: Instant) -> State {
        let rest = self.breaker.rest(now);
        let standing = match () {
            () if !self.is_known => Standing::Unconfigured,
            () if self.line.as_ref().is_none_or(Line::is_gone) => Standing::Absent,
            () if self.is_gone => Standing::Disabled,
            () if rest.is_some() => Standing::Resting,
            () if self.breaker.is_open() => Standing::Probed,
            () => Standing::Up,
        };
        State {
            webhook: webhook.to_owned(),
            standing,
            waiting: waiting.events,
            first_end_us: waiting.first_end_us,
            under_way: u32::try_from(self.under_way.len()).unwrap_or(u32::MAX),
            failures: self.breaker.failures,
            fault: self.breaker.fault.as_ref().map(|(_, said)| said.clone()),
            seconds: rest.map(|rest| rest.as_secs()),
            credentials: Vec::new(),
        }
    }
}

/// A rest that begins, and whether it is the first since something was taken.
pub struct Pause {
    pub time: Duration,
    pub is_first: bool,
}
