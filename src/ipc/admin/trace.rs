//! The command that follows sessions of SMTP while they happen. It goes on until its connection closes.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ipc::trace::Told;

/// Which sessions: those of which all holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Who has logged in, or tries to.
    pub credential: Option<String>,
    /// Where the client is.
    pub address: Option<IpNet>,
    pub session: Option<Uuid>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// From now on sessions are followed.
    Begun,
    Line {
        /// In microseconds since 1970.
        time_us: u64,
        session: Uuid,
        what: What,
    },
    /// So many lines were not given, because they were not read as fast as they came.
    LeftOut(u64),
    /// The service stops, and with it all that could be followed.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// It is followed from here on; whose it is, as far as that is known.
    Met {
        address: SocketAddr,
        listener: String,
        credential: Option<String>,
    },
    /// Somebody has logged in.
    Known {
        credential: String,
    },
    Told(Told),
    /// It is over. The word, where the vault ended it.
    Over {
        violation: Option<String>,
    },
}
