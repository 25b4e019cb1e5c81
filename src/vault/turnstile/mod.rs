//! Whether a person wrote a message: Turnstile is asked of the token that came with it, through the courier that has the site's
//! secret. What it says is believed of this one message and remembered of none: a token is good once.
//!
//! It is asked last, of messages that policy and limits would let go, before anything of them is kept for good. Who asks is a
//! credential that demands it; each question is a connection to Cloudflare, so they are bounded in number and pace.

mod line;
mod pace;

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::{mpsc::UnboundedSender, oneshot};
use tokio::time::timeout;

use super::Vault;
use super::limits::denial::By;
use super::limits::key::{Key, Tier};
use super::sender::Sender;
use super::shares::{Share, Shares};
use crate::ipc::figures::metric::Metric;
use crate::ipc::token::Token;
use crate::ipc::turnstile::Answer;
use crate::log::flood::Flood;
use crate::policy::refusal::Refusal;
use crate::policy::turnstile::Turnstile;
use crate::role::{Generation, Instance};
pub use line::serve;
use pace::{Over, Pace};

/// How long the courier has: it gives itself five seconds.
const ANSWER: Duration = Duration::from_secs(8);
/// Questions of one credential, from one network, that are under way at a time. What all may have, the courier has places for.
const OF_ONE: u64 = 8;
const FROM_ONE: u64 = 4;
const OF_ALL: u64 = 32;
/// What Turnstile can't have made.
const NONE: &str = "gatepost-asks-whether-its-secret-is-known";
/// Seconds until there may be room for another.
const AGAIN: u32 = 1;
/// Words for the limits; what they refuse is told once in this time.
const AT_ONCE: &str = "turnstile_at_once";
const RATE: &str = "turnstile_rate";
const WINDOW_US: u64 = 60_000_000;
/// What questions come to, for whoever watches.
pub const RESULTS: [&str; 3] = ["ok", "failed", "error"];

/// One question, until it is answered or nobody can answer it any more. Its places are held until then: also when nobody waits.
pub struct Question {
    token: Token,
    address: Option<IpAddr>,
    told: oneshot::Sender<Answer>,
    places: Vec<Share>,
}

/// The way to a courier.
struct Line {
    generation: Generation,
    instance: Instance,
    questions: UnboundedSender<Question>,
}

/// Where Turnstile is asked.
#[derive(Default)]
pub struct Desk {
    lines: RefCell<Vec<Line>>,
    places: Rc<Shares>,
    pace: Pace,
    /// That it can't be asked is said, as often as there are lines for it: anybody with such a key can bring that about.
    unanswered: Flood,
}

impl Desk {
    fn join(&self, line: Line) {
        self.lines.borrow_mut().push(line);
    }

    fn leave(&self, instance: Instance) {
        self.lines.borrow_mut().retain(|line| line.instance != instance);
    }

    /// To the courier of the configuration in force; one that is to come with the next isn't asked yet.
    fn put(&self, in_force: Generation, question: Question) -> bool {
        let lines = self.lines.borrow();
        let fit = lines.iter().filter(|line| line.generation <= in_force && !line.questions.is_closed());
        let newest = fit.max_by_key(|line| (line.generation, line.instance));
        newest.is_some_and(|line| line.questions.send(question).is_ok())
    }
}

/// Why a message is not taken, and what is told of that in the log.
#[derive(Debug)]
pub struct Unproven {
    pub refusal: Refusal,
    pub said: Option<String>,
    /// Which limit, when it was one.
    pub by: Option<By>,
}

impl From<Refusal> for Unproven {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, said: None, by: None }
    }
}

impl Unproven {
    /// It was a limit of that tier. Told of once for a credential, however many networks its visitors are from.
    fn limited(credential: &str, tier: Tier, limit: &'static str) -> Self {
        let by = By { key: Key::new(tier, credential), limit, window_us: WINDOW_US };
        Self { by: Some(by), ..Refusal::RateLimited(AGAIN).into() }
    }
}

/// Asks of the token that came with a message of this sender. Gives the host of the page that it was solved on.
pub async fn prove(
    vault: &Vault,
    sender: &Sender,
    demanded: &Turnstile,
    token: Option<Token>,
) -> Result<String, Unproven> {
    let token = token.ok_or(Refusal::TurnstileMissing)?;
    let credential = &sender.credential.id;
    let network = Tier::Address.network(sender.address).filter(|_| sender.listener.knows_addresses());
    let places = places(vault, credential, network)?;
    vault.turnstile.pace.pay(credential, network, Instant::now()).map_err(|over| {
        let tier = match over {
            Over::Network => Tier::Address,
            Over::Credential => Tier::Credential,
        };
        Unproven::limited(credential, tier, RATE)
    })?;
    let answer = ask(vault, token, sender, places).await;
    let [ok, failed, error] = RESULTS;
    let (result, proven) = match &answer {
        Answer::Solved { hostname, action } => match demanded.takes(hostname, action) {
            Ok(()) => (ok, Ok(hostname.clone())),
            Err(refusal) => (failed, Err(refusal)),
        },
        Answer::Refused { .. } => (failed, Err(Refusal::TurnstileRefused)),
        Answer::Unknown { .. } | Answer::Failed { .. } => (error, Err(Refusal::TurnstileUnavailable)),
    };
    vault.writer.tally().add(Metric::TurnstileVerifications, [result, ""], 1);
    if result == error {
        warn(vault, credential, &answer);
    }
    proven.map_err(|refusal| Unproven { said: Some(answer.to_string()), ..refusal.into() })
}

