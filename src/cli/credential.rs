//! `gatepost credential`: who may send. While the service runs the vault does it; otherwise this process becomes the
//! vault's user, enters the vault's sandbox and opens the database itself.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Config, control, fail};
use crate::config::{self, Plan};
use crate::ipc::admin::credential::{Command, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::policy::{Delivery, Limits, Policy, Recipients};
use crate::secret::Secret;
use crate::{parent, vault};

#[derive(Debug, Subcommand)]
pub enum Credential {
    /// Make a credential and print its secret, once, alone on the last line
    Add(Add),
}

#[derive(Debug, Args)]
pub struct Add {
    /// Its name: what an SMTP client gives as user name
    id: String,
    /// A sender it may use: user@domain, @domain or "*" (may be given several times; without one it can't send)
    #[arg(long = "sender", value_name = "RULE", required = true)]
    senders: Vec<String>,
    /// Send to these recipients only: user@domain, @domain, .suffix or "*"
    #[arg(long, value_name = "RULE")]
    recipient_allow: Vec<String>,
    /// Never send to these recipients; wins over --recipient-allow
    #[arg(long, value_name = "RULE")]
    recipient_deny: Vec<String>,
    /// Messages per minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_minute: Option<u32>,
    /// Messages per day (UTC)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_day: Option<u32>,
    /// Messages at once; by default ten, or a sixth of --per-minute if that is more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "per_minute")]
    burst: Option<u32>,
    /// How its messages leave: spool
    #[arg(long, value_name = "MODE", default_value = "spool")]
    delivery: String,
    /// Print {"id": ..., "secret": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use the made-up user ids the service was started with
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

impl Credential {
    pub fn run(&self) -> ExitCode {
        let Self::Add(add) = self;
        match add.run() {
            Ok((id, secret)) => {
                let text = match add.json {
                    true => format!("{}\n", serde_json::json!({ "id": id, "secret": secret.expose() })),
                    false => {
                        format!("credential {id:?} was added; its secret is shown only now:\n{}\n", secret.expose())
                    }
                };
                let shown = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
                match shown {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => fail(&format!(
                        "credential {id:?} was added, but its secret could not be written ({error}) and is lost: add another"
                    )),
                }
            }
            Err(reason) => fail(&reason),
        }
    }
}

impl Add {
    fn run(&self) -> Result<(String, Secret<String>), String> {
        let policy = self.policy()?;
        let plan = config::Config::load(&self.config.path).map_err(|errors| errors.to_string())?;
        let command = Command::Add { id: self.id.clone(), policy: policy.clone() };
        match control::ask(&plan.runtime_directory, Any::Credential(command))? {
            Some(Answer::Credential(Response::Secret { id, secret })) => Ok((id, secret)),
            Some(_) => Err("the service answered something else: is it another version?".to_owned()),
            None => self.offline(&plan, policy),
        }
    }

    /// The service is stopped: do it here, as the vault would.
    fn offline(&self, plan: &Plan, policy: Policy) -> Result<(String, Secret<String>), String> {
        let user = nix::unistd::getuid().as_raw();
        let _sealed = parent::become_vault(plan, self.fallback_ids)?;
        // The vault's home is where this process is now.
        let actor = vault::admin::actor(user, control::behalf().as_deref());
        vault::offline::credential_add(Path::new(""), self.id.clone(), policy, &plan.credentials, &actor)
    }

    fn policy(&self) -> Result<Policy, String> {
        fn rules<T: std::str::FromStr>(texts: &[String]) -> Result<Vec<T>, String>
        where
            T::Err: std::fmt::Display,
        {
            texts.iter().map(|text| text.parse().map_err(|error: T::Err| error.to_string())).collect()
        }
        let delivery = match self.delivery.as_str() {
            "spool" => Delivery::Spool,
            other => return Err(format!("--delivery {other}: this version has only \"spool\"")),
        };
        Ok(Policy {
            senders: rules(&self.senders)?,
            recipients: Recipients { allow: rules(&self.recipient_allow)?, deny: rules(&self.recipient_deny)? },
            limits: Limits { per_minute: self.per_minute, per_day: self.per_day, burst: self.burst },
            delivery,
            ..Policy::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    #[test]
    fn limits_that_would_mean_nothing_are_wrong_usage() {
        let parse = |limits: &str| {
            let line = format!("add shop --sender @example.net {limits}");
            Line::try_parse_from(line.split_whitespace()).map(|line| line.add.burst).map_err(|error| error.to_string())
        };
        for bad in ["--per-minute 0", "--per-day 0", "--per-minute 6 --burst 0", "--burst 5", "--per-day 6 --burst 5"] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains("--per-minute") || error.contains("not in 1.."), "{bad}: {error}");
        }
        assert_eq!(parse("--per-minute 6 --burst 5"), Ok(Some(5)));
        assert_eq!(parse("--per-day 1"), Ok(None));
    }
}
