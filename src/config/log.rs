//! `[log]`: the form of log lines, and where they go.

use std::path::PathBuf;

use super::file;
use super::findings::Findings;
use super::plan::word;

/// Where syslogd listens.
const SOCKET: &str = "/dev/log";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// An object a line, instead of text.
    pub json: bool,
    /// To syslog, by this socket, instead of standard error.
    pub syslog: Option<PathBuf>,
}

pub fn plan(written: &file::Log, findings: &mut Findings<'_>) -> Log {
    let mut choice = |written: &Option<file::At<String>>, key, words: &[(&str, bool)]| {
        written.as_ref().and_then(|written| word(written, key, words, &[], findings)).unwrap_or_default()
    };
    let json = choice(&written.format, "format", &[("text", false), ("json", true)]);
    let to_syslog = choice(&written.to, "to", &[("stderr", false), ("syslog", true)]);
    if let Some(socket) = written.socket.as_ref().filter(|socket| !socket.get_ref().is_absolute()) {
        findings.refuse(socket.span(), format!("socket: write the whole path, such as {SOCKET:?}"));
    }
    let socket = written.socket.as_ref().map_or_else(|| SOCKET.into(), |socket| socket.get_ref().clone());
    Log { json, syslog: to_syslog.then_some(socket) }
}
