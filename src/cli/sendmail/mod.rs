//! `gatepost sendmail`: the program that cron, PHP and scripts call to send mail, which hands it to the gate as whoever called it. It has
//! no rights of its own and no queue: what the gate did not take was not sent, and the exit code says so.

mod addresses;
mod exit;
mod input;
mod letter;
mod options;
mod relay;
mod talk;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use nix::unistd::{User, geteuid, getuid};

use super::out::say;
use crate::config::sendmail::Settings;
use crate::mail::address::Address;
use crate::sys::syslog::Local;
use exit::Failure;
use letter::Letter;
use options::{Mode, Options};
use talk::{Envelope, Talk};

/// The settings of whoever has none of their own, and those, below a home directory.
const SETTINGS: &str = "/etc/gatepost/sendmail.conf";
const OWN_SETTINGS: &str = ".config/gatepost/sendmail.conf";
/// Names another file of settings. A variable and no option: whoever can add words to a command (PHP's mail() has a parameter
/// for that) can't choose it.
const VARIABLE: &str = "GATEPOST_SENDMAIL_CONF";
/// Where syslogd listens, and the facility mail with the level of an error (RFC 5424 section 6.2.1).
const SYSLOG: &str = "/dev/log";
const PRIORITY: u8 = 2 * 8 + 3;
/// Of one message: no gate takes as many at once.
const MAX_RECIPIENTS: usize = 5000;
const HELP: &str = "\
Usage: gatepost sendmail [OPTIONS] [--] [ADDRESS...]
       gatepost sendmail -bs
Hands a message from standard input to the gate, for cron, PHP and scripts; also as sendmail, mailq and newaliases.

  -t                  recipients stand in the header, too
  -i                  a line with a dot alone is a line, and not the end
  -f ADDRESS          the sender
  -F NAME             the name in a From that is added
  -N, -R, -V          reports about it: when, with how much, under which id
  -v                  show what is said to the gate
  --tempfail=CODE     exit with this in the place of 75, where another attempt may do

Settings: ~/.config/gatepost/sendmail.conf, else /etc/gatepost/sendmail.conf. All of it: gatepost-sendmail(8).";

/// For the list of commands: its words are read by `main`, before anybody takes `-t` for an option of their own.
#[derive(Debug, Args)]
pub struct Sendmail {
    /// As sendmail(8) has them: -t, -i, -f, -F, -N, -R, -V, -bs, and recipients
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
    words: Vec<OsString>,
}

impl Sendmail {
    pub fn run(self) -> ExitCode {
        start("sendmail", self.words)
    }
}

/// Whether the words of this process are for this command, by its first or by the name that the program was called by.
///
/// `words`: those of the command line, with the program's name.
pub fn called(words: &[OsString]) -> Option<(String, Vec<OsString>)> {
    let (program, rest) = words.split_first()?;
    let name = Path::new(program).file_name()?.to_str()?;
    if ["sendmail", "mailq", "newaliases"].contains(&name) {
        return Some((name.to_owned(), rest.to_vec()));
    }
    let (first, rest) = rest.split_first()?;
    (first == "sendmail").then(|| ("sendmail".to_owned(), rest.to_vec()))
}

