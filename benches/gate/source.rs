//! The generator: Postfix's `smtp-source`, over connections that stay open.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::relay::{CONNECTIONS, LENGTH};

/// Sends so many messages, and tells how long it took until the last was acknowledged.
pub fn send(port: u16, messages: u32) -> Duration {
    let began = Instant::now();
    let status = Command::new("/usr/sbin/smtp-source")
        .args(["-d", "-s", &CONNECTIONS.to_string(), "-m", &messages.to_string(), "-l", &LENGTH.to_string()])
        .args(["-f", "billing@example.net", "-t", "person@example.org", "-M", "client.example.net", "-S", "A bill"])
        .arg(format!("127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("smtp-source is needed (Debian: postfix): {error}"));
    assert!(status.success(), "smtp-source: {status}");
    began.elapsed()
}
