//! `gatepost webhook`: how the webhooks stand that are told what becomes of mail, and a test of one, by the running service.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Config, control, fail, places};
use crate::cli::out::say;
use crate::ipc::admin::webhook::{Command, Response, State};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::ipc::feedback::Answer as Said;
use crate::vault::audit::visible::{visible, visible_json};

#[derive(Debug, Subcommand)]
pub enum Webhook {
    /// Show how each webhook stands, and how many events it has not taken
    Status(Status),
    /// Post an event that tells of nothing, and show what is answered
    Test(Test),
    /// Post what a webhook has not taken now, whatever it rests for
    Retry(Retry),
}

#[derive(Debug, Args)]
pub struct Status {
    /// Print an object for each webhook instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct Test {
    /// The webhook, by its name in the configuration
    #[arg(value_name = "WEBHOOK")]
    webhook: String,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct Retry {
    /// The webhook, by its name in the configuration
    #[arg(value_name = "WEBHOOK")]
    webhook: String,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Webhook {
    pub fn run(&self) -> ExitCode {
        let done = match self {
            Self::Status(status) => status.run().map(|()| true),
            Self::Test(test) => test.run(),
            Self::Retry(retry) => retry.run().map(|()| true),
        };
        done.map_or_else(|reason| fail(&reason), |good| ExitCode::from(u8::from(!good)))
    }
}

impl Status {
    fn run(&self) -> Result<(), String> {
        let mut states = Vec::new();
        hear(&self.config, Command::Status, |response| match response {
            Response::State(state) => {
                states.push(*state);
                true
            }
            Response::Tested(_) | Response::Retried(_) => false,
        })?;
        states.iter().for_each(|state| match self.json {
            true => say!("{}", visible_json(&object(state).to_string())),
            false => say!("{}", line(state)),
        });
        Ok(())
    }
}

impl Test {
    /// Whether it was taken.
    fn run(&self) -> Result<bool, String> {
        let mut answer = None;
        hear(&self.config, Command::Test { webhook: self.webhook.clone() }, |response| match response {
            Response::Tested(said) => {
                answer = Some(said);
                true
            }
            Response::State(_) | Response::Retried(_) => false,
        })?;
        let answer = answer.ok_or("the service did not say how it ended")?;
        let (code, reason) = match &answer {
            Said::Status { code, .. } => (Some(*code), None),
            Said::Failed { reason, .. } => (None, Some(reason)),
        };
        let taken = code.is_some_and(|code| (200..=299).contains(&code));
        if self.json {
            let said = json!({ "webhook": self.webhook, "taken": taken, "status": code, "reason": reason });
            say!("{}", visible_json(&said.to_string()));
            return Ok(taken);
        }
        let said = code.map(|code| format!("HTTP {code}")).or_else(|| reason.cloned()).unwrap_or_default();
        say!("{}", visible(&format!("{}: {said}: {}", self.webhook, if taken { "taken" } else { "not taken" })));
        Ok(taken)
    }
}

impl Retry {
    fn run(&self) -> Result<(), String> {
        let mut waiting = None;
        hear(&self.config, Command::Retry { webhook: self.webhook.clone() }, |response| match response {
            Response::Retried(events) => {
                waiting = Some(events);
                true
            }
            Response::State(_) | Response::Tested(_) => false,
        })?;
        let waiting = waiting.ok_or("the service did not say what it did")?;
        match self.json {
            true => say!("{}", visible_json(&json!({ "webhook": self.webhook, "waiting": waiting }).to_string())),
            false => say!("{}", visible(&format!("{}: {waiting} events are posted now", self.webhook))),
        }
        Ok(())
    }
}

/// Asks the running service; `each` takes the parts of its answer, as long as it knows them.
fn hear(config: &Config, command: Command, mut each: impl FnMut(Response) -> bool) -> Result<(), String> {
    let runtime = places(&config.path)?.runtime_directory;
    control::hear(&runtime, Any::Webhook(command), |part| match part {
        Answer::Webhook(response) => each(response),
        _ => false,
    })
}

fn line(state: &State) -> String {
    let mut text = format!("{} {}", state.webhook, state.standing.word());
    if let Some(seconds) = state.seconds {
        text += &format!(" for {seconds}s");
    }
    text += &format!(" waiting={} under_way={}", state.waiting, state.under_way);
    if let Some(end) = state.first_end_us {
        text += &format!(" first_dropped={}", super::queue::time(end));
    }
    if !state.credentials.is_empty() {
        text += &format!(" named_by={}", state.credentials.join(","));
    }
    if let Some(said) = &state.fault {
        text += &format!(" failures={} {said}", state.failures);
    }
    visible(&text)
}

fn object(state: &State) -> serde_json::Value {
    json!({
        "webhook": state.webhook,
        "state": state.standing.word(),
        "waiting": state.waiting,
        "first_dropped": state.first_end_us.map(super::queue::time),
        "under_way": state.under_way,
        "failures": state.failures,
        "said": state.fault,
        "rests_seconds": state.seconds,
        "named_by": state.credentials,
    })
}
