//! The machine that a benchmark runs on.

use std::fs;
use std::path::Path;
use std::process::Command;

/// `cargo bench -- --quick`: a few iterations, to see that they still run. The figures mean nothing then.
pub fn quick() -> bool {
    std::env::args().any(|word| word == "--quick")
}

/// Whether a program of Debian is there.
pub fn has(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

/// Says where the figures below come from.
pub fn introduce(what: &str) {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let said = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    println!("== {what}{}", if quick() { " (--quick: the figures mean nothing)" } else { "" });
    println!(
        "{} x {}; {}; {}; gatepost {}; SQLite {}; load {}",
        std::thread::available_parallelism().map_or(1, usize::from),
        model.unwrap_or("unknown processor"),
        said("uname", &["-sr"]),
        said("rustc", &["--version"]),
        gatepost::role::start::BUILD,
        rusqlite::version(),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default(),
    );
    let folder = std::env::temp_dir();
    let kind = said("stat", &["-f", "-c", "%T", folder.to_str().unwrap_or(".")]);
    println!("files in {} ({kind})", folder.display());
    if kind == "tmpfs" {
        println!(
            "WARNING: nothing is ever synced there: set TMPDIR to a folder on a disk, or no figure here means anything"
        );
    }
}
