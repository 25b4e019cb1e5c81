//! Takes the listening sockets of who served before us from `gatepost upgrade`, which holds them meanwhile: who waits there is not
//! refused. Without any, or where something is wrong, all ports are bound as ever.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use crate::config::plan::{Bind, Plan};
use crate::ipc::loan::{Borrower, Lender, UPGRADE};
use crate::sys::descriptor::listens_at;
use crate::sys::peer;
use crate::sys::service::KEPT;

/// The command looks after those who come five times in a second, and waits for another process for a second at most: one that is not
/// done by now is stopped, or ill.
const PATIENCE: Duration = Duration::from_secs(5);

/// Adds what is lent, for addresses that are configured and that nobody else has passed to us.
pub fn borrow(plan: &Plan, inherited: &mut Vec<(String, OwnedFd)>) {
    match take(&plan.runtime_directory) {
        Ok(None) => {}
        Ok(Some((lender, sockets))) => {
            let sockets = useful(plan, inherited, sockets);
            let at: Vec<String> = sockets.iter().map(|(at, _)| at.to_string()).collect();
            tracing::info!(
                pid = lender.pid,
                at = at.join(", "),
                "listening sockets are taken over from who upgrades us"
            );
            inherited.extend(sockets.into_iter().map(|(_, socket)| (KEPT.to_owned(), socket)));
        }
        Err(reason) => tracing::warn!(reason, "listening sockets can't be taken over: all are bound anew"),
    }
}

/// Asks whoever lends in this directory, which was found to be ours alone.
fn take(runtime: &Path) -> Result<Option<(Lender, Vec<OwnedFd>)>, String> {
    let path = runtime.join(UPGRADE);
    let us = nix::unistd::geteuid().as_raw();
    let is_ours = |user: u32| user == 0 || user == us;
    let fail = |error: io::Error| format!("{}: {error}", path.display());
    let found = match fs::symlink_metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    if !found.file_type().is_socket() || !is_ours(found.uid()) {
        return Err(format!("{}: no socket of root or of user {us}: remove it", path.display()));
    }
    // One that nobody answers on is left over from a command that was killed.
    let Some(borrower) = Borrower::connect(&path, PATIENCE).map_err(fail)? else { return Ok(None) };
    match peer::user(borrower.as_fd()).map_err(fail)? {
        user if is_ours(user) => {}
        user => return Err(format!("{}: user {user} answers, and not root or user {us}", path.display())),
    }
    let lender = borrower.lender().map_err(fail)?;
    Ok(Some((lender, borrower.sockets().map_err(fail)?)))
}

/// Those that the configuration has a use for, each address once. The others are closed.
fn useful(plan: &Plan, inherited: &[(String, OwnedFd)], sockets: Vec<OwnedFd>) -> Vec<(SocketAddr, OwnedFd)> {
    let wanted = plan.listeners.iter().flat_map(|listener| &listener.addresses);
    let mut wanted: HashSet<SocketAddr> = wanted
        .filter_map(|bind| match bind {
            Bind::Address(address) => Some(*address),
            Bind::Systemd(_) => None,
        })
        .collect();
    for (_, kept) in inherited.iter().filter(|(name, _)| name == KEPT) {
        listens_at(kept).map(|at| wanted.remove(&at));
    }
    let each = sockets.into_iter().filter_map(|socket| Some((listens_at(&socket)?, socket)));
    each.filter(|(at, _)| wanted.remove(at)).collect()
}
