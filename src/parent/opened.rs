//! The files of certificates that a configuration was taken into use with. Whoever is replaced gets these, whatever lies at their
//! paths by then: half of a renewed pair must not end what serves.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

use crate::config::source::Source;
use crate::ipc::control::File;
use crate::role::Generation;

#[derive(Debug, Default)]
pub struct Opened(RefCell<Vec<(Generation, File, OwnedFd)>>);

impl Opened {
    /// The file as it was when somebody of that generation first needed it. All who get it share a place in it: see
    /// `role::beginning`.
    pub fn take(&self, generation: Generation, file: File, source: &Source) -> Result<(File, OwnedFd), String> {
        let mut all = self.0.borrow_mut();
        let known = all.iter().find(|(of, what, _)| (of, what) == (&generation, &file));
        let again = known.map(|(.., descriptor)| descriptor.try_clone());
        let descriptor = match again {
            Some(again) => again,
            None => {
                let descriptor = source.open()?;
                let copy = descriptor.try_clone();
                all.push((generation, file.clone(), descriptor));
                copy
            }
        };
        Ok((file, descriptor.map_err(|error| format!("{source}: handing it over: {error}"))?))
    }

    /// Lets go of those of generations that are over.
    pub fn retain(&self, lives: impl Fn(Generation) -> bool) {
        self.0.borrow_mut().retain(|(generation, ..)| lives(*generation));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;

    use super::*;
    use crate::role::beginning::Beginning;

    #[test]
    fn who_is_replaced_gets_what_was_there_and_a_new_configuration_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain.pem");
        let renew = |content: &str| {
            fs::write(folder.path().join("draft"), content).unwrap();
            fs::rename(folder.path().join("draft"), &path).unwrap();
        };
        let opened = Opened::default();
        let read = |generation| {
            let taken = opened.take(Generation(generation), File::Chain(0), &Source::File(path.clone()));
            let mut text = String::new();
            Beginning::of(taken.unwrap().1).read_to_string(&mut text).unwrap();
            text
        };
        renew("first");
        assert_eq!(read(1), "first");
        renew("second");
        assert_eq!([read(1), read(1), read(2)], ["first", "first", "second"]);
        opened.retain(|generation| generation == Generation(2));
        fs::remove_file(&path).unwrap();
        assert_eq!(read(2), "second");
        assert!(opened.take(Generation(1), File::Chain(0), &Source::File(path.clone())).is_err());
    }
}
