//! The end of a job's content: before the courier hears of it, it is written down who may have the message from then on.

use std::collections::HashSet;
use std::rc::Rc;

use tokio::task::spawn_local;

use super::{Courier, Ready, Violation, on_unknown};
use crate::ipc::delivery::{Job, Offer};

/// Who may have a message without having an outcome.
#[derive(Default)]
pub struct Suspects {
    /// What the courier asked last, until it is answered: its number, and whom it named.
    asked: Option<(u32, HashSet<u32>)>,
    /// Whom the last answer named.
    now: HashSet<u32>,
    /// Who is written down.
    marked: HashSet<u32>,
}

impl Suspects {
    /// A new word of the courier's; the one before needs no answer any more.
    pub fn ask(&mut self, turn: u32, numbers: HashSet<u32>) {
        self.asked = Some((turn, numbers));
    }

    pub fn has(&self, number: u32) -> bool {
        self.now.contains(&number)
    }
}

impl Courier {
    /// A courier can harm no messages but its own by what it says here.
    pub(super) async fn ending(&mut self, job: Job, turn: u32, numbers: Vec<u32>) -> Result<(), Violation> {
        // A job that was withdrawn while this was on its way.
        let Some(active) = self.active.get_mut(&job) else { return Ok(()) };
        if numbers.len() > active.open.len() || numbers.iter().any(|number| !active.open.contains_key(number)) {
            return Err(Violation("ending-out-of-order"));
        }
        active.suspects.ask(turn, numbers.into_iter().collect());
        self.pump(job).await;
        Ok(())
    }

    /// All content was sent: answers, when that was asked for, what the courier wants to know of its end.
    pub(super) async fn answer(&mut self, job: Job) {
        let Some(active) = self.active.get_mut(&job).filter(|active| !active.reading) else { return };
        let Some((turn, numbers)) = active.suspects.asked.take() else { return };
        let on_unknown = on_unknown(&self.vault, &active.leased);
        // Those who are tried again anyway, too: the log says of each that he may have it already, whoever ends meanwhile. Who has an
        // outcome keeps his mark until that is written.
        let changes = active.open.keys().map(|number| (*number, numbers.contains(number)));
        let changes: Vec<_> = changes.filter(|(n, mark)| active.suspects.marked.contains(n) != *mark).collect();
        if changes.is_empty() {
            active.suspects.now = numbers;
            return self.say(Offer::End { job, turn }).await;
        }
        active.reading = true;
        let (vault, ready, row) = (Rc::clone(&self.vault), self.ready.clone(), active.leased.row);
        spawn_local(async move {
            let written = changes.clone();
            let done = vault.writer.run(move |store| store.leases.mark(job.0, row, on_unknown, &written)).await;
            let _ = ready.send((job, Ready::Marked { turn, numbers, changes, done: done.is_ok() }));
        });
    }

    /// Whatever ends from here on, those go by their mark.
    pub(super) async fn marked(
        &mut self,
        job: Job,
        turn: u32,
        numbers: HashSet<u32>,
        changes: Vec<(u32, bool)>,
        done: bool,
    ) {
        let Some(active) = self.active.get_mut(&job) else { return };
        active.reading = false;
        if !done {
            let message = active.leased.message;
            tracing::error!(%message, "there is no room to write down who may have it from now on: it waits");
            return self.take_back(job).await;
        }
        for (number, is_marked) in changes {
            match is_marked {
                true => active.suspects.marked.insert(number),
                false => active.suspects.marked.remove(&number),
            };
        }
        active.suspects.now = numbers;
        self.say(Offer::End { job, turn }).await;
        // It may have asked anew meanwhile.
        self.answer(job).await;
    }
}
