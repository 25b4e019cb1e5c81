//! What the program says of its commands by `--help`: their names, and the options of each.

use std::path::PathBuf;
use std::process::Command;

fn program() -> PathBuf {
    std::env::var_os("GATEPOST_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatepost")), PathBuf::from)
}

/// What the program says of a command, by its words; nothing when there is no such command.
pub fn help(command: &[String]) -> Option<String> {
    let output = Command::new(program()).args(command).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The commands below one, those that are shown.
pub fn commands(help: &str) -> impl Iterator<Item = &str> {
    let list = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next())
}

/// The long options in the first column of a help text.
pub fn options(help: &str) -> impl Iterator<Item = &str> {
    help.lines().map(str::trim_start).filter(|line| line.starts_with('-')).filter_map(|line| {
        let (_, rest) = line.split_once("--")?;
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()
    })
}
