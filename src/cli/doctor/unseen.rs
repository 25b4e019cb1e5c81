//! Secrets that this user, or whoever is not the service, can't look at: what is not known of them is said, and never passed.

use super::finding::Sheet;
use crate::config::source::Source;

/// Whose they are, by why they could not be looked at.
#[derive(Default)]
pub struct Unseen(Vec<(String, Vec<String>)>);

impl Unseen {
    pub fn add(&mut self, what: &str, source: &Source, error: &str) {
        let reason = match (source, source.path()) {
            (Source::Credential(_), Err(_)) => {
                "systemd shows it to the service alone: look at the file that the unit's LoadCredential names"
            }
            _ => error.strip_prefix(&format!("{source}: ")).unwrap_or(error),
        };
        let name = format!("{what} ({source})");
        match self.0.iter_mut().find(|(why, _)| why == reason) {
            Some((_, names)) => names.push(name),
            None => self.0.push((reason.to_owned(), vec![name])),
        }
    }

    /// Says it of each of these checks, with the names beside the reason: a screen has no more than that.
    pub fn tell(&self, ids: &[&'static str], sheet: &mut Sheet) {
        for (reason, names) in &self.0 {
            let names = names.join(", ");
            ids.iter().for_each(|id| sheet.skip(id, names.clone(), format!("{names}: {reason}")));
        }
    }
}
