//! What can be tried of a program without a message: that it is there, and that this user may run it.

use nix::unistd::geteuid;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::slice::MailerSlice;
use crate::ipc::delivery::Line;

use super::run::may_be_run;

/// True when nothing speaks against a run. Whether the program takes mail shows with a message alone: it knows no other question.
pub fn rehearse(slice: &MailerSlice, lines: &UnboundedSender<Line>) -> bool {
    // Who looked on may be gone; this ends by itself.
    let note = |text: &str| drop(lines.send(Line::note(text)));
    if let Err(reason) = may_be_run(&slice.command) {
        note(&reason);
        return false;
    }
    note(&format!("{} is there, and may be run by the user {}", slice.command.display(), geteuid()));
    note("it was not run: whether it takes mail shows with the first message");
    true
}
