//! Edge to vault: what an edge has counted at one of its listeners since it last said so, and how much is under way there. Numbers
//! under words of closed sets: nothing of a client, a credential or a message is in it.

use serde::{Deserialize, Serialize};

use super::figures::family::Spread;

/// What was counted at one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub listener: String,
    /// Connections and requests at this moment, in place of what was said before.
    pub open: u64,
    pub under_way: u64,
    /// In addition to what was said before; each once.
    pub counts: Vec<(Count, u64)>,
    /// What requests took from their head to their answer, in microseconds.
    pub took: Vec<(Api, Spread)>,
    /// What was read of the bodies of those that had one, in octets.
    pub bodies: Vec<(Api, Spread)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Count {
    Connection(Met),
    /// A request was answered with that status.
    Answered(Api, Status),
    /// Octets that are no request ended their connection.
    Malformed(Malformed),
    /// A task fell: a defect of this program.
    Fell,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $(($(#[$of:meta])* $one:ident $word:literal))*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$of])* $one),* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$one),*];

            pub const fn word(self) -> &'static str {
                match self { $(Self::$one => $word),* }
            }
        }
    };
}

words! {
    /// What came of a connection at its beginning. One may be begun and fail in its handshake later: that counts as both.
    Met:
    (/// It is served.
     Begun "begun")
    (/// There was no room for it, or for one more of its proxy.
     Crowded "crowded")
    (/// Its PROXY header could not be read or did not come, or there was no room for the client that it named.
     Proxy "proxy_error")
    (/// There is no TLS with it. Who leaves in the middle of a handshake without a word is not counted: checks of a service do.
     Tls "tls_error")
}

words! {
    /// What a request was for.
    Api:
    (V1 "v1")
    (Send "send")
    (Resend "resend")
    (Postmark "postmark")
    (Usesend "usesend")
    (/// `/metrics` and what says whether the gate is well.
     Ops "ops")
    (/// What providers tell of mail.
     Hooks "hooks")
}

words! {
    /// Why octets were no request.
    Malformed:
    (Framing "framing")
    (HeaderSize "header_size")
    (TargetSize "target_size")
    (Method "method")
    (/// The head did not come in time.
     HeaderTimeout "header_timeout")
    (/// The client left in the middle of a head.
     Left "left")
}

/// A status that this program answers with, and 0 for what is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Status(u16);

impl Status {
    /// Every one, with its word.
    pub const ALL: [(Self, &str); 22] = [
        (Self(200), "200"),
        (Self(202), "202"),
        (Self(204), "204"),
        (Self(304), "304"),
        (Self(400), "400"),
        (Self(401), "401"),
        (Self(403), "403"),
        (Self(404), "404"),
        (Self(405), "405"),
        (Self(408), "408"),
        (Self(409), "409"),
        (Self(413), "413"),
        (Self(414), "414"),
        (Self(415), "415"),
        (Self(417), "417"),
        (Self(421), "421"),
        (Self(422), "422"),
        (Self(429), "429"),
        (Self(431), "431"),
        (Self(500), "500"),
        (Self(503), "503"),
        (Self(0), OTHER),
    ];

    pub fn of(code: u16) -> Self {
        if Self::ALL.iter().any(|(known, _)| known.0 == code) { Self(code) } else { Self(0) }
    }

    /// Also of one that came from an edge and that no edge has.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or(OTHER, |(_, word)| word)
    }
}

const OTHER: &str = "other";
