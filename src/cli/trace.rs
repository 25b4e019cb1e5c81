//! `gatepost trace`: sessions of SMTP while they happen, line by line, without their secrets.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::audit::format::goes_on;
use super::audit::query::session;
use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::interrupt::Interrupt;
use crate::cli::out::is_read;
use crate::config;
use crate::ipc::admin::trace::{Filter, Response, What};
use crate::ipc::admin::{Command, Response as Answer};
use crate::ipc::trace::Told;
use crate::vault::audit::visible::{visible, visible_json};

/// How often it is looked whether there is still somebody who wants it.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub struct Trace {
    /// Only sessions of this credential, from when somebody tries to log in as it
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// Only sessions from this address, or this network
    #[arg(long, value_name = "ADDRESS[/PREFIX]", value_parser = config::network)]
    address: Option<IpNet>,
    /// Only this session
    #[arg(long, value_name = "ID", value_parser = session)]
    session: Option<Uuid>,
    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u32>,
    /// Print one JSON object per line instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Trace {
    pub fn run(&self) -> ExitCode {
        match self.follow() {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(&reason),
        }
    }

    fn follow(&self) -> Result<(), String> {
        let interrupt = Interrupt::catch()?;
        let runtime = places(&self.config.path)?.runtime_directory;
        let filter = Filter { credential: self.credential.clone(), address: self.address, session: self.session };
        let Some(mut stream) = control::Stream::open(&runtime, Command::Trace(filter), LOOK)? else {
            return Err(format!(
                "the service does not run ({}): there is nothing to follow",
                control::nobody(&runtime)
            ));
        };
        let until = self.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
        let mut out = io::stdout().lock();
        while !interrupt.came() && until.is_none_or(|until| Instant::now() < until) && is_read() {
            let part = stream.next().map_err(|error| {
                format!("the service ended this trace ({error}): look at its log, and begin anew when it runs")
            })?;
            let response = match part {
                None => continue,
                Some(Answer::Trace(response)) => response,
                Some(Answer::Refused { reason }) => return Err(reason),
                Some(_) => return Err(strange()),
            };
            match &response {
                Response::Begun => eprintln!("gatepost: following sessions; Ctrl-C ends it"),
                Response::Ended => {
                    eprintln!("gatepost: the service stops, and this trace with it");
                    return Ok(());
                }
                Response::Line { .. } | Response::LeftOut(_) => {
                    let line = if self.json { visible_json(&object(&response).to_string()) } else { line(&response) };
                    if !goes_on(writeln!(out, "{line}").and_then(|()| out.flush()))? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// One line for people. Sessions are told apart by the end of their ids; their first line has it whole.
fn line(response: &Response) -> String {
    let left_out = |lines: u64| format!("[{lines} lines left out]");
    let (time_us, session, what) = match response {
        Response::Line { time_us, session, what } => (*time_us, session, what),
        Response::LeftOut(lines) => return left_out(*lines),
        Response::Begun | Response::Ended => return String::new(),
    };
    let said = match what {
        What::Met { address, listener, credential } => {
            let known = credential.as_ref().map(|credential| format!(", as {}", visible(credential)));
            format!("-- session {session} from {address} at {}{}", visible(listener), known.unwrap_or_default())
        }
        What::Known { credential } => format!("-- logged in as {}", visible(credential)),
        What::Told(Told::Client(text)) => format!("C: {}", visible(text)),
        What::Told(Told::Server(text)) => format!("S: {}", visible(text)),
        What::Told(Told::Stage(text)) => format!("-- {}", visible(text)),
        What::Told(Told::LeftOut(lines)) => format!("-- {}", left_out((*lines).into())),
        What::Over { violation: None } => "-- over".to_owned(),
        What::Over { violation: Some(word) } => format!("-- ended by the vault: {}", visible(word)),
    };
    let id = session.simple().to_string();
    let short = id.get(24..).unwrap_or_default();
    format!("{} {short} {said}", time(time_us).strftime("%H:%M:%S%.3fZ"))
}

/// The same for programs.
fn object(response: &Response) -> Value {
    let (time_us, session, what) = match response {
        Response::Line { time_us, session, what } => (*time_us, session, what),
        Response::LeftOut(lines) => return json!({ "kind": "left-out", "lines": lines }),
        Response::Begun | Response::Ended => return Value::Null,
    };
    let mut object = match what {
        What::Met { address, listener, credential } => {
            json!({ "kind": "session", "address": address, "listener": listener, "credential": credential })
        }
        What::Known { credential } => json!({ "kind": "login", "credential": credential }),
        What::Told(Told::Client(text)) => json!({ "kind": "client", "text": text }),
        What::Told(Told::Server(text)) => json!({ "kind": "server", "text": text }),
        What::Told(Told::Stage(text)) => json!({ "kind": "stage", "text": text }),
        What::Told(Told::LeftOut(lines)) => json!({ "kind": "left-out", "lines": lines }),
        What::Over { violation } => json!({ "kind": "over", "violation": violation }),
    };
    if let Some(object) = object.as_object_mut() {
        object.insert("time".to_owned(), format!("{:.6}", time(time_us)).into());
        object.insert("session".to_owned(), session.to_string().into());
    }
    object
}

fn time(us: u64) -> Timestamp {
    i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default()
}
