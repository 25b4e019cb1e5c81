//! `gatepost completions`: what a shell needs to complete commands and options, from the table that they are parsed by.

mod bash;
mod fish;
mod zsh;

use std::process::ExitCode;

use clap::{Arg, ArgAction, Args, Command, CommandFactory, ValueEnum};

use super::Gatepost;
use crate::cli::out::say;

/// Values that are names of files, by how they are called in the usage.
const FILES: [&str; 4] = ["FILE", "DIRECTORY", "FOLDER", "PATH"];

#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub fn run(&self) -> ExitCode {
        let places = places();
        let text = match self.shell {
            Shell::Bash => bash::script(&places),
            Shell::Zsh => zsh::script(&places),
            Shell::Fish => fish::script(&places),
        };
        text.lines().for_each(|line| say!("{line}"));
        ExitCode::SUCCESS
    }
}

/// What can be said at one place: behind the program, or behind one of its commands.
struct Place {
    /// `/audit/query`; empty behind the program itself.
    path: String,
    commands: Vec<(String, String)>,
    options: Vec<Opt>,
    /// What stands there without an option, if anything.
    operand: Option<Value>,
}

struct Opt {
    long: String,
    short: Option<char>,
    help: String,
    /// None of a switch.
    value: Option<Value>,
    repeats: bool,
}

/// What an option or an operand is.
enum Value {
    File,
    /// One of these.
    Word(Vec<String>),
    /// Something that no shell can know.
    Text(String),
}

/// Every place, each before those below it.
fn places() -> Vec<Place> {
    let mut program = Gatepost::command();
    program.build();
    let mut places = Vec::new();
    visit(&program, "", &mut places);
    places
}

fn visit(command: &Command, path: &str, places: &mut Vec<Place>) {
    let shown = || command.get_subcommands().filter(|below| !below.is_hide_set());
    let arguments = || command.get_arguments().filter(|argument| !argument.is_hide_set());
    places.push(Place {
        path: path.to_owned(),
        commands: shown().map(|below| (below.get_name().to_owned(), about(below))).collect(),
        options: arguments().filter_map(option).collect(),
        operand: arguments().find(|argument| argument.is_positional()).map(value),
    });
    // `help` has every command below it once more, and nothing to say of them.
    for below in shown().filter(|below| below.get_name() != "help") {
        visit(below, &format!("{path}/{}", below.get_name()), places);
    }
}

fn option(argument: &Arg) -> Option<Opt> {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    Some(Opt {
        long: argument.get_long()?.to_owned(),
        short: argument.get_short(),
        help: first_line(&help),
        value: argument.get_action().takes_values().then(|| value(argument)),
        repeats: matches!(argument.get_action(), ArgAction::Append),
    })
}

fn value(argument: &Arg) -> Value {
    let words: Vec<String> = argument.get_possible_values().iter().map(|word| word.get_name().to_owned()).collect();
    let name = argument.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str());
    match () {
        () if !words.is_empty() => Value::Word(words),
        () if FILES.contains(&name) => Value::File,
        () => Value::Text(name.to_owned()),
    }
}

fn about(command: &Command) -> String {
    first_line(&command.get_about().map(ToString::to_string).unwrap_or_default())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_is_a_place_and_none_that_is_hidden() {
        let places = places();
        let at = |path: &str| places.iter().find(|place| place.path == path);
        let top: Vec<&str> = places[0].commands.iter().map(|(name, _)| name.as_str()).collect();
        assert!(["serve", "audit", "completions"].iter().all(|name| top.contains(name)), "{top:?}");
        assert!(!top.contains(&"role") && !top.contains(&"probe"), "{top:?}");
        let serve = at("/serve").unwrap();
        let options: Vec<&str> = serve.options.iter().map(|option| option.long.as_str()).collect();
        assert!(options.contains(&"config") && !options.contains(&"fallback-ids"), "{options:?}");
        assert!(matches!(serve.options[0].value, Some(Value::File)));
        let shells = at("/completions").unwrap();
        assert!(matches!(&shells.operand, Some(Value::Word(words)) if words == &["bash", "zsh", "fish"]));
        assert!(at("/audit/query").is_some_and(|query| query.commands.is_empty()));
        assert!(at("/help").is_none());
    }
}
