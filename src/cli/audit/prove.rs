//! `gatepost audit prove`: a proof that an event is in the log, for anybody, anywhere (C2SP tlog-proof).

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::handed::handed;
use super::place::Place;
use super::target::Target;
use crate::merkle::proof::is_included;
use crate::merkle::tlog_proof::TlogProof;
use crate::vault::audit::archive::{Archive, Head, altered, unreadable, usage};
use crate::vault::audit::month_file::hex;
use crate::vault::audit::verify::{Fault, Verdict};
use crate::vault::audit::visible::visible_json;

#[derive(Debug, Args)]
pub struct Prove {
    #[command(flatten)]
    place: Place,
    /// The event's number
    #[arg(value_name = "SEQ")]
    seq: u64,
    /// Under the signed head of so many events, instead of the newest
    #[arg(long, value_name = "SIZE")]
    at: Option<u64>,
    /// Write the event itself, as it is hashed, into this file: whoever checks the proof needs it
    #[arg(long, value_name = "FILE")]
    entry: Option<PathBuf>,
    /// Write the proof into this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print an object instead: what was proven, with the proof in it unless --output names a file for it
    #[arg(long)]
    json: bool,
}

impl Prove {
    pub fn run(&self) -> Result<(), Fault> {
        let archive = Archive::open(&self.place.files().map_err(unreadable)?)?;
        let row = archive.event(self.seq)?;
        let head = handed(self.head(&archive)?, &self.place, self.at.is_none())?;
        let path = archive.prover().inclusion(self.seq, head.size)?;
        // What the files have may not fit together; then nothing is handed out.
        if row.hash() != Some(row.leaf_hash) || !is_included(self.seq, &row.leaf_hash, head.size, &head.root, &path) {
            let what = format!("event {} isn't in the log that was signed: run `gatepost audit verify`", self.seq);
            return Err(altered(what));
        }
        let proof = TlogProof { index: self.seq, path, note: head.note }.to_string();
        if let Some(entry) = &self.entry {
            let leaf = row.leaf().ok_or_else(|| altered(format!("event {} can't be encoded", self.seq)))?;
            Target::write(entry, &leaf)?;
        }
        if let Some(output) = &self.output {
            Target::write(output, proof.as_bytes())?;
        }
        if self.json {
            let shown = json!({
                "seq": self.seq, "size": head.size, "leaf_hash": hex(&row.leaf_hash),
                "proof": Some(&proof).filter(|_| self.output.is_none()), "output": self.output, "entry": self.entry,
            });
            return super::print(&(visible_json(&shown.to_string()) + "\n"));
        }
        match self.output {
            Some(_) => Ok(()),
            None => super::print(&proof),
        }
    }

    fn head(&self, archive: &Archive) -> Result<Head, Fault> {
        let Some(size) = self.at else {
            let newest = archive.newest()?.filter(|head| head.size > self.seq);
            return newest.ok_or_else(|| Fault {
                verdict: Verdict::Unsealed,
                what: format!("event {} is under no signed head yet: look for `sealer.refused`", self.seq),
            });
        };
        if size <= self.seq {
            return Err(usage(format!("a head of {size} events doesn't have event {} in it", self.seq)));
        }
        archive.head_of(size)?.ok_or_else(|| usage(no_head(size)))
    }
}

pub fn no_head(size: u64) -> String {
    format!("there is no signed head of {size} events in these files")
}
