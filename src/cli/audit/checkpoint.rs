//! `gatepost audit checkpoint`: a signed head of the log, as it is stored: to be kept where no intruder can reach it.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::handed::handed;
use super::moment::moment;
use super::place::Place;
use super::prove::no_head;
use crate::vault::audit::archive::{Archive, unreadable, usage};
use crate::vault::audit::json::time;
use crate::vault::audit::month_file::hex;
use crate::vault::audit::verify::{Fault, Verdict};
use crate::vault::audit::visible::visible_json;

#[derive(Debug, Args)]
pub struct Checkpoint {
    #[command(flatten)]
    place: Place,
    /// The head of exactly so many events, instead of the newest
    #[arg(long, value_name = "SIZE", conflicts_with = "before")]
    at: Option<u64>,
    /// The newest head that was stored before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: Option<Timestamp>,
    /// Print JSON, with the time it was stored
    #[arg(long)]
    json: bool,
}

impl Checkpoint {
    pub fn run(&self) -> Result<(), Fault> {
        let archive = Archive::open(&self.place.files().map_err(unreadable)?)?;
        let head = match (self.at, self.before) {
            (Some(size), _) => archive.head_of(size)?.ok_or_else(|| usage(no_head(size)))?,
            (None, Some(before)) => {
                let before_us = u64::try_from(before.as_microsecond()).unwrap_or(0);
                let none = || usage(format!("there is no signed head of before {before} in these files"));
                archive.head_before(before_us)?.ok_or_else(none)?
            }
            (None, None) => archive.newest()?.ok_or_else(|| Fault {
                verdict: Verdict::Unsealed,
                what: "there is no signed head yet: look for `sealer.refused`".to_owned(),
            })?,
        };
        let head = handed(head, &self.place, self.at.is_none() && self.before.is_none())?;
        super::print(&match self.json {
            true => {
                let head = json!({
                    "size": head.size, "root": hex(&head.root), "stored": time(head.time_us), "stored_us": head.time_us,
                    "note": head.note,
                });
                visible_json(&head.to_string()) + "\n"
            }
            false => head.note,
        })
    }
}