pub fn start(name: &str, words: Vec<OsString>) -> ExitCode {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut later = exit::TEMPFAIL;
    let done = Options::parse(words).map_err(|why| Failure::new(exit::USAGE, why)).and_then(|options| {
        later = options.later;
        let options = match name {
            "mailq" => Options { mode: Mode::Queue, ..options },
            "newaliases" => Options { mode: Mode::Aliases, ..options },
            _ => options,
        };
        run(&options)
    });
    match done {
        Ok(code) => code,
        Err(failure) => {
            let code = if failure.code == exit::TEMPFAIL { later } else { failure.code };
            // Whoever called may throw both away; the log stays.
            let _ = writeln!(io::stderr(), "{}", failure.said());
            note(&failure, code);
            ExitCode::from(code)
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Failure> {
    match options.mode {
        Mode::Help => say!("{HELP}"),
        Mode::Queue => return Ok(super::run(["gatepost", "queue", "list"])),
        Mode::Aliases => say!("nothing to do: aliases stand in sendmail.conf and are read each time"),
        Mode::Smtp => {
            let settings = settings()?;
            relay::run(Talk::open(&settings, false)?)?;
        }
        Mode::Deliver => deliver(options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn deliver(options: &Options) -> Result<(), Failure> {
    let settings = settings()?;
    let mut named = Vec::new();
    for word in &options.recipients {
        named.append(&mut letter::of_list(&format!("{word:?}"), word.as_bytes())?);
    }
    if named.is_empty() && !options.from_header {
        return Err(Failure::new(
            exit::USAGE,
            "nobody to send to: name recipients, or give -t to have them read from the header",
        ));
    }
    // All of it, before the gate is asked: whoever writes it may take hours, and the gate would not wait.
    let octets = input::read(&mut io::stdin().lock(), options.dots)?;
    let mut letter = Letter::read(&octets)?;
    drop(octets);
    if options.from_header {
        named.append(&mut letter.take_recipients()?);
    }
    let recipients = recipients(&settings, &named)?;
    if recipients.is_empty() {
        return Err(Failure::new(exit::USAGE, "nobody to send to: the header names nobody in To, Cc or Bcc"));
    }
    let sender = sender(&settings, options.sender.as_deref())?;
    letter.complete(&settings, sender.as_ref(), options.name.as_deref())?;
    let is_international = letter.is_international() || recipients.iter().chain(&sender).any(Address::is_international);
    let has_eight_bits = letter.has_eight_bits();
    let envelope = Envelope {
        sender,
        recipients,
        is_international,
        has_eight_bits,
        notify: options.notify,
        ret: options.ret,
        envid: options.envid.clone(),
    };
    Talk::open(&settings, options.verbose)?.submit(&envelope, &letter.into_octets())
}

/// Everybody once, in the order in which they are named.
fn recipients(settings: &Settings, named: &[String]) -> Result<Vec<Address>, Failure> {
    let mut recipients = Vec::new();
    let mut known = HashSet::new();
    for name in named {
        for address in meant(settings, name)? {
            if known.insert(address.clone()) {
                recipients.push(address);
            }
            if recipients.len() > MAX_RECIPIENTS {
                let why = format!("more than {MAX_RECIPIENTS} recipients: send it in parts");
                return Err(Failure::new(exit::DATAERR, why));
            }
        }
    }
    Ok(recipients)
}

/// The addresses that a recipient stands for.
fn meant(settings: &Settings, name: &str) -> Result<Vec<Address>, Failure> {
    if addresses::is_qualified(name) {
        let address = Address::parse_international(name);
        return address
            .map(|address| vec![address])
            .map_err(|why| Failure::new(exit::DATAERR, format!("{name:?}: {why}")));
    }
    settings.meant(name).ok_or_else(|| nowhere(name))
}

/// The envelope's sender: the one that is named, or the settings' own, or whoever calls.
fn sender(settings: &Settings, named: Option<&str>) -> Result<Option<Address>, Failure> {
    let Some(text) = named else {
        if let Some(from) = &settings.from {
            return Ok(Some(from.clone()));
        }
        let user = User::from_uid(getuid()).ok().flatten().map(|user| user.name).unwrap_or_default();
        return settings.qualified(&user).map(Some).ok_or_else(|| nowhere(&user));
    };
    if matches!(text.trim(), "" | "<>") {
        return Ok(None);
    }
    let mut found = letter::of_list("-f", text.as_bytes())?.into_iter();
    let (Some(text), None) = (found.next(), found.next()) else {
        return Err(Failure::new(exit::USAGE, format!("-f {text:?}: write one address")));
    };
    if addresses::is_qualified(&text) {
        let address = Address::parse_international(&text);
        return address.map(Some).map_err(|why| Failure::new(exit::USAGE, format!("-f {text:?}: {why}")));
    }
    settings.qualified(&text).map(Some).ok_or_else(|| nowhere(&text))
}

fn nowhere(name: &str) -> Failure {
    let why = format!("{name:?} has no domain: write user@domain, or set domain or an alias for it in the settings");
    Failure::new(exit::CONFIG, why)
}

/// Those of whoever calls, where they have a file of their own.
fn settings() -> Result<Settings, Failure> {
    let user = geteuid();
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let home = User::from_uid(user).ok().flatten().map(|user| user.dir.join(OWN_SETTINGS));
    // One that is there and can't be read is not passed over.
    let own = home.filter(|path| path.symlink_metadata().is_ok());
    let path = named.or(own).unwrap_or_else(|| PathBuf::from(SETTINGS));
    Settings::load(&path, user.as_raw()).map_err(|why| {
        Failure::new(exit::CONFIG, format!("{why}\nThe settings are explained in gatepost-sendmail(8)."))
    })
}

/// A line for the system's log: cron and PHP show nobody what is said on standard error.
fn note(failure: &Failure, code: u8) {
    let (user, process) = (getuid(), std::process::id());
    let line =
        format!("<{PRIORITY}>gatepost-sendmail[{process}]: not sent: {}; user={user} exit={code}", failure.kind());
    // Where there is no syslog there is nobody else to tell.
    let _ = Local::new(Path::new(SYSLOG)).and_then(|log| log.send(line.as_bytes()));
}
