//! `gatepost audit check-proof`: checks a proof with nothing but the log's key: no configuration, no files of the log.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::key;
use crate::merkle::leaf_hash;
use crate::merkle::tlog_proof::{ProofError, TlogProof};
use crate::vault::audit::archive::{altered, unreadable, usage};
use crate::vault::audit::json::time;
use crate::vault::audit::leaf::{self, Leaf};
use crate::vault::audit::month_file::hex;
use crate::vault::audit::verify::{Fault, Verdict};
use crate::vault::audit::visible::{visible, visible_json};

/// Octets of a proof: a path of 64 hashes and a note of 64 KiB are less.
const MAX_PROOF: u64 = 128 * 1024;
/// Octets of an entry: C2SP tlog-tiles has two octets for its length.
const MAX_ENTRY: u64 = 65_535;

#[derive(Debug, Args)]
pub struct CheckProof {
    /// The proof, as `audit prove` made it
    #[arg(value_name = "PROOF")]
    proof: PathBuf,
    /// The event, as `audit prove --entry` wrote it
    #[arg(value_name = "ENTRY")]
    entry: PathBuf,
    /// The log's verifier key, or a file that holds it
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// Print what is proven as JSON
    #[arg(long)]
    json: bool,
}

impl CheckProof {
    pub fn run(&self) -> Result<(), Fault> {
        let key = key::read(&self.key)?;
        let text =
            String::from_utf8(read(&self.proof, MAX_PROOF)?).map_err(|_| usage(self.no_proof("it isn't text")))?;
        let proof: TlogProof = text.parse().map_err(|why: String| usage(self.no_proof(&why)))?;
        let octets = read(&self.entry, MAX_ENTRY)?;
        let head = proof.check(&leaf_hash(&octets), &key).map_err(|error| Fault {
            verdict: match error {
                ProofError::Note(_) => Verdict::Signature,
                ProofError::NotIncluded => Verdict::Altered,
            },
            what: error.to_string(),
        })?;
        let leaf = leaf::decode(&octets).filter(|leaf| leaf.seq == proof.index);
        let leaf =
            leaf.ok_or_else(|| altered("it is in the log, but no event of ours, or not at its place".to_owned()))?;
        let text = match self.json {
            true => visible_json(&as_json(&leaf, &head.origin, head.size).to_string()) + "\n",
            false => in_words(&leaf, &head.origin, head.size),
        };
        super::print(&text)
    }

    fn no_proof(&self, why: &str) -> String {
        format!("{}: {why}", self.proof.display())
    }
}

/// Reads a file that comes from a stranger.
///
/// Errors: it can't be read, or is longer than what it is for can be.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, Fault> {
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut octets));
    read.map_err(|error| unreadable(format!("{}: {error}", path.display())))?;
    match octets.len() as u64 > most {
        true => Err(usage(format!("{}: is longer than {most} octets: it is something else", path.display()))),
        false => Ok(octets),
    }
}

fn in_words(leaf: &Leaf, origin: &str, size: u64) -> String {
    let mut text =
        format!("proven: event {} of {} is under its signed head of {size} events\n", leaf.seq, visible(origin));
    let mut line = |name: &str, value: &str| text += &format!("{:20}{value}\n", visible(name));
    line("event", &visible(&leaf.event));
    line("time", &time(leaf.time_us));
    for (name, value) in &leaf.fields {
        match value {
            leaf::Value::Clear(value) => line(name, &visible(value)),
            leaf::Value::Committed(hash) => line(name, &format!("(commitment {})", hex(hash))),
        }
    }
    text
}

fn as_json(leaf: &Leaf, origin: &str, size: u64) -> Value {
    let (mut clear, mut committed) = (Map::new(), Map::new());
    for (name, value) in &leaf.fields {
        match value {
            leaf::Value::Clear(value) => clear.insert(name.clone(), value.as_str().into()),
            leaf::Value::Committed(hash) => committed.insert(name.clone(), hex(hash).into()),
        };
    }
    json!({
        "proven": true, "origin": origin, "size": size, "seq": leaf.seq, "time_us": leaf.time_us, "time": time(leaf.time_us),
        "event": leaf.event, "clear": clear, "committed": committed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_read_as_far_as_it_can_be_one() {
        let endless = read(Path::new("/dev/zero"), MAX_ENTRY).unwrap_err();
        assert_eq!((endless.verdict, endless.what.contains("longer than 65535 octets")), (Verdict::Usage, true));
        let whole = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(whole.path(), vec![7; 65_535]).unwrap();
        assert_eq!(read(whole.path(), MAX_ENTRY).map(|octets| octets.len()), Ok(65_535));
    }
}
