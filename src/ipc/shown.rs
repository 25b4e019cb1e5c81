//! What an upstream showed of itself in a TLS handshake that an administrator looks on at. Its names are a stranger's words.

use serde::{Deserialize, Serialize};

/// Certificates of one chain that are told of: honest ones have two to four. All that is told fits into one frame.
pub const MAX_CHAIN: usize = 8;
/// Names of one certificate that are told.
pub const MAX_NAMES: usize = 16;
/// Octets of a name: as many as a host name can have, with the star in front (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub belief: Belief,
    /// The protocol's version and the cipher suite, if the handshake came to its end.
    pub agreed: Option<(String, String)>,
    /// As they came: the first one is the upstream's own.
    pub chain: Vec<Certificate>,
    /// How many more there were.
    pub left_out: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// When it ends, in Unix seconds; none where it never does, or can't be read.
    pub ends: Option<u64>,
    /// SHA-256 of its public key; none where it can't be read.
    pub key: Option<[u8; 32]>,
    /// Those of the first one.
    pub names: Vec<String>,
    /// How many more it has.
    pub left_out: u32,
}

/// What it was believed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Belief {
    /// It was not.
    Refused,
    /// By an authority, for its name.
    Verified,
    /// By its key alone.
    Pinned,
    /// By both.
    VerifiedAndPinned,
    /// By nothing: the configuration says that anybody is.
    Anybody,
}

impl Shown {
    /// Whether it is no more than may be told.
    pub fn fits(&self) -> bool {
        let short = |text: &String| text.len() <= MAX_NAME;
        self.chain.len() <= MAX_CHAIN
            && self.chain.iter().map(|one| one.names.len()).sum::<usize>() <= MAX_NAMES
            && self.chain.iter().flat_map(|one| &one.names).all(short)
            && self.agreed.iter().all(|(version, suite)| short(version) && short(suite))
    }
}

impl Belief {
    pub const fn words(self) -> &'static str {
        match self {
            Self::Refused => "the certificate is NOT believed",
            Self::Verified => "the certificate is verified",
            Self::Pinned => "the certificate's key is pinned",
            Self::VerifiedAndPinned => "the certificate is verified and its key is pinned",
            Self::Anybody => "the certificate is NOT verified",
        }
    }

    /// For programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Verified => "verified",
            Self::Pinned => "pinned",
            Self::VerifiedAndPinned => "verified-and-pinned",
            Self::Anybody => "not-verified",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::delivery::{Heard, Job, Line, MAX_LINE, Progress, Who};
    use crate::ipc::frame;

    /// As much as may be told.
    fn most() -> Shown {
        let one = |names| Certificate {
            ends: Some(u64::MAX),
            key: Some([255; 32]),
            names: vec!["x".repeat(MAX_NAME); names],
            left_out: u32::MAX,
        };
        let chain = (0..MAX_CHAIN).map(|at| one(if at == 0 { MAX_NAMES } else { 0 })).collect();
        let agreed = Some(("v".repeat(MAX_NAME), "s".repeat(MAX_NAME)));
        Shown { belief: Belief::Anybody, agreed, chain, left_out: u32::MAX }
    }

    #[test]
    fn what_may_be_told_fits_into_a_frame_and_more_does_not_fit() {
        let shown = most();
        assert!(shown.fits());
        let line = Line { who: Who::Note, text: "\u{1f4ee}".repeat(MAX_LINE), shown: Some(Box::new(shown)) };
        assert!(frame::encode(&Progress::Rehearsal { job: Job(u64::MAX), heard: Heard::Line(line) }).is_ok());
        let spoilt: [fn(&mut Shown); 4] = [
            |shown| shown.chain.push(Certificate { ends: None, key: None, names: Vec::new(), left_out: 0 }),
            |shown| shown.chain[1].names.push("x".into()),
            |shown| shown.chain[0].names[3].push('x'),
            |shown| shown.agreed.as_mut().unwrap().1.push('x'),
        ];
        for spoil in spoilt {
            let mut shown = most();
            spoil(&mut shown);
            assert!(!shown.fits(), "{shown:?}");
        }
    }
}
