//! The machine's clock, and which program it is that runs.

use super::Look;
use super::finding::Sheet;
use crate::sys::clock;

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    match clock::is_kept_right() {
        Some(true) => sheet.pass("machine.clock", "the clock is kept right"),
        Some(false) => sheet.warn(
            "machine.clock",
            "nothing keeps the clock of this machine right, by the kernel's word",
            "certificates, limits by the day, and every time in the audit log go by it",
            "run one of chrony, systemd-timesyncd or ntpd; in a container the host's counts, which may be right",
        ),
        None => sheet.skip("machine.clock", "whether the clock is kept right", "this system does not say"),
    }
    version(look, sheet);
}

fn version(look: &Look<'_>, sheet: &mut Sheet) {
    let version = env!("CARGO_PKG_VERSION");
    match look.service.family().and_then(|(parent, _)| parent.replaced) {
        Some(true) => sheet.warn(
            "machine.version",
            format!("this is {version}; the service runs a program that was replaced or removed since it was started"),
            "what was mended by the upgrade is not mended in what runs",
            "restart the service",
        ),
        Some(false) => {
            sheet.pass("machine.version", format!("this is {version}, and the program that runs was not replaced"))
        }
        None => sheet.skip(
            "machine.version",
            format!("this is {version}; which program it is that runs"),
            "the service does not run, or only root and its user may look",
        ),
    }
}
