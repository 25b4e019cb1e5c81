//! What the writer shares with those who ask it nothing: room, load, counts, and who is told of news.

use std::sync::atomic::Ordering;

use super::Writer;
use crate::vault::bells::Bells;
use crate::vault::figures::tally::Tally;
use crate::vault::load::Load;
use crate::vault::store::room::Room;

impl Writer {
    /// Whether there is too little room for new mail.
    pub fn is_short(&self) -> bool {
        self.room.is_short()
    }

    pub const fn room(&self) -> &Room {
        &self.room
    }

    /// What it holds and how long it takes.
    pub const fn load(&self) -> &Load {
        &self.load
    }

    /// Where is counted what happens, for those who watch the service.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Where is waited for what becomes of a message.
    pub const fn bells(&self) -> &Bells {
        &self.bells
    }

    /// Leaves of the audit log that are on the disk.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }
}
