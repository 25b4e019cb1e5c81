//! The files of certificates: when they change, a new generation takes them into use by itself.
//!
//! A file is known by what `stat` says of where its name leads, so a link that is moved counts as much as a file that is
//! written anew. What is being written is left alone: two looks in a row must find the same.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Parent, Phase, change};
use crate::config::Plan;

/// Between two looks. Each is one call of the system for each of at most some 200 files.
const EVERY: Duration = Duration::from_secs(5);

/// Device, inode, length, and the times of the last write and the last change, in seconds and nanoseconds; none when the
/// file is not there.
type Print = Option<[i64; 7]>;

#[derive(Debug, Default)]
pub struct Watch {
    /// As they were when they were last opened for a generation, whatever became of that.
    known: HashMap<PathBuf, Print>,
    /// The same of the time before.
    before: HashMap<PathBuf, Print>,
    /// What the last look found, when that was something else.
    unsettled: Option<HashMap<PathBuf, Print>>,
    due: Option<Instant>,
    /// A reload was asked for while changed files were taken into use.
    asked: bool,
}

impl Watch {
    /// The files of this plan are about to be opened.
    pub fn learn(&mut self, plan: &Plan) {
        self.before.clone_from(&self.known);
        self.known.extend(prints(plan));
        self.unsettled = None;
    }

    /// What was begun with them came to nothing, perhaps for another reason: they are to be tried by themselves.
    pub fn unlearn(&mut self) {
        self.known.clone_from(&self.before);
    }

    /// A reload is to be begun as soon as the one that is under way has ended.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// The files that changed and then stood still.
    fn settled(&mut self, plan: &Plan) -> Vec<PathBuf> {
        let now = prints(plan);
        self.known.retain(|path, _| now.contains_key(path));
        let changed = |(path, print): &(&PathBuf, &Print)| self.known.get(*path) != Some(*print);
        let changed: Vec<PathBuf> = now.iter().filter(changed).map(|(path, _)| path.clone()).collect();
        match (changed.is_empty(), self.unsettled.as_ref() == Some(&now)) {
            (true, _) => {
                self.unsettled = None;
                Vec::new()
            }
            (false, true) => changed,
            (false, false) => {
                self.unsettled = Some(now);
                Vec::new()
            }
        }
    }
}

/// Looks when it is time for that, and begins what follows.
pub fn look(parent: &mut Parent, now: Instant) {
    if parent.phase != Phase::Serving || parent.change.is_some() {
        return;
    }
    if std::mem::take(&mut parent.watch.asked) {
        return change::begin(parent);
    }
    if parent.watch.due.is_some_and(|due| now < due) {
        return;
    }
    parent.watch.due = Some(now + EVERY);
    let plan = parent.plan().clone();
    let mut changed = parent.watch.settled(&plan);
    if !changed.is_empty() {
        changed.sort();
        tracing::info!(?changed, "certificate files changed: taking them into use");
        change::renew(parent);
    }
}

fn prints(plan: &Plan) -> HashMap<PathBuf, Print> {
    let sources = plan.certificates.iter().flat_map(|certificate| [&certificate.chain, &certificate.key]);
    let authorities = plan.listeners.iter().filter_map(|listener| listener.client_authorities.as_ref());
    let paths = sources.chain(authorities).filter_map(|source| source.path().ok().flatten());
    paths.map(|path| (path.clone(), print(&path))).collect()
}

fn print(path: &Path) -> Print {
    let found = fs::metadata(path).ok()?;
    let whole = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
    let (device, inode, length) = (whole(found.dev()), whole(found.ino()), whole(found.len()));
    Some([device, inode, length, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::plan::Certificate;
    use crate::config::source::Source;

    /// A folder with a pair behind links, as certbot keeps it, and the plan that names it.
    fn house() -> (tempfile::TempDir, Plan, Watch) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["chain1", "key1", "chain2", "key2"] {
            fs::write(at.join(name), name).unwrap();
        }
        symlink("chain1", at.join("chain")).unwrap();
        symlink("key1", at.join("key")).unwrap();
        let text = "version = 1\nhostname = \"gate.example.net\"\n[[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:2525\"]\n\
                    protocol = \"smtp\"\n";
        fs::write(at.join("gatepost.toml"), text).unwrap();
        let mut plan = crate::config::Config::load(&at.join("gatepost.toml")).unwrap();
        let (chain, key) = (Source::File(at.join("chain")), Source::File(at.join("key")));
        plan.certificates.push(Certificate { number: 0, chain, key });
        let mut watch = Watch::default();
        watch.learn(&plan);
        (folder, plan, watch)
    }

    #[test]
    fn a_change_is_told_once_it_stood_still_and_no_more_once_it_was_taken_into_use() {
        let (folder, plan, mut watch) = house();
        let chain = folder.path().join("chain");
        assert!(watch.settled(&plan).is_empty() && watch.settled(&plan).is_empty());
        fs::write(&chain, "half").unwrap();
        assert!(watch.settled(&plan).is_empty());
        fs::write(&chain, "half and half").unwrap();
        assert!(watch.settled(&plan).is_empty(), "it is being written");
        assert_eq!(watch.settled(&plan), std::slice::from_ref(&chain));
        watch.learn(&plan);
        assert!(watch.settled(&plan).is_empty() && watch.settled(&plan).is_empty());
        fs::remove_file(&chain).unwrap();
        assert!(watch.settled(&plan).is_empty());
        assert_eq!(watch.settled(&plan), [chain]);
    }

    #[test]
    fn a_change_that_was_lost_with_a_reload_is_told_again() {
        let (folder, plan, mut watch) = house();
        fs::write(folder.path().join("chain"), "next").unwrap();
        watch.learn(&plan);
        watch.unlearn();
        assert!(watch.settled(&plan).is_empty());
        assert_eq!(watch.settled(&plan), [folder.path().join("chain")]);
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        let (folder, plan, mut watch) = house();
        let at = folder.path();
        symlink("key2", at.join("next")).unwrap();
        fs::rename(at.join("next"), at.join("key")).unwrap();
        assert!(watch.settled(&plan).is_empty());
        assert_eq!(watch.settled(&plan), [at.join("key")]);
    }

    #[test]
    fn what_moves_at_every_look_is_left_alone() {
        let (folder, plan, mut watch) = house();
        let at = folder.path();
        for _ in 0..3 {
            for target in ["chain2", "chain1"] {
                symlink(target, at.join("next")).unwrap();
                fs::rename(at.join("next"), at.join("chain")).unwrap();
                assert!(watch.settled(&plan).is_empty());
            }
        }
        assert!(watch.settled(&plan).is_empty(), "it leads where it led");
    }
}
