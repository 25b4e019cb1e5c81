//! What else is worth a look beside whether mail is taken: each as far as whoever asks may see it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use serde_json::{Value, json};

use crate::certificate::validity;
use crate::cli::alert::Known;
use crate::cli::control::Undone;
use crate::cli::{check, control, doctor, queue, route};
use crate::config::{Config, Plan};
use crate::ipc::admin::alert::Command as Alerts;
use crate::ipc::admin::overview::Overview;
use crate::ipc::admin::route::{Command as Routes, Response as Routed, State};
use crate::ipc::admin::{Command, Response};
use crate::parent::launcher::LAUNCHER;
use crate::parent::{self, TITLE};
use crate::role::Role;
use crate::sys::running::Process;
use crate::vault::audit::archive::Archive;

/// A vault that is ready says these at once; a balancer that checks by this command has no time for one that is not.
const PATIENCE: Duration = Duration::from_secs(2);
/// As `gatepost check`: a whole bundle is a quarter of it.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, Default)]
pub struct Screen {
    processes: Option<Processes>,
    /// The service runs by what the file says. None where either can't be known.
    in_force: Option<bool>,
    overview: Option<Overview>,
    /// None where nobody says.
    routes: Option<Vec<State>>,
    /// What operators are told; an error where nobody is. None where that can't be asked.
    alerts: Option<Result<Known, String>>,
    /// Each file of certificates with the days that it has left, where it can be read. None where the configuration can't be.
    certificates: Option<Vec<(String, Option<i64>)>>,
    /// The newest signed head: how many events, and when it was stored.
    head: Option<(u64, u64)>,
    /// How long ago each anchor took a head, in microseconds, as far as the log tells. None where that can't be read.
    anchors: Option<Vec<(String, Option<u64>)>>,
}

#[derive(Debug)]
struct Processes {
    there: usize,
    /// Those that the configuration asks for and are not there.
    missing: Vec<String>,
    /// Those that do nothing until somebody lets them go on.
    stopped: Vec<String>,
}

impl Screen {
    /// `answers`: the store does, which is asked for alerts.
    pub fn look(config: &Path, runtime: &Path, answers: bool) -> Self {
        let overview = match control::ask_within(runtime, Command::Overview, PATIENCE) {
            Ok(Some(Response::Overview(overview))) => Some(*overview),
            _ => None,
        };
        let mut routes = Vec::new();
        let heard = control::parts_within(runtime, Command::Route(Routes::Status), Some(PATIENCE), |part| match part {
            Response::Route(Routed::State(state)) => {
                routes.push(*state);
                true
            }
            _ => false,
        });
        let routes = matches!(heard, Ok(true)).then_some(routes);
        let alerts = if answers { alerts(runtime) } else { None };
        let mut screen = Self { overview, routes, alerts, ..Self::default() };
        // With a file that has mistakes by now, what it names is not known.
        let Ok(plan) = Config::load(config) else { return screen };
        screen.processes = processes(&plan, runtime);
        screen.in_force = screen.overview.as_ref().map(|overview| overview.written == plan.written.digest());
        screen.certificates =
            Some(plan.certificates.iter().map(|pair| (pair.chain.to_string(), days(&pair.chain))).collect());
        let newest = Archive::open(&plan.state_directory.join("audit")).and_then(|archive| archive.newest());
        screen.head = newest.ok().flatten().map(|head| (head.size, head.time_us));
        screen.anchors = doctor::taken(&plan).ok();
        screen
    }

