//! Claim: what `gatepost completions` prints for a shell offers each command and each option that there is, at its place, and
//! no other: bash and fish are asked, and zsh reads its text, which is compared. What the packages install is that.

#[path = "support/commands.rs"]
mod commands;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use commands::{commands, help, options};

fn gatepost() -> Command {
    let path =
        std::env::var_os("GATEPOST_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatepost")), PathBuf::from);
    Command::new(path)
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn script(shell: &str) -> String {
    said(&gatepost().args(["completions", shell]).output().unwrap())
}

/// What `--help` says can stand behind each command, and behind the program: commands and options.
fn table() -> BTreeMap<Vec<String>, BTreeSet<String>> {
    let mut table = BTreeMap::new();
    let mut open = vec![Vec::new()];
    while let Some(command) = open.pop() {
        let text = help(&command).unwrap();
        let below: Vec<String> = commands(&text).map(str::to_owned).collect();
        open.extend(
            below.iter().filter(|name| *name != "help").map(|name| [command.clone(), vec![name.clone()]].concat()),
        );
        // What sendmail takes is read by itself, as other sendmails do, and nobody types it.
        let is_completed = command != ["sendmail"];
        let words: BTreeSet<String> =
            below.into_iter().chain(options(&text).map(|option| format!("--{option}"))).collect();
        table.insert(command, if is_completed { words } else { BTreeSet::new() });
    }
    assert!(table.len() > 50, "the commands were not found: {}", table.len());
    table
}

/// Words that stand there without an option: the shells themselves.
fn operands(command: &[String]) -> Vec<String> {
    match command {
        [one] if one == "completions" => ["bash", "zsh", "fish"].map(str::to_owned).to_vec(),
        _ => Vec::new(),
    }
}

/// Has bash complete each line, and gives what it offers.
fn bash(folder: &Path, lines: &[Vec<String>]) -> Vec<BTreeSet<String>> {
    let file = folder.join("gatepost.bash");
    fs::write(&file, script("bash")).unwrap();
    let mut text = format!(
        "set -u; . {}; ask() {{ COMP_WORDS=(gatepost \"$@\"); COMP_CWORD=$#; COMPREPLY=(); _gatepost; echo \"${{COMPREPLY[*]-}}\"; }}\n",
        file.display()
    );
    for line in lines {
        text += &format!("ask {}\n", line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "));
    }
    let offered = said(&Command::new("bash").args(["--norc", "-c", &text]).current_dir(folder).output().unwrap());
    let offered: Vec<_> =
        offered.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>()).collect();
    assert_eq!(offered.len(), lines.len(), "bash said something else: {offered:?}");
    offered
}

#[test]
fn bash_offers_at_each_place_what_there_is_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let table = table();
    let lines: Vec<Vec<String>> = table.keys().map(|command| [command.clone(), vec![String::new()]].concat()).collect();
    for ((command, mut words), offered) in table.into_iter().zip(bash(folder.path(), &lines)) {
        words.extend(operands(&command));
        // Only these take a file without an option, and are offered those of the folder.
        let offered: BTreeSet<String> = offered.into_iter().filter(|word| word != "gatepost.bash").collect();
        assert_eq!(offered, words, "gatepost {}", command.join(" "));
    }
}

#[test]
fn bash_offers_values_and_files_behind_the_options_that_take_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gate.toml"), "").unwrap();
    let asked = [
        ("au", vec!["audit"]),
        ("queue list --state de", vec!["deferred"]),
        ("queue list --state=de", vec!["deferred"]),
        ("check --config gate.t", vec!["gate.toml"]),
        ("check --config=gate.t", vec!["gate.toml"]),
        ("queue import gate.t", vec!["gate.toml"]),
        // What no shell can know: nothing, and no option either.
        ("queue list --credential ", vec![]),
        ("credential show app --js", vec!["--json"]),
        // A value that is called as a command is none.
        ("audit query --event audit --ev", vec!["--event"]),
        ("role ", vec!["--help", "--version"]),
    ];
    // As bash takes a line apart.
    let apart = |line: &str| line.replace('=', " = ").split(' ').map(str::to_owned).collect::<Vec<String>>();
    let lines: Vec<Vec<String>> = asked.iter().map(|(line, _)| apart(line)).collect();
    for ((line, expected), offered) in asked.into_iter().zip(bash(folder.path(), &lines)) {
        let offered: Vec<&str> =
            offered.iter().map(String::as_str).filter(|word| line != "role " || word.starts_with('-')).collect();
        assert_eq!(offered, expected, "{line:?}");
    }
}

