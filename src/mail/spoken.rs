//! What a client is told of an upstream's answer, while it waits for it.

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Said};

/// Codes that speak of a message or a recipient. Others speak of a session, and ours is another one.
const OF_A_MESSAGE: [u16; 7] = [450, 451, 452, 550, 552, 553, 554];
/// What stands for those others: the same class, and no more.
const LATER: u16 = 451;
const NEVER: u16 = 554;

/// A reply of SMTP. Its text may have a stranger's words in it: whoever says it makes it plain and cuts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    pub code: u16,
    /// The enhanced status code (RFC 3463).
    pub status: [u16; 3],
    pub text: String,
}

impl Spoken {
    pub fn new(code: u16, status: [u16; 3], text: impl Into<String>) -> Self {
        Self { code, status, text: text.into() }
    }

    /// No upstream of the route can be used.
    pub fn no_route() -> Self {
        Self::new(LATER, [4, 4, 1], "no way to there can be used now, try again later")
    }

    /// Our own login is refused there, which is no fault of whoever is told.
    pub fn no_login() -> Self {
        Self::new(LATER, [4, 7, 0], "the way to there is closed to us now, try again later")
    }

    /// The session with the upstream was lost, and it was not told to deliver anything.
    pub fn lost() -> Self {
        Self::new(LATER, [4, 4, 1], "the way to there was lost before the end, nothing was delivered")
    }

    /// All that the way has for those who wait is taken.
    pub fn busy() -> Self {
        Self::new(LATER, [4, 4, 5], "too many are on the way to there now, try again later")
    }

    /// Its sender kept the way from others for too long, or hardly used it.
    pub fn too_slow() -> Self {
        Self::new(LATER, [4, 4, 1], "it came too slowly and gave its place to others, nothing was delivered")
    }

    /// The upstream was told to deliver, and nobody knows whether it did.
    pub fn unknown() -> Self {
        Self::new(LATER, [4, 4, 2], "no answer came from there, it may have been delivered")
    }

    pub const fn is_positive(&self) -> bool {
        self.code < 300
    }

    pub const fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// What an outcome is to whoever waits for it: the class of the answer, its enhanced code, and its words behind ours.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered(said) => {
                Self::new(250, class(said, 2).unwrap_or([2, 0, 0]), format!("passed on{}", words(said)))
            }
            // What we say of the way ourselves has names and words in it that are for the log.
            Outcome::Deferred(said) if said.code.is_none() && said.is_about("4.4.") => Self::lost(),
            Outcome::Deferred(said) if said.code.is_none() && said.is_about("4.7.") => Self::no_login(),
            Outcome::Deferred(said) => {
                // RFC 5321 section 4.5.3.1.10: 552 to a recipient means too many.
                let code = if said.code == Some(552) { Some(452) } else { said.code };
                Self::new(known(code, 4, LATER), class(said, 4).unwrap_or([4, 0, 0]), format!("not now{}", words(said)))
            }
            Outcome::Failed(said) => Self::new(
                known(said.code, 5, NEVER),
                class(said, 5).unwrap_or([5, 0, 0]),
                format!("refused{}", words(said)),
            ),
            Outcome::Unsendable(said) => Self::new(NEVER, class(said, 5).unwrap_or([5, 0, 0]), said.text.clone()),
            Outcome::Unknown(_) => Self::unknown(),
        }
    }
}

/// Its own code, where that is of this class and of a message.
fn known(code: Option<u16>, class: u16, otherwise: u16) -> u16 {
    code.filter(|code| code / 100 == class && OF_A_MESSAGE.contains(code)).unwrap_or(otherwise)
}

/// Its enhanced code, in this class: a 552 that is to be taken as temporary has one of another.
fn class(said: &Said, class: u16) -> Option<[u16; 3]> {
    let mut parts = said.enhanced.as_deref()?.split('.').map(str::parse::<u16>);
    let (Some(Ok(_)), Some(Ok(subject)), Some(Ok(detail)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    (subject < 1000 && detail < 1000).then_some([class, subject, detail])
}

fn words(said: &Said) -> String {
    match (said.code, said.text.as_str()) {
        (_, "") => String::new(),
        (Some(_), text) if !said.host.is_empty() => format!(", the next host said: {text}"),
        (_, text) => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, enhanced: &str, text: &str) -> Said {
        let enhanced = (!enhanced.is_empty()).then(|| enhanced.to_owned());
        Said { code: Some(code), enhanced, text: text.into(), host: "mx".into(), ..Said::default() }
    }

    #[test]
    fn an_answer_keeps_its_class_and_its_enhanced_code_and_never_speaks_of_our_session() {
        for (outcome, code, status) in [
            (Outcome::Delivered(said(250, "2.0.0", "queued as 4F")), 250, [2, 0, 0]),
            (Outcome::Failed(said(550, "5.1.1", "unknown")), 550, [5, 1, 1]),
            (Outcome::Failed(said(551, "5.7.1", "elsewhere")), 554, [5, 7, 1]),
            (Outcome::Failed(said(571, "", "no")), 554, [5, 0, 0]),
            (Outcome::Deferred(said(450, "4.2.1", "later")), 450, [4, 2, 1]),
            (Outcome::Deferred(said(421, "4.3.2", "closing")), 451, [4, 3, 2]),
            (Outcome::Deferred(said(552, "5.5.3", "too many")), 452, [4, 5, 3]),
            (Outcome::Deferred(said(451, "4.x.1", "odd")), 451, [4, 0, 0]),
            (Outcome::Deferred(Said::default()), 451, [4, 0, 0]),
            (Outcome::Deferred(Said { code: None, ..said(0, "4.4.2", "mx1.internal: DATA: lost") }), 451, [4, 4, 1]),
            (Outcome::Deferred(Said { code: None, ..said(0, "4.7.0", "mx1.internal: 530") }), 451, [4, 7, 0]),
            (Outcome::Unknown(said(250, "2.0.0", "two answers")), 451, [4, 4, 2]),
        ] {
            let spoken = Spoken::of(&outcome);
            assert_eq!((spoken.code, spoken.status), (code, status), "{outcome:?}");
            assert!(!spoken.text.contains("internal"), "{spoken:?}");
        }
        assert_eq!(Spoken::of(&Outcome::Failed(said(550, "", "no"))).text, "refused, the next host said: no");
        assert_eq!(
            Spoken::of(&Outcome::Deferred(Said { text: "ours".into(), ..Said::default() })).text,
            "not now: ours"
        );
    }
}
