//! What a restore has done, and what is to be done next: for people, and for programs.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::swap::Swap;
use crate::cli::backup::manifest::Manifest;
use crate::config::Plan;
use crate::vault::audit::visible::visible;

pub struct Told {
    state: PathBuf,
    masters: PathBuf,
    manifest: Manifest,
    /// Part of the names of what gave way, where something did.
    stamp: Option<String>,
    /// No key is there that opens the bodies.
    lacks_master: bool,
    lacks_log_key: bool,
}

impl Told {
    pub fn of(plan: &Plan, manifest: Manifest, swap: &Swap) -> Self {
        let id = fs::read_to_string(plan.master_directory.join("master.id")).unwrap_or_default();
        Self {
            state: plan.state_directory.clone(),
            masters: plan.master_directory.clone(),
            lacks_master: !manifest.masters.iter().any(|name| name == id.trim_end()),
            lacks_log_key: !plan.state_directory.join("seal").join("log.key").exists(),
            stamp: (!swap.occupied.is_empty()).then(|| swap.stamp.clone()),
            manifest,
        }
    }

    pub fn text(&self) -> String {
        let (state, manifest) = (self.state.display(), &self.manifest);
        let mut told = format!(
            "restored to {state}: {} files, {} events of the audit log, made {} by version {}.",
            manifest.files.len(),
            manifest.size,
            // Whoever can write to a backup must not write to a terminal.
            visible(&manifest.made),
            visible(&manifest.version)
        );
        if let Some(stamp) = &self.stamp {
            told += &format!("\nWhat was there is in db.before-{stamp} and audit.before-{stamp}.");
        }
        if self.lacks_master {
            told += &format!(
                "\nThe bodies in it need the master key {}, which is not in {}: put master.key and master.id of then there before \
                 the start, or they can't be read, and without any the start is refused.",
                visible(&manifest.masters.join(" or ")),
                self.masters.display()
            );
        }
        if self.lacks_log_key {
            told += &format!(
                "\nPut your copy of log.key and log.vkey into {state}/seal: without them the start is refused."
            );
        }
        told + "\nAll mail in it is held. Start the service, then: gatepost queue reconcile, gatepost queue release --all."
    }

    pub fn object(&self) -> Value {
        let before = |name: &str| self.stamp.as_ref().map(|stamp| self.state.join(format!("{name}.before-{stamp}")));
        let aside: Vec<PathBuf> =
            ["db", "audit"].into_iter().filter_map(before).filter(|folder| folder.exists()).collect();
        json!({
            "state_directory": self.state,
            "files": self.manifest.files.len(),
            "events": self.manifest.size,
            "made": self.manifest.made,
            "version": self.manifest.version,
            "set_aside": aside,
            "master_keys": self.manifest.masters,
            "lacks_master_key": self.lacks_master,
            "lacks_log_key": self.lacks_log_key,
        })
    }
}
