//! A disk of its own that is small enough to be filled: a tmpfs, which only root can mount.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Service, Setting, free_port, is_root};

/// Octets of the disk, and what the service is told to keep free of it.
const DISK: &str = "size=48m";
const SPOOL: &str = "[spool]\nreserve = 4_194_304\nballast = 8_388_608\n";

/// A disk of its own, until it is dropped.
pub struct SmallDisk(pub PathBuf);

impl SmallDisk {
    /// None when it can't be had, which is said aloud.
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let mounted = is_root()
            && Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&path).status().unwrap().success();
        if !mounted {
            println!(
                "NOT RUN: a full disk needs a tmpfs of its own, which only root can mount, and not in every container"
            );
        }
        mounted.then(|| Self(path))
    }

    /// Takes all the room there is.
    pub fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        for piece in [vec![0; 64 * 1024], vec![0; 4096], vec![0; 1]] {
            while file.write_all(&piece).is_ok() {}
        }
    }

    /// Leaves so many octets.
    pub fn fill_up_to(&self, left: u64) {
        self.fill();
        let file = File::options().write(true).open(self.0.join("filler")).unwrap();
        file.set_len(file.metadata().unwrap().len().saturating_sub(left)).unwrap();
    }

    pub fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A service whose state is on that disk and whose upstream listens at no port yet.
pub fn begin(folder: &Path) -> Option<(Service, SmallDisk, u16)> {
    let disk = SmallDisk::mount(folder.join("disk"))?;
    let mut service = Service::start_with(&Setting { more: SPOOL.into(), ..Setting::default() });
    service.end();
    let text = fs::read_to_string(service.config()).unwrap();
    let hosts = text.lines().find(|line| line.starts_with("hosts")).unwrap();
    let closed = free_port();
    let text = text.replace(hosts, &format!("hosts = [\"127.0.0.1:{closed}\"]"));
    let state = service.folder.path().join("state");
    let text = text.replace(&state.display().to_string(), &disk.0.join("state").display().to_string());
    fs::write(service.config(), text).unwrap();
    service.start_again();
    Some((service, disk, closed))
}
