//! Jobs that only read: a full disk has room for them.

use rusqlite::Result as Sql;

use super::answer::{Answer, Work, job, unsaid};
use super::{Group, Job, NotStored, Writer};
use crate::vault::store::{Failure, Store};

impl Writer {
    /// Reads something as it is behind all that was queued before. On a full disk, too: what is owed to the log isn't written with it.
    /// What leaves a trace needs room, and is `run`.
    pub async fn look<T, W>(&self, work: W) -> Result<T, NotStored>
    where
        T: Send + 'static,
        W: FnOnce(&mut Store<'_>) -> Sql<T> + Send + 'static,
    {
        let (work, answer) = job(work);
        self.queue.send(Job::Look(work)).await.map_err(|_| NotStored::Closed)?;
        answer.answer().await
    }
}

impl Group<'_> {
    /// In a transaction of their own, behind what is written: a commit that has nothing to write takes no room.
    pub(super) fn look(&mut self, looks: Vec<Work>) -> Result<(), Failure> {
        if looks.is_empty() {
            return Ok(());
        }
        let (mut looks, mut answers) = (looks.into_iter(), Vec::<Answer>::new());
        let done = self
            .store
            .transaction(|store| looks.by_ref().try_for_each(|look| look(store).map(|answer| answers.push(answer))));
        match done {
            Ok(()) => answers.into_iter().for_each(|answer| answer()),
            // One that wrote after all: whoever asked hears that there was no room.
            Err(Failure::Full) => {}
            Err(failure) => {
                unsaid((looks, answers));
                return Err(failure);
            }
        }
        Ok(())
    }
}
