//! No report is longer than what any mailbox takes, however many recipients it tells of and however much their hosts have said.

use super::{Fate, Notification, Original};

/// Octets of a report. Whoever is told of mail that failed is not to be burdened by it, nor its own mailbox to refuse it.
pub const MAX_REPORT: usize = 50_000;
/// Octets that are left for the header of the message, which shows best which one it was.
const KEPT_FOR_HEADER: usize = 8_000;
/// What is left of the words of each host, the first of these by which all fits: who is told of many has each of them named, and
/// the status of each, before anybody's words are quoted whole.
const WORDS: [usize; 4] = [512, 256, 128, 64];
/// How words that were cut end.
const CUT: &str = "...";

impl Notification<'_> {
    /// The whole message, of at most `MAX_REPORT` octets, and of how many of the recipients it tells: the first so many. The
    /// others are to be told of by another one.
    pub fn compose_within(&self) -> (Vec<u8>, usize) {
        let most = MAX_REPORT - KEPT_FOR_HEADER;
        let (mut fates, mut count) = (Vec::new(), self.fates.len());
        for words in WORDS {
            fates = self.fates.iter().map(|fate| fate.cut(words)).collect();
            if self.with(&fates, &Original::Nothing).len() <= most {
                return (self.with_original(&fates), count);
            }
        }
        loop {
            let length = self.with(&fates, &Original::Nothing).len();
            if length <= most || count <= 1 {
                return (self.with_original(&fates), count);
            }
            // As many as fit if each takes as much as the others.
            count = (count.saturating_mul(most) / length).clamp(1, count - 1);
            fates.truncate(count);
        }
    }

    fn with(&self, fates: &[Fate], original: &Original) -> Vec<u8> {
        Notification { fates, original, ..self.clone() }.compose()
    }

    /// With as much of the message as there is room for: all of it where that was meant, or else of its header.
    fn with_original(&self, fates: &[Fate]) -> Vec<u8> {
        let whole = self.with(fates, self.original);
        let content = match self.original {
            _ if whole.len() <= MAX_REPORT => return whole,
            Original::Whole(content) | Original::Header(content) => content,
            Original::Nothing => return whole,
        };
        let mut most = MAX_REPORT;
        loop {
            let header = Original::header(content, most);
            let composed = self.with(fates, &header);
            let over = composed.len().saturating_sub(MAX_REPORT);
            if over == 0 || header == Original::Header(Vec::new()) {
                return composed;
            }
            most = most.saturating_sub(over.max(1));
        }
    }
}

impl Fate {
    /// With so many octets of the words of its host, which are ASCII when they are told.
    fn cut(&self, most: usize) -> Self {
        let mut fate = self.clone();
        if fate.text.chars().count() > most {
            fate.text = fate.text.chars().take(most.saturating_sub(CUT.len())).chain(CUT.chars()).collect();
        }
        fate
    }
}
