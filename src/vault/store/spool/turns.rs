//! Whose turn it is in a lane: credentials are served in a circle, so that nobody waits behind all that another one has.
//!
//! Who had a large message, or one to many, is passed over until the others have had as much (a deficit round robin). What
//! lives shortly goes first, and now and then what doesn't.

use std::cell::Cell;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};
use uuid::Uuid;

use super::Accepted;
use crate::vault::audit::row::integer;
use crate::vault::store::lasting;

/// What lives no longer than this goes first: a code that is good for minutes is worth nothing behind a newsletter.
pub const SHORT_US: u64 = 3_600_000_000;
/// So many that live shortly leave one after the other before one of the others does, when both wait.
pub const IN_A_ROW: u32 = 4;
/// One turn is a message of so many octets, to so many recipients.
const OCTETS: u64 = 256 * 1024;
const RECIPIENTS: u64 = 20;

/// Who takes turns for a message. Reports of the gate's own have turns of their own beside the mail of their credential: they tell
/// of mail that waits, or is lost, and would be told behind all else of it. Whoever sends a report makes it no such one.
pub(super) fn whose(principal: &str, session: Uuid, is_report: bool) -> String {
    // No credential has such an id.
    if is_report && session.is_nil() { format!("<{principal}>") } else { principal.to_owned() }
}

impl Accepted {
    /// Who takes turns for it.
    pub fn whose(&self) -> String {
        whose(&self.principal, self.session, self.is_report)
    }
}

/// The circle of one lane.
#[derive(Debug, Default)]
struct Circle {
    /// Who was served last, among those that can wait and those that can't.
    last: [String; 2],
    /// Turns that somebody had beyond its own.
    debts: HashMap<String, u64>,
    /// Served one after the other that can't wait.
    in_a_row: u32,
}

pub struct Turns<'c> {
    circles: HashMap<String, Circle>,
    after: Statement<'c>,
    due: Statement<'c>,
}

impl<'c> Turns<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        Ok(Self {
            circles: HashMap::new(),
            after: lasting(
                connection,
                "SELECT turn FROM spool_rcpt WHERE state = 0 AND held = 0 AND lane = ? AND urgent = ? AND turn > ? \
                 ORDER BY turn LIMIT 1",
            )?,
            due: lasting(
                connection,
                "SELECT msg FROM spool_rcpt WHERE state = 0 AND held = 0 AND lane = ? AND urgent = ? AND turn = ? \
                 AND next_us <= ? AND NOT EXISTS(SELECT 1 FROM spool_msg WHERE id = msg AND ended > 0) \
                 ORDER BY next_us, msg LIMIT 1",
            )?,
        })
    }

    /// The row of the next message of a lane that is due, of those who may have one now.
    pub fn next(&mut self, lane: &str, now_us: u64, may: &dyn Fn(&str) -> bool) -> Result<Option<i64>> {
        let passed_over = Cell::new(false);
        let may = |who: &str| {
            let may = may(who);
            passed_over.set(passed_over.get() || !may);
            may
        };
        let mut circle = self.circles.remove(lane).unwrap_or_default();
        let order = if circle.in_a_row < IN_A_ROW { [true, false] } else { [false, true] };
        for urgent in order {
            if let Some((who, row)) = self.round(&mut circle, lane, urgent, now_us, &may)? {
                circle.last[usize::from(urgent)] = who;
                circle.in_a_row = if urgent { circle.in_a_row + 1 } else { 0 };
                self.circles.insert(lane.to_owned(), circle);
                return Ok(Some(row));
            }
        }
        // When nobody is due nobody owes anybody anything.
        if passed_over.get() {
            self.circles.insert(lane.to_owned(), circle);
        }
        Ok(None)
    }

    /// What the message was that had this turn.
    pub fn charge(&mut self, lane: &str, who: &str, octets: u64, recipients: usize) {
        let recipients = u64::try_from(recipients).unwrap_or(u64::MAX);
        let more = octets / OCTETS + recipients / RECIPIENTS;
        if more > 0
            && let Some(circle) = self.circles.get_mut(lane)
        {
            *circle.debts.entry(who.to_owned()).or_default() += more;
        }
    }

    /// Goes round once, from behind whoever was served last. Who owes turns pays one by being passed over; when all who are
    /// due owe some, the one that owes least is served, and all are forgiven as much.
    fn round(
        &mut self,
        circle: &mut Circle,
        lane: &str,
        urgent: bool,
        now_us: u64,
        may: &dyn Fn(&str) -> bool,
    ) -> Result<Option<(String, i64)>> {
        let start = circle.last[usize::from(urgent)].clone();
        let (mut at, mut is_round) = (start.clone(), false);
        let mut least: Option<(u64, String, i64)> = None;
        loop {
            let next: Option<String> = self.after.query_row(params![lane, urgent, at], |row| row.get(0)).optional()?;
            let Some(who) = next.filter(|who| !is_round || *who <= start) else {
                if is_round {
                    break;
                }
                (at, is_round) = (String::new(), true);
                continue;
            };
            at.clone_from(&who);
            if !may(&who) {
                continue;
            }
            let due = self.due.query_row(params![lane, urgent, who, integer(now_us)], |row| row.get(0)).optional()?;
            let Some(row) = due else { continue };
            let Some(debt) = circle.debts.get_mut(&who) else { return Ok(Some((who, row))) };
            *debt -= 1;
            let left = *debt;
            if left == 0 {
                circle.debts.remove(&who);
            }
            if least.as_ref().is_none_or(|(debt, ..)| left < *debt) {
                least = Some((left, who, row));
            }
        }
        let Some((forgiven, who, row)) = least else { return Ok(None) };
        circle.debts.retain(|_, debt| {
            *debt = debt.saturating_sub(forgiven);
            *debt > 0
        });
        Ok(Some((who, row)))
    }
}
