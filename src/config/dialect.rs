//! How a listener's SMTP differs from everybody's: what its operator has allowed for the sake of those who need it.

use serde::{Deserialize, Serialize};

use super::file::{self, At};
use super::findings::Findings;
use super::slice::Protocol;

/// The default is SMTP as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// A bare LF in the content of DATA is taken for a line's end.
    pub repair_bare_lf: bool,
}

pub fn plan(written: &file::Listener, protocol: Protocol, findings: &mut Findings<'_>) -> Dialect {
    Dialect { repair_bare_lf: repair_bare_lf(&written.repair_bare_lf, protocol, findings) }
}

fn repair_bare_lf(written: &Option<At<bool>>, protocol: Protocol, findings: &mut Findings<'_>) -> bool {
    let Some(flag) = written.as_ref().filter(|flag| *flag.get_ref()) else { return false };
    if protocol == Protocol::Http {
        findings.refuse(flag.span(), "repair_bare_lf: is for protocol = \"smtp\"");
    }
    true
}
