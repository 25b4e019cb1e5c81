//! The command line: one file per command.

mod alert;
mod audit;
mod backup;
mod check;
mod completions;
mod confirm;
mod control;
mod credential;
mod demo;
mod digest;
mod doctor;
mod downgrade;
mod explain;
mod incident;
mod init;
mod interrupt;
mod out;
mod queue;
mod reload;
mod restore;
mod role;
mod route;
mod send;
mod sendmail;
mod serve;
mod settings;
mod status;
mod suppress;
mod trace;
mod turnstile;
mod upgrade;
mod webhook;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config;
use crate::vault::audit::visible::visible;

/// Where the configuration is unless `--config` says otherwise.
const DEFAULT_CONFIG: &str = "/etc/gatepost/gatepost.toml";

/// A hardened mail submission gate: applications submit by SMTP or HTTP, Gatepost holds them to policy, writes its
/// decisions into a tamper-evident log, and delivers through an upstream.
#[derive(Debug, Parser)]
#[command(name = "gatepost", version)]
struct Gatepost {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a configuration to begin with and the first credential, and say what is left to do
    ///
    /// Asks for what isn't given as an option; with --yes it asks nothing. Nothing that is there is written over. Exit status: 0 all
    /// of it is done; 1 something is not, and it says what.
    Init(init::Init),
    /// Run the service in the foreground
    Serve(serve::Serve),
    /// Have the running service take the configuration as it is now: all of it, or nothing
    ///
    /// Waits for what becomes of it and says which settings changed. Exit status: 0 it serves; 1 it was refused, with the reason,
    /// and the service goes on as before.
    Reload(reload::Reload),
    /// Restart the service as the program that was put in its place, and refuse no connection meanwhile
    ///
    /// Holds the listening sockets of the running service while something restarts it: what is named behind --, or systemctl or rcctl. Who
    /// connects meanwhile waits for the new process. Exit status: 0 that one serves; 1 it does not, and it says how things stand.
    Upgrade(upgrade::Upgrade),
    /// Check the configuration without starting anything, and try its upstreams when asked to
    Check(check::connect::Check),
    /// Go through the checklist of a deployment: what is wrong, why that matters, and what to do
    ///
    /// Looks at the configuration and its files, at the processes of the running service, at the disk, the audit log and what the
    /// domains of senders publish, and changes nothing. Run it as root, or as the service's user. Exit status: 0 all is well; 3
    /// something is not as it should be; 1 something failed.
    Doctor(doctor::Doctor),
    /// Show the settings that are in force, and where each comes from
    #[command(subcommand)]
    Config(settings::Settings),
    /// Say what would become of a message, and which rule decides that; nothing is sent
    ///
    /// Exit status: 0 it would be taken; 3 it would be refused; 1 nobody can tell.
    Explain(explain::Explain),
    /// Show the whole thing at work in a temporary folder: no root, no configuration, no network needed
    Demo(demo::Demo),
    /// Manage credentials
    #[command(subcommand)]
    Credential(Box<credential::Credential>),
    /// Read and prove the audit log
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Look at what waits to be delivered; hold, release or drop it, or have it tried now
    #[command(subcommand)]
    Queue(queue::Queue),
    /// See how the upstreams stand; pause one and resume it
    #[command(subcommand)]
    Route(route::Route),
    /// Say whether the service takes mail, and what keeps it out
    ///
    /// Exit status: 0 it does; 3 it runs, and takes none or can't have what it does signed; 1 it can't be asked.
    Status(status::Status),
    /// Addresses that nothing is sent to: show them, add to them and take away
    #[command(subcommand)]
    Suppress(suppress::Suppress),
    /// See how the webhooks stand that are told what becomes of mail; test one
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Stop a credential that is misused and hold its mail, and say what it did; or say what is known of a message or a session
    ///
    /// Of a credential: the audit log is told (incident.opened), the credential is disabled, what waits of its mail is held, and with
    /// --purge given up; then comes the report: from where it was used, what was refused, and who already got what. With --look, and of
    /// a message or a session, nothing is changed. Exit status: 0 all of it was done; 1 something was not, and it says what.
    Incident(incident::Incident),
    /// See what operators are told is wrong with the gate itself; tell them that this is a test
    #[command(subcommand)]
    Alert(alert::Alert),
    /// Print the digest of a day: what was accepted, delivered and refused, and how the gate stands now
    Digest(digest::Digest),
    /// Submit a test message for a credential, and tell what becomes of it
    Send(send::Send),
    /// Take a message from standard input, as the sendmail of cron, PHP and scripts; see gatepost-sendmail(8)
    #[command(disable_help_flag = true)]
    Sendmail(sendmail::Sendmail),
    /// Show sessions of SMTP while they happen, without their secrets
    ///
    /// Shows what clients say, as it was understood, and what is said to them; of content and of what is no command, how many
    /// octets it has. Addresses of mail are shown in full. With several options, sessions of which all holds; without any, all.
    /// The audit log tells who asked for what. Goes on until Ctrl-C, or until the service stops.
    Trace(trace::Trace),
    /// Take a consistent copy of all that is kept, while the service runs
    Backup(backup::Backup),
    /// Put a backup in its place, while the service is stopped
    Restore(restore::Restore),
    /// Take the database back to the form that the version before opens, before that is installed again
    ///
    /// A running service does it when it stops next, a stopped one's is taken back at once. No mail, credential, limit or event is lost.
    /// Until the version before is installed, this one takes it forward again at its next start.
    Downgrade(downgrade::Downgrade),
    /// Print what a shell needs to complete commands and options
    Completions(completions::Completions),
    /// A process of the service; the parent starts these
    #[command(hide = true)]
    Role { name: String, lines: Option<String> },
    /// Enter the sandbox of a role and try something that it should refuse
    #[command(hide = true)]
    Probe { role: String, action: String },
}

