//! The write-ahead log: when it is copied back into the database, and emptied.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Group;
use crate::vault::store::Failure;

/// Pages of it (4 KiB each) that are copied back even under load, and in a pause between two groups.
const LOG_BUSY: u32 = 4096;
const LOG_PAUSE: u32 = 1024;

impl Group<'_> {
    /// A tick, and nothing that was written: after a second of that the log is emptied, so that no old frame keeps what was erased.
    pub(super) fn rest(&mut self, ticked: bool) -> Result<(), Failure> {
        if ticked && !std::mem::take(&mut self.worked) && self.log.swap(0, Ordering::Relaxed) > 0 {
            return self.checkpoint(true);
        }
        Ok(())
    }

    pub(super) fn copy_back(&mut self, pause: bool) -> Result<(), Failure> {
        let pages = self.log.load(Ordering::Relaxed);
        let empty = std::mem::take(&mut self.empty);
        if empty || pages > LOG_BUSY || (pause && pages > LOG_PAUSE) {
            self.log.store(0, Ordering::Relaxed);
            return self.checkpoint(empty);
        }
        Ok(())
    }

    /// Copies the log back. Without room for it the log stays, and is as good.
    fn checkpoint(&mut self, truncate: bool) -> Result<(), Failure> {
        // Whoever sends meanwhile waits for it as for a commit.
        let begun = Instant::now();
        self.load.begin(begun);
        let done = self.store.checkpoint(truncate);
        self.load.end(Instant::now());
        self.load.copied_back(begun.elapsed());
        match done {
            Err(Failure::Full) => {
                self.owe(Vec::new());
                Ok(())
            }
            done => done,
        }
    }
}
