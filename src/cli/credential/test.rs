//! `gatepost credential test`: would this secret log in?

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{Place, show, source};
use crate::ipc::admin::credential::{Command, Trial};
use crate::policy::scope::Scope;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Protocol {
    Smtp,
    Http,
}

#[derive(Debug, Args)]
pub struct Test {
    /// Which credential; without it, the one that the key names
    id: Option<String>,
    /// A file with the secret in its only line, or "-" for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    secret_file: PathBuf,
    /// The client's address: would it be let in from there?
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// How it would come
    #[arg(long, value_name = "PROTOCOL", default_value = "smtp")]
    protocol: Protocol,
    /// What it would do there: send, send_raw for /v1/send-raw, or admin for /v1/keys
    #[arg(long, value_name = "SCOPE", default_value = "send")]
    scope: Scope,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Test {
    pub fn run(&self) -> Result<ExitCode, String> {
        let scope = match (self.protocol, self.scope) {
            (_, Scope::Smtp) => return Err("--scope is for --protocol http: say send, send_raw or admin".to_owned()),
            (Protocol::Http, scope) => scope,
            (Protocol::Smtp, Scope::Send) => Scope::Smtp,
            (Protocol::Smtp, scope @ (Scope::SendRaw | Scope::Admin)) => {
                return Err(format!("{scope} is over HTTP: add --protocol http"));
            }
        };
        let secret = source::line(&self.secret_file)?;
        let trial = Trial { id: self.id.clone(), secret, address: self.from, scope };
        if self.from.is_none() && !self.json {
            eprintln!("gatepost: networks were not looked at: say from where it would log in (--from ADDRESS)");
        }
        show::verdict(&self.place.ask(Command::Test(trial))?, self.json)
    }
}