/// The option that every command which needs the configuration takes.
#[derive(Debug, Args)]
struct Config {
    /// The configuration file
    #[arg(long = "config", value_name = "FILE", default_value = DEFAULT_CONFIG)]
    path: PathBuf,
}

/// Runs what argv asks for. Exit codes: 0 done, 1 failed, 2 wrong usage; `audit verify`, `status`, `alert status`, `doctor` and
/// `sendmail` have codes of their own.
pub fn main() -> ExitCode {
    leave_no_core();
    let words: Vec<OsString> = std::env::args_os().collect();
    match sendmail::called(&words) {
        Some((name, rest)) => sendmail::start(&name, rest),
        None => run(words),
    }
}

/// Commands hold secrets: what is in memory goes into no file when one dies. What they start may ask for it again.
fn leave_no_core() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, most);
    }
}

/// Prints what is wrong with a command line, or the help that was asked for. A script may have put a stranger's words into it, which a
/// terminal must not act on.
fn tell(error: &clap::Error) {
    let text = error.render().to_string();
    let shown = by_line(&text);
    match error.use_stderr() && shown != text.trim_end_matches('\n') {
        true => eprintln!("{shown}"),
        false => drop(error.print()),
    }
}

/// Where that is told which somebody took for a command of ours.
fn hint(error: &clap::Error) -> Option<&'static str> {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) if word == "update" => Some(
            "The program does not replace itself: its package does, and `gatepost upgrade` has the service run it. What to do \
             around that stands in docs/runbook.md, \"By plan: upgrade\".",
        ),
        _ => None,
    }
}

/// Whether the words behind the program's name are a call that would be carried out: for tests of what is written about it.
///
/// Errors: what whoever typed them would read.
pub fn understand(words: &[String]) -> Result<(), String> {
    let words = std::iter::once("gatepost").chain(words.iter().map(String::as_str));
    match Gatepost::try_parse_from(words) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn run(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let command = match Gatepost::try_parse_from(words) {
        Ok(gatepost) => gatepost.command,
        Err(error) => {
            tell(&error);
            hint(&error).iter().for_each(|hint| eprintln!("\n{hint}"));
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match command {
        Command::Init(init) => init.run(),
        Command::Serve(serve) => serve.run(),
        Command::Reload(reload) => reload.run(),
        Command::Upgrade(upgrade) => upgrade.run(),
        Command::Check(check) => check.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Config(config) => config.run(),
        Command::Explain(explain) => explain.run(),
        Command::Demo(demo) => demo.run(),
        Command::Credential(credential) => credential.run(),
        Command::Audit(audit) => audit.run(),
        Command::Queue(queue) => queue.run(),
        Command::Route(route) => route.run(),
        Command::Status(status) => status.run(),
        Command::Suppress(suppress) => suppress.run(),
        Command::Webhook(webhook) => webhook.run(),
        Command::Incident(incident) => incident.run(),
        Command::Alert(alert) => alert.run(),
        Command::Digest(digest) => digest.run(),
        Command::Send(send) => send.run(),
        Command::Sendmail(sendmail) => sendmail.run(),
        Command::Trace(trace) => trace.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Downgrade(downgrade) => downgrade.run(),
        Command::Completions(completions) => completions.run(),
        Command::Role { name, lines } => role::run(&name, lines.as_deref()),
        Command::Probe { role, action } => crate::sandbox::probe::main(&role, &action),
    }
}

/// Where the service is by a configuration file, and its files; also by one that has mistakes now, which is said.
///
/// Errors: the file can't be read, or where the service is would be a guess by it.
fn places(path: &Path) -> Result<config::Places, String> {
    let (places, mistakes) = config::Places::find(path)?;
    if mistakes.is_some() {
        eprintln!(
            "gatepost: {} has mistakes, which `gatepost check` names: the service that runs is asked all the same, at {}",
            path.display(),
            control::socket(&places.runtime_directory).display()
        );
    }
    Ok(places)
}

/// Prints one clear line and fails. The words may quote a peer, a file of a stranger or the vault: line by line they are
/// shown as a terminal may have them.
fn fail(reason: &str) -> ExitCode {
    eprintln!("{}", last_words(reason));
    ExitCode::FAILURE
}

/// The line that a failure ends with.
fn last_words(reason: &str) -> String {
    format!("gatepost: {}", by_line(reason))
}

/// A text of several lines as a terminal may have it.
fn by_line(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(visible).collect();
    lines.join("\n")
}
