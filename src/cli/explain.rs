//! `gatepost explain`: what would become of a message, and which rule decides that. Nothing is sent, and nothing is taken of limits.

use std::net::IpAddr;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::config::Config as Configuration;
use crate::ipc::admin::explain::{MOST, Question, Stage, Step};
use crate::ipc::admin::{Command, Response};
use crate::mail::address::Address;
use crate::policy::spelling::nearest;
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::visible::{visible, visible_json};
use crate::vault::explain::by_rules;
use crate::vault::login::credentials::Credentials;

/// It would be refused. 1 is that nobody can tell.
const REFUSED: u8 = 3;

#[derive(Debug, Args)]
pub struct Explain {
    /// Whose message
    #[arg(long, value_name = "ID")]
    credential: String,
    /// From whom, in the envelope and in its header
    #[arg(long, value_name = "ADDRESS", value_parser = mailbox)]
    from: Address,
    /// To whom (may be given several times)
    #[arg(long = "to", value_name = "ADDRESS", required = true, value_parser = mailbox)]
    to: Vec<Address>,
    /// Where its client comes from
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

/// What was found out.
struct Verdict {
    steps: Vec<Step>,
    /// Not by the running service: what isn't in the file was not looked at.
    partial: bool,
}

impl Explain {
    pub fn run(&self) -> ExitCode {
        let verdict = match self.ask() {
            Ok(verdict) => verdict,
            Err(reason) => return fail(&reason),
        };
        match self.json {
            true => say!("{}", visible_json(&self.object(&verdict).to_string())),
            false => verdict.lines().iter().for_each(|line| say!("{}", visible(line))),
        }
        if verdict.reason().is_none() { ExitCode::SUCCESS } else { REFUSED.into() }
    }

    fn ask(&self) -> Result<Verdict, String> {
        if self.to.len() > MOST {
            return Err(format!("--to: at most {MOST} recipients"));
        }
        let question = Question {
            credential: self.credential.clone(),
            sender: self.from.clone(),
            recipients: self.to.clone(),
            address: self.address,
        };
        let runtime = places(&self.config.path)?.runtime_directory;
        let mut steps = Vec::new();
        let mut is_strange = false;
        let is_there = control::ask_for_parts(&runtime, Command::Explain(question.clone()), |part| {
            match part {
                Response::Explained(step) => steps.push(step),
                _ => is_strange = true,
            }
            !is_strange
        })?;
        match (is_there, is_strange) {
            (true, true) => Err(strange()),
            (true, false) => Ok(Verdict { steps, partial: false }),
            (false, _) => self.by_file(&question),
        }
    }

    /// By the configuration alone, with the code of the vault.
    fn by_file(&self, question: &Question) -> Result<Verdict, String> {
        let plan = Configuration::load(&self.config.path).map_err(|mistakes| mistakes.to_string())?;
        let all = Credentials::new(&plan.credentials, &[]);
        let credential = all.get(&self.credential).ok_or_else(|| {
            let path = self.config.path.display();
            let meant = nearest(&self.credential, plan.credentials.iter().map(|declared| declared.id.as_str()));
            let meant = meant.map(|meant| format!("did you mean {meant:?}? Or ")).unwrap_or_default();
            format!(
                "the service does not run, and credential {:?} is not in {path}: {meant}start it, for those that were added by \
                 command are in its database",
                self.credential
            )
        })?;
        let names: Vec<String> = plan.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
        let grant = credential.policy.grant(&credential.id, &plan.routes);
        Ok(Verdict { steps: by_rules(credential, &grant, &names, question, now_us()), partial: true })
    }

    fn object(&self, verdict: &Verdict) -> Value {
        let step = |step: &Step| {
            json!({
                "stage": step.stage.word(),
                "about": step.about,
                "rule": step.rule,
                "refused": step.refused.as_ref().map(|refused| &refused.word),
                "wait": step.refused.as_ref().and_then(|refused| refused.wait),
            })
        };
        json!({
            "credential": self.credential,
            "verdict": if verdict.reason().is_none() { "taken" } else { "refused" },
            "reason": verdict.reason(),
            "test": verdict.steps.iter().any(|step| step.stage == Stage::Test),
            "by_service": !verdict.partial,
            "steps": verdict.steps.iter().map(step).collect::<Vec<_>>(),
        })
    }
}

impl Verdict {
    /// The word for the first thing that is in the way.
    fn reason(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| Some(step.refused.as_ref()?.word.as_str()))
    }

    fn lines(&self) -> Vec<String> {
        let first = self.reason().map_or_else(|| "taken".to_owned(), |word| format!("refused: {word}"));
        let line = |step: &Step| {
            let how = match &step.refused {
                None => "ok".to_owned(),
                Some(refused) => {
                    let wait = refused.wait.map(|seconds| format!(", for {seconds} s")).unwrap_or_default();
                    format!("refused ({}{wait})", refused.word)
                }
            };
            format!("{:<11} {how}: {}: {}", step.stage.word(), step.about, step.rule)
        };
        let mut lines: Vec<String> = std::iter::once(first).chain(self.steps.iter().map(line)).collect();
        if self.partial {
            lines.push("the service does not run: suppressed addresses, limits and load were not looked at".to_owned());
        }
        lines
    }
}

fn mailbox(text: &str) -> Result<Address, String> {
    Address::parse_international(text).map_err(|error| error.to_string())
}
