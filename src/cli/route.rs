//! `gatepost route`: how the upstreams stand, and their pause, by the running service.

mod shown;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::ipc::admin::route::{Command, Paced, Response, Standing, State};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::ipc::delivery::{Line, Who};
use crate::mail::address::{Address, ReversePath};
use crate::vault::audit::visible::{visible, visible_json};

/// How often it is looked whether to go on.
const GLANCE: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub enum Route {
    /// Show how each upstream stands, and why one can't be used
    Status(Status),
    /// Offer nothing to an upstream until it is resumed, also after a restart
    Pause(One),
    /// End a pause; an upstream that rests after a failure is tried at once
    Resume(One),
    /// Connect to each host, log in and begin a message that is taken back, and show what is said
    Test(Test),
}

#[derive(Debug, Args)]
pub struct Status {
    /// Print an object for each upstream instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct One {
    /// The upstream, by its name in the configuration
    #[arg(value_name = "UPSTREAM")]
    upstream: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print {"upstream": ..., "paused": ...} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub struct Test {
    /// The upstream, by its name in the configuration
    #[arg(value_name = "UPSTREAM")]
    upstream: String,
    /// Whom a message would be from, too; one is from whom reports are from: nobody (<>), or as bounce says
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// Print an object for each line instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Route {
    pub fn run(&self) -> ExitCode {
        let done = match self {
            Self::Status(status) => ask(&status.config, Command::Status).map(|states| {
                states.iter().for_each(|state| match status.json {
                    true => say!("{}", visible_json(&object(state).to_string())),
                    false => say!("{}", line(state)),
                });
            }),
            Self::Pause(one) => one.run(true),
            Self::Resume(one) => one.run(false),
            Self::Test(test) => return test.run().map_or_else(|reason| fail(&reason), ExitCode::from),
        };
        done.map_or_else(|reason| fail(&reason), |()| ExitCode::SUCCESS)
    }
}

impl One {
    fn run(&self, paused: bool) -> Result<(), String> {
        let Self { upstream, reason: note, json, config } = self;
        let (upstream, note) = (upstream.clone(), note.clone());
        let command = if paused { Command::Pause { upstream, note } } else { Command::Resume { upstream, note } };
        ask(config, command)?;
        let upstream = &self.upstream;
        match (json, paused) {
            (true, _) => say!("{}", visible_json(&json!({ "upstream": upstream, "paused": paused }).to_string())),
            (false, true) => say!("{upstream} is paused: what waits for it stays in the queue"),
            (false, false) => say!("{upstream} is tried now"),
        }
        Ok(())
    }
}

impl Test {
    /// The exit status: 0 when every host would have taken the message.
    fn run(&self) -> Result<u8, String> {
        let sender = self.sender.as_deref().map(Address::parse_international).transpose();
        let sender = sender.map_err(|error| format!("--sender is no address: {error}"))?;
        let runtime = places(&self.config.path)?.runtime_directory;
        rehearse(&runtime, &self.upstream, sender, self.json, &|| true).map(|passed| u8::from(!passed))
    }
}

/// Has an upstream tried by the service that listens for commands there, and shows what is said. Whether every host would have
/// taken the message. It is given up when it doesn't go on, which is asked while nothing is said.
pub fn rehearse(
    runtime: &Path,
    upstream: &str,
    sender: ReversePath,
    as_json: bool,
    goes_on: &dyn Fn() -> bool,
) -> Result<bool, String> {
    let mut passed = None;
    let command = Command::Test { upstream: upstream.to_owned(), sender };
    let mut each = |response| match response {
        Response::Line(line) => {
            match as_json {
                true => say!("{}", visible_json(&spoken(upstream, &line).to_string())),
                false => {
                    say!("{}", visible(&format!("{} {}", sign(line.who), line.text)));
                    let more = line.shown.iter().flat_map(|shown| shown::lines(shown));
                    more.for_each(|more| say!("{}", visible(&format!("{}   {more}", sign(line.who)))));
                }
            }
            true
        }
        Response::Tested(all) => {
            passed = Some(all);
            true
        }
        Response::State(_) => false,
    };
    let opened = control::Stream::open(runtime, Any::Route(command), GLANCE)?;
    let mut stream = opened.ok_or_else(|| control::not_running(runtime))?;
    loop {
        match stream.next() {
            Ok(Some(Answer::Done)) => break,
            Ok(Some(Answer::Refused { reason })) => return Err(reason),
            Ok(Some(Answer::Route(response))) => {
                if !each(response) {
                    return Err(strange());
                }
            }
            Ok(Some(_)) => return Err(strange()),
            Ok(None) if goes_on() => {}
            Ok(None) => return Err("interrupted".to_owned()),
            Err(error) => return Err(format!("the service did not answer ({error}): look at its log")),
        }
    }
    let passed = passed.ok_or("the service did not say how it ended")?;
    if as_json {
        say!("{}", json!({ "upstream": upstream, "passed": passed }));
    }
    Ok(passed)
}

fn spoken(upstream: &str, line: &Line) -> serde_json::Value {
    let mut object = json!({ "upstream": upstream, "who": word(line.who), "text": line.text });
    if let Some(shown) = &line.shown {
        object["tls"] = shown::object(shown);
    }
    object
}

const fn sign(who: Who) -> &'static str {
    match who {
        Who::Gate => ">",
        Who::Upstream => "<",
        Who::Note => "*",
    }
}

