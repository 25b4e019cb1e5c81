//! Rehearsals that a courier has been asked for: what it says of each goes to whoever asked.

use std::collections::HashMap;

use tokio::sync::mpsc::UnboundedSender;

use crate::ipc::delivery::{Heard, Job, MAX_LINES, Offer};
use crate::mail::address::ReversePath;

/// Asks for one; a message from each of `senders` is rehearsed. When `told` closes without `Heard::End`, its courier is gone.
pub struct Rehearsal {
    pub senders: Vec<ReversePath>,
    pub told: UnboundedSender<Heard>,
}

/// Those under way at one courier.
#[derive(Default)]
pub struct Rehearsals {
    /// Who is told, and how many lines may come yet.
    told: HashMap<Job, (UnboundedSender<Heard>, usize)>,
}

impl Rehearsals {
    /// What the courier is to be told.
    pub fn begin(&mut self, job: Job, Rehearsal { senders, told }: Rehearsal) -> Offer {
        self.told.insert(job, (told, MAX_LINES));
        Offer::Rehearse { job, senders }
    }

    /// Errors: a word for what the courier may not say.
    pub fn heard(&mut self, job: Job, heard: Heard) -> Result<(), &'static str> {
        let is_end = matches!(heard, Heard::End(_));
        let (told, left) = self.told.get_mut(&job).ok_or("line-out-of-order")?;
        if matches!(&heard, Heard::Line(line) if !line.fits()) {
            return Err("line-too-long");
        }
        if !is_end {
            *left = left.checked_sub(1).ok_or("lines-without-end")?;
        }
        // Whoever asked may be gone.
        let _ = told.send(heard);
        if is_end {
            self.told.remove(&job);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::ipc::delivery::{Line, MAX_LINE, Who};

    #[test]
    fn a_courier_says_no_more_than_it_was_asked_for() {
        let line = || Heard::Line(Line::note("x"));
        let mut rehearsals = Rehearsals::default();
        assert_eq!(rehearsals.heard(Job(1), line()), Err("line-out-of-order"));
        let (told, mut hears) = unbounded_channel();
        rehearsals.begin(Job(1), Rehearsal { senders: vec![None], told });
        for _ in 0..MAX_LINES {
            assert_eq!(rehearsals.heard(Job(1), line()), Ok(()));
        }
        assert_eq!(rehearsals.heard(Job(1), line()), Err("lines-without-end"));
        assert_eq!(rehearsals.heard(Job(1), Heard::End(true)), Ok(()));
        assert_eq!(rehearsals.heard(Job(1), Heard::End(true)), Err("line-out-of-order"));
        let mut count = 0;
        while let Ok(Heard::Line(_)) = hears.try_recv() {
            count += 1;
        }
        assert_eq!(count, MAX_LINES);
        let (told, _hears) = unbounded_channel();
        rehearsals.begin(Job(2), Rehearsal { senders: vec![None], told });
        let long = Line { who: Who::Note, text: "x".repeat(MAX_LINE + 1), shown: None };
        assert_eq!(rehearsals.heard(Job(2), Heard::Line(long)), Err("line-too-long"));
    }
}
