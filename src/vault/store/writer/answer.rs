//! What whoever gives the writer a job hears of it: after its commit, or that there was no room; and nothing otherwise.

use std::fmt;

use rusqlite::Result as Sql;
use tokio::sync::oneshot;

use crate::vault::store::{Store, is_full};

/// Answers when what it belongs to is on the disk.
pub type Answer = Box<dyn FnOnce() + Send>;
pub type Work = Box<dyn FnOnce(&mut Store<'_>) -> Sql<Answer> + Send>;

/// Why something isn't stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// The disk is full; nothing of it was kept.
    Full,
    /// The writer has ended.
    Closed,
}

/// For whoever ordered it.
impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => {
                "the disk is full, so that nothing can be written down, and it was not done: make room (docs/runbook.md, \"The \
                 disk is full\") and order it again"
            }
            Self::Closed => "the vault is ending, and it was not done: order it again when it is back; the log says why",
        })
    }
}

/// An answer that will come.
pub struct Stored<T>(pub(super) oneshot::Receiver<T>);

impl<T> Stored<T> {
    /// Waits for the commit.
    pub async fn answer(self) -> Result<T, NotStored> {
        // A job is dropped without an answer only when its transaction found no room: see `unsaid`.
        self.0.await.map_err(|_| NotStored::Full)
    }

    /// As `answer`, from a thread without a runtime.
    pub fn blocking_answer(self) -> Result<T, NotStored> {
        self.0.blocking_recv().map_err(|_| NotStored::Full)
    }
}

/// A job and the answer to it.
pub fn job<T, W>(work: W) -> (Work, Stored<T>)
where
    T: Send + 'static,
    W: FnOnce(&mut Store<'_>) -> Sql<T> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let work = Box::new(move |store: &mut Store<'_>| {
        match work(store) {
            // Whoever asked may be gone; what was done stays done.
            Ok(value) => Ok(Box::new(move || drop(sender.send(value))) as Answer),
            Err(error) => {
                if !is_full(&error) {
                    unsaid(sender);
                }
                Err(error)
            }
        }
    });
    (work, Stored(receiver))
}

/// Keeps what would answer from being dropped, which says that there was no room. After any other failure nobody knows what
/// the disk holds, a commit included, until the next start has read it: a client that were refused now might send again what
/// is kept, and a body that were removed now might be one that a row on the disk refers to. The process ends.
pub fn unsaid<T>(answers: T) {
    std::mem::forget(answers);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_ordered_it_hears_why_and_what_to_do() {
        assert!(NotStored::Full.to_string().starts_with("the disk is full"));
        for why in [NotStored::Full, NotStored::Closed] {
            let text = why.to_string();
            assert!(text.contains("it was not done") && text.contains("order it again"), "{text}");
        }
    }
}