#[test]
fn a_file_whose_name_is_a_pattern_is_offered_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["*", "other.toml", "with space"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let lines =
        [["check", "--config", "*"], ["check", "--config", "with"]].map(|words| words.map(str::to_owned).to_vec());
    let offered = bash(folder.path(), &lines);
    assert_eq!(offered[0], BTreeSet::from(["*".to_owned()]));
    // The words of one name, as this test prints them.
    assert_eq!(offered[1], BTreeSet::from(["with".to_owned(), "space".to_owned()]));
}

#[test]
fn fish_and_zsh_are_told_of_each_command_and_option_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (fish, zsh) = (script("fish"), script("zsh"));
    for (command, words) in table() {
        let path: String = command.iter().map(|word| format!("/{word}")).collect();
        let prefix = format!("complete -c gatepost -n '__gatepost_at \"{path}\"' ");
        let mut told: BTreeSet<String> = BTreeSet::new();
        for line in fish.lines().filter_map(|line| line.strip_prefix(&prefix)) {
            let mut rest = line.split_whitespace();
            match (rest.find(|word| ["-a", "-l"].contains(word)), rest.next()) {
                (Some("-l"), Some(option)) => drop(told.insert(format!("--{option}"))),
                (Some(_), Some(name)) if !name.starts_with('\'') => drop(told.insert(name.to_owned())),
                _ => {}
            }
        }
        assert_eq!(told, words, "fish, {path}");

        let place =
            zsh.split(&format!("        ('{path}')\n")).nth(1).unwrap().split("\n            ;;").next().unwrap();
        let told: BTreeSet<String> = place
            .lines()
            .filter_map(|line| line.trim().strip_prefix('\''))
            .map(|line| line.trim_start_matches('*'))
            .filter(|line| !line.starts_with(':'))
            .filter_map(|line| line.split([':', '[', '=']).next())
            .map(str::to_owned)
            .collect();
        assert_eq!(told, words, "zsh, {path}");
    }
    // They read it themselves.
    for (shell, text) in [("fish", fish), ("zsh", zsh), ("bash", script("bash"))] {
        let file = folder.path().join(shell);
        fs::write(&file, text).unwrap();
        let read = Command::new(shell).arg("-n").arg(&file).output();
        let output = read.unwrap_or_else(|error| panic!("{shell}, which the tests need: {error}"));
        assert_eq!(said(&output), "", "{shell}");
    }
}

#[test]
fn fish_itself_offers_at_each_place_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.fish");
    let mut text = script("fish");
    let table = table();
    for command in table.keys() {
        // Options are offered where one is begun.
        let line = command.join(" ");
        text += &format!("\necho '= {line}'; complete -C 'gatepost {line} '; complete -C 'gatepost {line} --'");
    }
    fs::write(&file, text).unwrap();
    let mut fish = Command::new("fish");
    fish.arg("--no-config").arg(&file).current_dir(folder.path()).env("HOME", folder.path());
    let offered = said(&fish.output().unwrap());
    for place in offered.split("= ").skip(1) {
        let (line, offered) = place.split_once('\n').unwrap();
        let command: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let offered: BTreeSet<String> =
            offered.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect();
        let mut words = table[&command].clone();
        words.extend(operands(&command));
        let offered: BTreeSet<String> = offered.into_iter().filter(|word| word != "gatepost.fish").collect();
        assert_eq!(offered, words, "gatepost {line}");
    }
}

#[test]
fn a_shell_that_is_none_of_these_is_refused_with_those_that_are() {
    let output = gatepost().args(["completions", "tcsh"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(["bash", "zsh", "fish"].iter().all(|shell| text.contains(shell)), "{text}");
}
