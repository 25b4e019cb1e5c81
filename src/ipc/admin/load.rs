//! How much the vault has on its hands, and whether it takes more.

use serde::{Deserialize, Serialize};

use crate::policy::thresholds::Thresholds;

/// Whose mail is put off for the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    #[default]
    Calm,
    /// That of credentials that have more than their share.
    Heavy,
    All,
}

impl Stage {
    pub const ALL: [Self; 3] = [Self::Calm, Self::Heavy, Self::All];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Calm => "none",
            Self::Heavy => "heavy",
            Self::All => "all",
        }
    }

    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.word() == word)
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    Messages,
    Octets,
    /// In microseconds.
    Latency,
}

impl Measure {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Octets => "octets",
            Self::Latency => "latency",
        }
    }
}

/// One figure with its thresholds, and the stage that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    pub measure: Measure,
    pub now: u64,
    pub thresholds: Thresholds<u64>,
    pub stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    pub stage: Stage,
    pub figures: Vec<Figure>,
    /// Credentials that have something in the spool or sent something lately, and those of them whose mail is put off.
    pub credentials: u64,
    pub put_off: u64,
}

impl Load {
    /// The figures that the stage is for.
    pub fn reasons(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(|figure| figure.stage == self.stage && self.stage > Stage::Calm)
    }
}

/// Why no mail is taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// It is being stopped.
    Draining,
    /// The store doesn't answer.
    Store,
    /// There is too little room on the disk.
    Room,
    /// The audit log is as large as it may be.
    AuditMaxBytes,
    /// The load is beyond a second threshold.
    Load,
    /// The sealer doesn't answer, or refuses to sign: mail is taken, and what is written of it can't be signed.
    Sealer,
}

impl Obstacle {
    pub const ALL: [Self; 6] = [Self::Draining, Self::Store, Self::Room, Self::AuditMaxBytes, Self::Load, Self::Sealer];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Store => "store",
            Self::Room => "room",
            Self::AuditMaxBytes => "audit-max-bytes",
            Self::Load => "load",
            Self::Sealer => "sealer",
        }
    }
}

/// Whether it takes mail. It does when there is no obstacle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    pub obstacles: Vec<Obstacle>,
    pub load: Load,
    /// Octets free on the disk, as far as they are known, and those that must be.
    pub free: Option<u64>,
    pub reserve: u64,
    /// Upstreams whose mail a program gets: no filter holds their processes.
    pub programs: Vec<String>,
}