/// What a question counts as until it is answered.
fn places(vault: &Vault, credential: &str, network: Option<IpNet>) -> Result<Vec<Share>, Unproven> {
    let near = network.map(|network| (format!("{credential} {network}"), FROM_ONE, Tier::Address));
    let others = [(credential.to_owned(), OF_ONE, Tier::Credential), (String::new(), OF_ALL, Tier::Global)];
    let bounds = near.into_iter().chain(others);
    let place = |(of, most, tier): (String, u64, Tier)| {
        let mut place = vault.turnstile.places.share(&of);
        place.grow(1, most).map(|()| place).map_err(|_| Unproven::limited(credential, tier, AT_ONCE))
    };
    bounds.map(place).collect()
}

async fn ask(vault: &Vault, token: Token, sender: &Sender, places: Vec<Share>) -> Answer {
    let address = Some(sender.address).filter(|_| sender.listener.knows_addresses());
    question(vault, token, address, places).await
}

/// What the courier says of a token; that nobody says anything is an answer too.
async fn question(vault: &Vault, token: Token, address: Option<IpAddr>, places: Vec<Share>) -> Answer {
    let failed = |reason: &str| Answer::Failed { reason: reason.to_owned() };
    if !vault.authority.borrow().slice.turnstile {
        return failed("[turnstile] is not configured");
    }
    let (told, answer) = oneshot::channel();
    let in_force = vault.authority.borrow().generation();
    if !vault.turnstile.put(in_force, Question { token, address, told, places }) {
        return failed("its courier is away");
    }
    match timeout(ANSWER, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => failed("its courier went away meanwhile"),
        Err(_) => failed("its courier gave no answer in time"),
    }
}

/// Asks of a token that is none, for an administrator. What is said of it, and whether that is what should be said.
pub async fn probe(vault: &Vault) -> (Answer, bool) {
    let answer = match Token::new(NONE) {
        Some(token) => question(vault, token, None, Vec::new()).await,
        None => Answer::Failed { reason: String::new() },
    };
    let is_good = matches!(answer, Answer::Refused { .. });
    (answer, is_good)
}

fn warn(vault: &Vault, account: &str, answer: &Answer) {
    let further =
        |messages| tracing::warn!(messages, "Turnstile can't be asked: further messages, not told one by one");
    if !vault.turnstile.unanswered.has_line(further) {
        return;
    }
    match answer {
        Answer::Unknown { codes } => {
            tracing::error!(
                account,
                codes,
                "Turnstile does not know our secret: put the site's into secret_file, and reload"
            );
        }
        other => tracing::warn!(account, why = %other, "Turnstile can't be asked: messages are refused"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn asked() -> Question {
        let (told, _) = oneshot::channel();
        Question { token: Token::new("token").unwrap(), address: None, told, places: Vec::new() }
    }

    #[test]
    fn the_courier_has_a_place_for_each_question() {
        assert_eq!(u64::try_from(crate::ipc::turnstile::MAX_ASKS), Ok(OF_ALL));
    }

    #[test]
    fn the_newest_courier_of_the_configuration_in_force_is_asked() {
        let desk = Desk::default();
        assert!(!desk.put(Generation(1), asked()), "nobody is there");
        let mut heard = Vec::new();
        for (generation, instance) in [(1, 10), (2, 11), (1, 12)] {
            let (questions, hears) = unbounded_channel();
            desk.join(Line { generation: Generation(generation), instance: Instance(instance), questions });
            heard.push(hears);
        }
        let mut asks = |in_force: u32| {
            assert!(desk.put(Generation(in_force), asked()));
            heard.iter_mut().position(|hears| hears.try_recv().is_ok())
        };
        // The one that replaced it, before the next configuration is in force.
        assert_eq!((asks(1), asks(2), asks(3)), (Some(2), Some(1), Some(1)));
        desk.leave(Instance(11));
        assert_eq!(asks(2), Some(2));
        heard.clear();
        assert!(!desk.put(Generation(2), asked()), "they are gone");
    }
}
