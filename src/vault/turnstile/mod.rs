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

use tokio::sync::{mpsc::UnboundedSender, oneshot};
use tokio::time::{sleep, timeout};

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
use pace::Pace;

/// How long the courier has: it gives itself five seconds.
const ANSWER: Duration = Duration::from_secs(8);
/// Questions of one credential that are under way at a time, and those of one network, as each of `Tier::PLACES` has it: an address,
/// its neighbourhood and a wide one, so that who has many addresses has no more for it. What all may have, the courier has places for.
const OF_ONE: u64 = 24;
const FROM_ONE: [u64; 3] = [4, 8, 12];
const OF_ALL: u64 = 32;
/// How long one waits whose places are taken, and how often it looks: most answers take less than that.
const QUEUE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);
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
    let address = Some(sender.address).filter(|_| sender.listener.knows_addresses());
    let places =
        places(vault, credential, address).await.map_err(|tier| Unproven::limited(credential, tier, AT_ONCE))?;
    let paid = vault.turnstile.pace.pay(credential, address, Instant::now());
    paid.map_err(|tier| Unproven::limited(credential, tier, RATE))?;
    let answer = question(vault, token, address, places).await;
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

/// What a question counts as until it is answered. Where that is taken it waits a little: visitors who come together each have their
/// turn. All of its places or none: who waits for those of his network keeps nobody elsewhere from his own.
async fn places(vault: &Vault, credential: &str, address: Option<IpAddr>) -> Result<Vec<Share>, Tier> {
    let (bounds, until) = (bounds(credential, address), Instant::now() + QUEUE);
    loop {
        match seize(&vault.turnstile.places, &bounds) {
            Err(_) if Instant::now() < until => sleep(LOOK).await,
            seized => return seized,
        }
    }
}

/// Whose they are, how many of them there may be, and the tier that has so many.
type Bound = (String, u64, Tier);

fn bounds(credential: &str, address: Option<IpAddr>) -> Vec<Bound> {
    let near = address.into_iter().flat_map(|address| {
        let networks = Tier::PLACES.into_iter().zip(FROM_ONE);
        networks.filter_map(move |(tier, most)| Some((format!("{credential} {}", tier.network(address)?), most, tier)))
    });
    let others = [(credential.to_owned(), OF_ONE, Tier::Credential), (String::new(), OF_ALL, Tier::Global)];
    near.chain(others).collect()
}

/// One place of each, now. Errors: the first of them that has none.
fn seize(places: &Rc<Shares>, bounds: &[Bound]) -> Result<Vec<Share>, Tier> {
    let place = |(of, most, tier): &Bound| {
        let mut place = places.share(of);
        place.grow(1, *most).map(|()| place).map_err(|_| *tier)
    };
    bounds.iter().map(place).collect()
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
    fn who_has_many_addresses_has_no_more_questions_for_it_and_leaves_others_theirs() {
        let (places, mut held) = (Rc::new(Shares::default()), Vec::new());
        let mut ask = |credential: &str, address: String| {
            let seized = seize(&places, &bounds(credential, Some(address.parse().unwrap())));
            seized.map(|place| held.push(place))
        };
        // Each subnet, then each house of a street, then each street, has its end.
        let mut refused = Vec::new();
        for (house, subnet, host) in (0..8).flat_map(|n| (0..8).flat_map(move |m| (0..6).map(move |k| (n, m, k)))) {
            refused.extend(ask("form", format!("2001:db8:0:{house:x}0{subnet:x}::{host:x}")).err());
        }
        assert_eq!((refused.len(), refused[0], refused[4]), (8 * 8 * 6 - 12, Tier::Address, Tier::Prefix));
        assert_eq!(refused.last(), Some(&Tier::WidePrefix));
        assert_eq!(ask("form", "2001:db8:0:ff00::1".into()), Err(Tier::WidePrefix));
        for n in 0..12 {
            assert_eq!(ask("form", format!("198.51.{}.1", 16 * n)), Ok(()));
        }
        assert_eq!(ask("form", "203.0.113.1".into()), Err(Tier::Credential));
        for n in 0..8 {
            assert_eq!(ask("other", format!("198.51.{}.1", 16 * n)), Ok(()));
        }
        assert_eq!(ask("third", "203.0.113.1".into()), Err(Tier::Global));
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
