//! `gatepost init`: a configuration to begin with, its secret, the first credential, and what is left to do.
//!
//! What isn't given as an option is asked for, line by line. Nothing is written before all of it is known to load, and nothing
//! that is there is written over. Passwords are typed or in a file, never among the arguments, which everybody can read.

mod answers;
mod ask;
mod left;
mod place;
mod render;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Config, check, control, fail};
use crate::cli::out::say;
use crate::config;
use crate::sys::program;
use crate::vault::audit::visible::{visible, visible_json};
use answers::Answers;
use ask::Asker;
use place::Written;

#[derive(Debug, Args)]
pub struct Init {
    /// The name of this gate, as clients and the audit log see it
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Where SMTP clients connect; what is no loopback address needs --certificate and --key [default: 127.0.0.1:2525]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where HTTP clients connect, if there are to be any: a loopback address, or behind the same certificate
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<String>,
    /// The PEM chain of certificates that clients are shown
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// Its PEM key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Where mail goes: a smart host (smtp), ByteSend's API (bytesend), or nowhere yet; more kinds are in gatepost.toml(5)
    #[arg(long, value_name = "KIND", value_parser = ["smtp", "bytesend", "none"])]
    upstream: Option<String>,
    /// The smart host's name or address
    #[arg(long, value_name = "HOST")]
    upstream_host: Option<String>,
    /// Its port [default: 587]
    #[arg(long, value_name = "PORT")]
    upstream_port: Option<u16>,
    /// How it is spoken to [default: starttls; implicit on port 465; none on this machine]
    #[arg(long, value_name = "MODE", value_parser = ["starttls", "implicit", "none"])]
    upstream_tls: Option<String>,
    /// The name that we log in with there
    #[arg(long, value_name = "NAME")]
    upstream_user: Option<String>,
    /// A file with the password or token, in one line
    #[arg(long, value_name = "FILE")]
    upstream_secret_file: Option<PathBuf>,
    /// The first credential: what its client gives as user name. Its secret is the last line of standard output
    #[arg(long, value_name = "ID", requires = "senders")]
    credential: Option<String>,
    /// A sender that it may use: user@domain, @domain or "*" (may be given several times)
    #[arg(long = "sender", value_name = "RULE", requires = "credential")]
    senders: Vec<String>,
    /// What the service keeps [default: as gatepost.toml(5) says]
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
    /// Where its control socket is [default: as gatepost.toml(5) says]
    #[arg(long, value_name = "DIRECTORY")]
    runtime_directory: Option<PathBuf>,
    /// Ask nothing: what isn't given has its default, or is left out
    #[arg(long)]
    yes: bool,
    /// Print one object instead, with the secret in it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use made-up user ids for the first credential
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

impl Init {
    pub fn run(&self) -> ExitCode {
        self.begin().unwrap_or_else(|reason| fail(&reason))
    }

    fn begin(&self) -> Result<ExitCode, String> {
        let path = std::path::absolute(&self.config.path)
            .map_err(|error| format!("finding {}: {error}", self.config.path.display()))?;
        let there = place::look(&path)?;
        let answers = Answers::gather(self, &path, &mut Asker::new(self.yes))?;
        if answers.credential.is_some() {
            demand_nobody(answers.runtime.as_deref())?;
        }
        let text = render::text(&answers);
        config::Config::foresee(&path, &text).map_err(|errors| {
            let errors = errors.0.iter().map(|line| visible(line)).collect::<Vec<_>>().join("\n");
            format!("nothing was written, because this configuration would not load:\n{errors}")
        })?;
        let written = place::write(&path, &text, answers.typed(), there)?;
        if !self.json {
            told(&written);
        }
        let is_sound = check::check_new(&path, answers.credential.is_some(), self.json);
        let made = answers.credential.as_ref().map(|(id, senders)| self.add(&path, id, senders));
        let left = left::to_do(&path, &answers, made.as_ref().map(Result::is_ok));
        match self.json {
            true => {
                let object = json!({
                    "written": written.files,
                    "set_aside": written.aside,
                    "sound": is_sound,
                    "credential": made.as_ref().and_then(|made| made.as_ref().ok()),
                    "left": left,
                });
                say!("{}", visible_json(&object.to_string()));
            }
            false => left::numbered(&left).iter().for_each(|line| eprintln!("{}", visible(line))),
        }
        let is_done = is_sound && !matches!(made, Some(Err(_)));
        Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Has the first credential made as by hand: whoever makes it becomes the vault's user and enters its sandbox, or asks the
    /// service that runs. Its secret is printed there, or is in the object that it gives.
    ///
    /// Errors: it was not made, and why was said.
    fn add(&self, path: &Path, id: &str, senders: &[String]) -> Result<Value, ()> {
        let command = || -> Result<Option<Value>, String> {
            let itself = program::itself().map_err(|error| format!("finding our own program: {error}"))?;
            let mut command = Command::new(itself);
            // No value is taken for an option, whatever it begins with.
            command.args(["credential", "add"]);
            command.args(senders.iter().map(|sender| format!("--sender={sender}")));
            command.arg("--config").arg(path);
            if self.fallback_ids {
                command.arg("--fallback-ids");
            }
            if self.json {
                command.arg("--json").stdout(Stdio::piped());
            }
            command.arg("--").arg(id);
            let child = command.spawn().map_err(|error| format!("starting our own program: {error}"))?;
            let output = child.wait_with_output().map_err(|error| format!("reading what it says: {error}"))?;
            let said = Zeroizing::new(output.stdout);
            // Where it prints by itself, there is nothing of it here.
            match (output.status.success(), self.json) {
                (false, _) => Ok(None),
                (true, false) => Ok(Some(Value::Null)),
                (true, true) => serde_json::from_slice(&said).map(Some).map_err(|_| {
                    "the credential was made, and what was said of it can't be read: end it with gatepost credential rotate".to_owned()
                }),
            }
        };
        let said = command().map_err(|reason| {
            let _ = fail(&reason);
        })?;
        said.ok_or(())
    }
}

/// What was written, for people.
fn told(written: &Written) {
    let shown = |path: &Path| visible(&path.display().to_string());
    if let Some(aside) = &written.aside {
        say!("{}: what came with Gatepost is kept there", shown(aside));
    }
    for path in &written.files {
        say!("{} was written", shown(path));
    }
}

/// Insists that no service runs where the new one would: it would be asked to make the first credential, and make it its own.
///
/// Errors: that one runs, and how to go on.
fn demand_nobody(runtime: Option<&Path>) -> Result<(), String> {
    let runtime = runtime.unwrap_or(Path::new(config::plan::RUNTIME));
    if control::is_there(runtime)? {
        return Err(format!(
            "a service runs already with {} as its runtime directory, and it would get the first credential; nothing was written: \
             name other directories by --runtime-directory and --state-directory, leave --credential out, or stop it first",
            runtime.display()
        ));
    }
    Ok(())
}
