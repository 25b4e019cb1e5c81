//! Content of a message whose sender waits: to the upstream, and with `fallback` to the disk, too.

use sha2::Digest;

use super::Transaction;
use crate::mail::address::Address;
use crate::vault::store::segment::Piece;

impl Transaction {
    /// Passes content of a live message on, or gives its credit back when nothing can come of it. Gives as `take` does.
    pub fn pass(&mut self, octets: Vec<u8>, max_size: u64, most: u64) -> Option<(Option<Piece>, u32)> {
        let live = self.live.as_ref()?;
        if live.broken.is_some() {
            return Some((None, self.count(&octets, max_size, most)?));
        }
        if !live.keeps() {
            let length = self.count(&octets, max_size, most)?;
            return Some((None, if self.hand_on(octets) { 0 } else { length }));
        }
        let (piece, back) = self.take(octets.clone(), max_size, most)?;
        let is_passed = self.hand_on(octets);
        let live = self.live.as_mut()?;
        let alone = if is_passed { 0 } else { live.credit.alone() };
        Some((piece, alone.saturating_add(live.credit.disk(back))))
    }

    /// True where it goes to the upstream.
    fn hand_on(&mut self, octets: Vec<u8>) -> bool {
        let Some(live) = self.live.as_ref().filter(|live| self.trouble.is_none() && !live.is_alone()) else {
            return false;
        };
        self.digest.update(&octets);
        live.pass(octets);
        true
    }

    /// SHA-256 of what was passed on.
    pub fn digest(&self) -> [u8; 32] {
        self.digest.clone().finalize().into()
    }

    /// So much of it is on the disk. Gives what the edge may send for that.
    pub fn written(&mut self, octets: u32) -> u32 {
        match self.live.as_mut().filter(|live| live.keeps()) {
            Some(live) => live.credit.disk(octets),
            None => octets,
        }
    }

    /// Nothing more of it goes anywhere, so that the edge may send the rest. Gives as `written`.
    pub fn lost(&mut self, octets: u32) -> u32 {
        let alone = self.live.as_mut().map_or(0, |live| live.credit.alone());
        self.written(octets).saturating_add(alone)
    }

    /// Whom it is counted for. Who was refused by the upstream was asked for all the same.
    pub(super) fn counted(&self) -> Vec<Address> {
        match &self.live {
            None => self.recipients.clone(),
            Some(live) => live.counted(&self.recipients),
        }
    }
}