    /// Whether somebody who connects waits for a process that does nothing.
    pub fn is_halted(&self) -> bool {
        let takes = |post: &String| {
            let role = post.split(' ').next().and_then(Role::named);
            let is_behind = |role| [Role::Courier, Role::Dialer, Role::Mailer, Role::Sealer].contains(&role);
            post != LAUNCHER && !role.is_some_and(is_behind)
        };
        self.processes.as_ref().is_some_and(|processes| processes.stopped.iter().any(takes))
    }

    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Processes { there, missing, stopped }) = &self.processes {
            let missing = if missing.is_empty() { "-".to_owned() } else { missing.join(", ") };
            let stopped = if stopped.is_empty() { String::new() } else { format!(" stopped={}", stopped.join(", ")) };
            lines.push(format!("{:<10} there={there} missing={missing}{stopped}", "processes"));
        }
        if self.in_force == Some(false) {
            lines.push(format!("{:<10} says something else than what the service runs by: gatepost reload", "file"));
        }
        if let Some(Overview { sessions, edges, more, shown: _, written: _ }) = &self.overview {
            lines.push(format!("{:<10} {sessions}", "sessions"));
            lines.extend(edges.iter().map(|edge| {
                let suspended = if edge.suspended { " suspended" } else { "" };
                let (word, credential) = (edge.limit.word(), &edge.credential);
                format!("{:<10} {credential} {word} left={}/{}{suspended}", "limit", edge.left, edge.quota)
            }));
            if *more > 0 {
                lines.push(format!("{:<10} and {more} more with little left", "limit"));
            }
        }
        lines.extend(self.routes.iter().flatten().map(|state| format!("{:<10} {}", "route", route::line(state))));
        lines.extend(self.alerts.iter().flat_map(told));
        lines.extend(self.certificates.iter().flatten().map(|(file, days)| {
            let days = days.map_or_else(|| "-".to_owned(), |days| days.to_string());
            format!("{:<10} {file} days={days}", "tls")
        }));
        lines.extend(self.shown().map(|(listener, days)| format!("{:<10} {listener} days={days}", "shown")));
        if let Some((size, stored)) = self.head {
            lines.push(format!("{:<10} signed={} events={size}", "log", queue::time(stored)));
        }
        lines.extend(self.anchors.iter().flatten().map(|(name, age)| {
            let minutes = age.map_or_else(|| "-".to_owned(), |age| (age / 60_000_000).to_string());
            format!("{:<10} {name} minutes_ago={minutes}", "anchor")
        }));
        lines
    }

    /// Each listener with the days of what it shows, as far as the service says. A file may have been renewed that it has not taken.
    fn shown(&self) -> impl Iterator<Item = (&String, i64)> {
        let now = UnixTime::now();
        let shown = self.overview.iter().flat_map(|overview| &overview.shown);
        shown.map(move |(listener, ends)| (listener, validity::days_until(*ends, now)))
    }

    /// The same, by names; null for what could not be seen.
    pub fn members(&self) -> Vec<(&'static str, Value)> {
        let processes = self.processes.as_ref();
        let processes = processes.map(
            |Processes { there, missing, stopped }| json!({ "there": there, "missing": missing, "stopped": stopped }),
        );
        let limits = self.overview.as_ref().map(|overview| {
            let each = overview.edges.iter().map(|edge| {
                json!({
                    "credential": edge.credential, "limit": edge.limit.word(), "quota": edge.quota, "left": edge.left,
                    "suspended": edge.suspended,
                })
            });
            each.collect::<Vec<_>>()
        });
        let routes = self.routes.as_ref().map(|routes| routes.iter().map(route::object).collect::<Value>());
        let certificate = |(file, days): &(String, Option<i64>)| json!({ "file": file, "days": days });
        let certificates = self.certificates.as_ref().map(|all| all.iter().map(certificate).collect::<Value>());
        let shown = self.shown().map(|(listener, days)| json!({ "listener": listener, "days": days }));
        let anchor =
            |(name, age): &(String, Option<u64>)| json!({ "anchor": name, "seconds": age.map(|age| age / 1_000_000) });
        let anchors = self.anchors.as_ref().map(|all| all.iter().map(anchor).collect::<Value>());
        vec![
            ("processes", processes.into()),
            ("in_force", self.in_force.into()),
            ("sessions", self.overview.as_ref().map(|overview| overview.sessions).into()),
            ("limits", limits.into()),
            ("limits_more", self.overview.as_ref().map(|overview| overview.more).into()),
            ("routes", routes.into()),
            ("alerts", self.alerts.as_ref().map(told_object).into()),
            ("certificates", certificates.into()),
            ("shown", self.overview.as_ref().map(|_| shown.collect::<Value>()).into()),
            ("head", self.head.map(|(size, stored)| json!({ "events": size, "stored": queue::time(stored) })).into()),
            ("anchors", anchors.into()),
        ]
    }
}

/// What operators are told now; None where the service doesn't say.
fn alerts(runtime: &Path) -> Option<Result<Known, String>> {
    let mut known = Known::default();
    let heard = control::parts_within(runtime, Command::Alert(Alerts::Status), Some(PATIENCE), |part| match part {
        Response::Alert(response) => known.hear(response),
        _ => false,
    });
    match heard {
        Ok(true) => Some(Ok(known)),
        Err(Undone::Refused(reason)) => Some(Err(reason)),
        Ok(false) | Err(Undone::Unreachable(_)) => None,
    }
}

fn told(alerts: &Result<Known, String>) -> Vec<String> {
    let known = match alerts {
        Ok(known) => known,
        Err(reason) => return vec![format!("{:<10} {reason}", "alerts")],
    };
    let untold = known
        .silence
        .as_ref()
        .map_or_else(String::new, |(since, reason)| format!(" untold_since={} {reason}", queue::time(*since)));
    let mut lines = vec![format!("{:<10} told={}{untold}", "alerts", known.entries.len())];
    lines.extend(known.entries.iter().map(|entry| {
        let what = format!("{} {}", entry.kind, entry.subject);
        format!("{:<10} {}: {} since={}", "alert", what.trim_end(), entry.text, queue::time(entry.since_us))
    }));
    lines
}

fn told_object(alerts: &Result<Known, String>) -> Value {
    let Ok(known) = alerts else { return json!({ "configured": false }) };
    let entries = known.entries.iter().map(|entry| {
        json!({ "alert": entry.kind, "subject": entry.subject, "text": entry.text, "since": queue::time(entry.since_us) })
    });
    let (since, reason) = known.silence.as_ref().map(|(since, reason)| (queue::time(*since), reason)).unzip();
    json!({
        "configured": true, "told": entries.collect::<Vec<_>>(), "untold_since": since, "untold_reason": reason,
    })
}

/// None where the system doesn't show its processes.
fn processes(plan: &Plan, runtime: &Path) -> Option<Processes> {
    let (parent, children) = parent::family(control::listener(runtime).ok()??.as_ref().copied()?)?;
    let is_there = |post: &String| children.iter().any(|child| child.title.strip_prefix(TITLE) == Some(post));
    let missing = parent::posts(plan).iter().map(ToString::to_string).filter(|post| !is_there(post)).collect();
    let name = |process: &Process| process.title.strip_prefix(TITLE).unwrap_or("parent").to_owned();
    let stopped = std::iter::once(&parent).chain(&children).filter(|process| process.stopped).map(name).collect();
    Some(Processes { there: children.len() + 1, missing, stopped })
}

fn days(chain: &crate::config::source::Source) -> Option<i64> {
    let mut text = Vec::new();
    File::from(chain.open().ok()?).take(LONGEST).read_to_end(&mut text).ok()?;
    validity::days_left(&check::certificates(&text).ok()?, UnixTime::now())
}