const fn word(who: Who) -> &'static str {
    match who {
        Who::Gate => "gate",
        Who::Upstream => "upstream",
        Who::Note => "note",
    }
}

fn ask(config: &Config, command: Command) -> Result<Vec<State>, String> {
    let mut states = Vec::new();
    hear(&places(&config.path)?.runtime_directory, command, |response| match response {
        Response::State(state) => {
            states.push(*state);
            true
        }
        Response::Line(_) | Response::Tested(_) => false,
    })?;
    Ok(states)
}

/// Asks the running service; `each` takes the parts of its answer, as long as it knows them.
fn hear(runtime: &Path, command: Command, mut each: impl FnMut(Response) -> bool) -> Result<(), String> {
    control::hear(runtime, Any::Route(command), |part| match part {
        Answer::Route(response) => each(response),
        _ => false,
    })
}

pub fn line(state: &State) -> String {
    let mut text = format!("{} {}", state.upstream, state.standing.word());
    if let Some((since, actor)) = &state.paused {
        text += &format!(" since {} by {actor}", super::queue::time(*since));
    }
    if let Some(seconds) = state.seconds {
        text += &format!(" for {seconds}s");
    }
    text += &format!(" under_way={}/{}", state.under_way, state.window.unwrap_or(state.slots).min(state.slots));
    if let Some(paced) = &state.paced {
        text += &format!(" pace={} waiting={}", pace(paced), paced.waiting);
    }
    if let Some((word, said)) = &state.fault {
        text += &format!(" failures={} {word}: {said}", state.failures);
    }
    visible(&text)
}

/// Each limit, with what is left of it.
fn pace(paced: &Paced) -> String {
    let Paced { pace, minute_left, day_left, .. } = paced;
    let second = pace.per_second.map(|limit| format!("{limit}/second"));
    let of = |left: &Option<u32>, limit: Option<u32>, period: &str| {
        limit.map(|limit| format!("{limit}/{period}({} left)", left.unwrap_or(limit)))
    };
    let all = [second, of(minute_left, pace.per_minute, "minute"), of(day_left, pace.per_day, "day")];
    all.into_iter().flatten().collect::<Vec<_>>().join(",")
}

pub fn object(state: &State) -> serde_json::Value {
    json!({
        "upstream": state.upstream,
        "state": state.standing.word(),
        "tried": state.tried,
        "failures": state.failures,
        "rests_seconds": state.seconds.filter(|_| state.standing != Standing::Paced),
        "paced_seconds": state.seconds.filter(|_| state.standing == Standing::Paced),
        "per_second": state.paced.as_ref().and_then(|paced| paced.pace.per_second),
        "per_minute": state.paced.as_ref().and_then(|paced| paced.pace.per_minute),
        "per_day": state.paced.as_ref().and_then(|paced| paced.pace.per_day),
        "minute_left": state.paced.as_ref().and_then(|paced| paced.minute_left),
        "day_left": state.paced.as_ref().and_then(|paced| paced.day_left),
        "waiting": state.paced.as_ref().map(|paced| paced.waiting),
        "fault": state.fault.as_ref().map(|(word, _)| word),
        "said": state.fault.as_ref().map(|(_, said)| said),
        "under_way": state.under_way,
        "slots": state.slots,
        "window": state.window,
        "paused_since": state.paused.as_ref().map(|(since, _)| super::queue::time(*since)),
        "paused_by": state.paused.as_ref().map(|(_, actor)| actor),
    })
}
