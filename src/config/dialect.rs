//! How a listener's SMTP differs from everybody's: LMTP, and what its operator has allowed for the sake of those who need it.

use serde::{Deserialize, Serialize};

use super::file::{self, At};
use super::findings::Findings;
use super::plan::Bind;
use super::slice::{Extension, Protocol};

/// The word for LMTP, which is SMTP in all that roles and zones are about.
pub const LMTP: &str = "lmtp";
/// Mail exchangers listen there, and a client that takes this for one would misread every reply (RFC 2033 section 5).
const SMTP_PORT: u16 = 25;
/// RFC 2033 section 5 wants them of every server of LMTP.
const OF_LMTP: [Extension; 2] = [Extension::Pipelining, Extension::StatusCodes];

/// The default is SMTP as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// LMTP (RFC 2033) instead of SMTP.
    pub lmtp: bool,
    /// A bare LF in the content of DATA is taken for a line's end.
    pub repair_bare_lf: bool,
}

pub fn plan(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Dialect {
    Dialect {
        lmtp: written.protocol.as_ref().is_some_and(|protocol| protocol.get_ref() == LMTP),
        repair_bare_lf: repair_bare_lf(&written.repair_bare_lf, protocol, findings),
    }
}

/// What LMTP forbids.
pub fn judge_lmtp(written: &file::Listener, binds: &[Bind], off: &[Extension], findings: &mut Findings<'_>) {
    let is_taken = |bind: &Bind| matches!(bind, Bind::Address(address) if address.port() == SMTP_PORT);
    if let Some(place) = binds.iter().position(is_taken).and_then(|at| written.address.get(at)) {
        findings
            .refuse(place.span(), "address: LMTP is never spoken on port 25 (RFC 2033): choose another, such as 2424");
    }
    if let Some(place) =
        written.extensions_off.iter().flatten().next().filter(|_| off.iter().any(|one| OF_LMTP.contains(one)))
    {
        findings.refuse(place.span(), "extensions_off: LMTP has PIPELINING and ENHANCEDSTATUSCODES always (RFC 2033)");
    }
}

fn repair_bare_lf(written: &Option<At<bool>>, protocol: Protocol, findings: &mut Findings<'_>) -> bool {
    let Some(flag) = written.as_ref().filter(|flag| *flag.get_ref()) else { return false };
    if protocol == Protocol::Http {
        findings.refuse(flag.span(), "repair_bare_lf: is for protocol = \"smtp\"");
    }
    true
}
