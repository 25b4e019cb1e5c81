//! `gatepost status`: whether the running service takes mail, what keeps it out, and what else is worth a look; for people and for
//! a balancer's check.

mod screen;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::ipc::admin::load::{Figure, Load, Measure, Obstacle, Readiness, Stage};
use crate::ipc::admin::{Command, Response};
use crate::vault::audit::visible::{visible, visible_json};
use screen::Screen;

/// The service runs, and takes no mail now. 1 is that it can't be asked.
const NOT_READY: u8 = 3;
/// Somebody has stopped a process that mail comes in by: what the vault doesn't see.
const HALTED: &str = "stopped";
/// The vault gives its store 5 seconds to answer, and balancers give a check 10.
const PATIENCE: Duration = Duration::from_secs(7);

#[derive(Debug, Args)]
pub struct Status {
    /// Print an object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Status {
    pub fn run(&self) -> ExitCode {
        let (readiness, screen) = match self.ask() {
            Ok(both) => both,
            Err(reason) => return fail(&reason),
        };
        let mut obstacles: Vec<&str> = readiness.obstacles.iter().map(|obstacle| obstacle.word()).collect();
        obstacles.extend(screen.is_halted().then_some(HALTED));
        match self.json {
            true => {
                let mut object = object(&readiness, &obstacles);
                let members = screen.members().into_iter().map(|(name, value)| (name.to_owned(), value));
                if let Some(object) = object.as_object_mut() {
                    object.extend(members);
                }
                say!("{}", visible_json(&object.to_string()));
            }
            false => {
                lines(&readiness, &obstacles).iter().chain(&screen.lines()).for_each(|line| say!("{}", visible(line)))
            }
        }
        if obstacles.is_empty() { ExitCode::SUCCESS } else { NOT_READY.into() }
    }

    fn ask(&self) -> Result<(Readiness, Screen), String> {
        let runtime = places(&self.config.path)?.runtime_directory;
        match control::ask_within(&runtime, Command::Ready, PATIENCE)? {
            Some(Response::Ready(readiness)) => {
                let answers = !readiness.obstacles.contains(&Obstacle::Store);
                let screen = Screen::look(&self.config.path, &runtime, answers);
                Ok((*readiness, screen))
            }
            Some(_) => Err(strange()),
            None => Err(format!("the service does not run ({})", control::nobody(&runtime))),
        }
    }
}

fn lines(readiness: &Readiness, obstacles: &[&str]) -> Vec<String> {
    let first = if obstacles.is_empty() { "ready".to_owned() } else { format!("not ready: {}", obstacles.join(", ")) };
    let free = readiness.free.map_or_else(|| "-".to_owned(), |free| free.to_string());
    let room = format!("{:<10} free={free} reserve={}", "room", readiness.reserve);
    [vec![first, room], shedding(&readiness.load), weakest(readiness)].concat()
}

/// Which processes no filter holds.
fn weakest(readiness: &Readiness) -> Vec<String> {
    let line = |name: &String| format!("{:<10} upstream={name} runs a program, and is held by no filter", "weakest");
    readiness.programs.iter().map(line).collect()
}

/// Whose mail is put off for the load and why, and each figure with its thresholds.
pub fn shedding(load: &Load) -> Vec<String> {
    let why: Vec<&str> = load.reasons().map(|figure| figure.measure.word()).collect();
    let mut first = format!("{:<10} {}", "shedding", load.stage.word());
    if load.stage > Stage::Calm {
        first += &format!(" for={} put_off={}/{}", why.join(","), load.put_off, load.credentials);
    }
    let line = |figure: &Figure| {
        let [now, heavy, all] = values(figure);
        format!("{:<10} {:<24} now={now} heavy={heavy} all={all}", "load", figure.measure.word())
    };
    std::iter::once(first).chain(load.figures.iter().map(line)).collect()
}

/// The figure and its thresholds; times in milliseconds, as nobody sets them finer.
fn values(figure: &Figure) -> [String; 3] {
    [figure.now, figure.thresholds.heavy, figure.thresholds.all].map(|value| match figure.measure {
        Measure::Latency => format!("{}ms", value / 1000),
        Measure::Messages | Measure::Octets => value.to_string(),
    })
}

fn object(readiness: &Readiness, obstacles: &[&str]) -> serde_json::Value {
    json!({
        "ready": obstacles.is_empty(),
        "obstacles": obstacles,
        "free": readiness.free,
        "reserve": readiness.reserve,
        "programs": readiness.programs,
        "shedding": load_object(&readiness.load),
    })
}

/// The same as `shedding`.
pub fn load_object(load: &Load) -> serde_json::Value {
    let figure = |figure: &Figure| {
        let name = match figure.measure {
            Measure::Latency => "latency_us",
            measure => measure.word(),
        };
        let value = json!({
            "now": figure.now,
            "heavy": figure.thresholds.heavy,
            "all": figure.thresholds.all,
            "stage": figure.stage.word(),
        });
        (name.to_owned(), value)
    };
    let why: Vec<&str> = load.reasons().map(|figure| figure.measure.word()).collect();
    let mut object = serde_json::Map::from_iter([
        ("stage".to_owned(), load.stage.word().into()),
        ("for".to_owned(), why.into()),
        ("credentials".to_owned(), load.credentials.into()),
        ("put_off".to_owned(), load.put_off.into()),
    ]);
    object.extend(load.figures.iter().map(figure));
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::thresholds::Thresholds;

    fn load(stage: Stage) -> Load {
        let figure =
            |measure, now, heavy, all, stage| Figure { measure, now, thresholds: Thresholds { heavy, all }, stage };
        Load {
            stage,
            figures: vec![
                figure(Measure::Messages, 7, 5, 10, stage),
                figure(Measure::Latency, 1500, 1_000_000, 5_000_000, Stage::Calm),
            ],
            credentials: 3,
            put_off: 1,
        }
    }

    #[test]
    fn it_says_what_is_in_the_way_and_how_far_each_figure_is() {
        let readiness = |obstacles, stage| {
            let programs = vec!["local".to_owned()];
            Readiness { obstacles, load: load(stage), free: Some(9), reserve: 4, programs }
        };
        let calm = lines(&readiness(vec![], Stage::Calm), &[]);
        assert_eq!(calm[..3], ["ready", "room       free=9 reserve=4", "shedding   none"]);
        assert_eq!(calm[4], "load       latency                  now=1ms heavy=1000ms all=5000ms");
        assert_eq!(calm[5..], ["weakest    upstream=local runs a program, and is held by no filter"]);
        let loaded = lines(&readiness(vec![Obstacle::Room, Obstacle::Sealer], Stage::Heavy), &["room", HALTED]);
        assert_eq!(
            (loaded[0].as_str(), loaded[2].as_str()),
            ("not ready: room, stopped", "shedding   heavy for=messages put_off=1/3")
        );
        let object = object(&readiness(vec![Obstacle::Load], Stage::All), &["load"]);
        assert_eq!(object["programs"], serde_json::json!(["local"]));
        assert_eq!((object["ready"].as_bool(), object["obstacles"][0].as_str()), (Some(false), Some("load")));
        assert_eq!(
            (object["shedding"]["for"][0].as_str(), &object["shedding"]["messages"]["now"]),
            (Some("messages"), &7.into())
        );
    }
}
