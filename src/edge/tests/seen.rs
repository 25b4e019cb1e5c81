//! What a stand-in for the vault has seen.

use crate::ipc::session::Via;
use crate::ipc::trace::Told;
use crate::mail::dsn::Wish;
use crate::mail::envelope::Manner;
use crate::mail::facts::Facts;
use crate::mail::id::MessageId;
use crate::policy::certificate::Presented;
use crate::policy::refusal::Refusal;

#[derive(Clone, Debug)]
pub struct Kept {
    pub sender: String,
    pub recipients: Vec<String>,
    /// What each of them is to be told.
    pub wishes: Vec<Wish>,
    pub manner: Manner,
    pub content: String,
    /// The same, as it came.
    pub octets: Vec<u8>,
    pub facts: Facts,
    pub helo: String,
}

/// What it was told.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub kept: Vec<Kept>,
    pub logins: Vec<(String, String)>,
    /// Shown by clients that log in.
    pub certificates: Vec<Box<Presented>>,
    /// Sender, recipient and why.
    pub turned: Vec<(Option<String>, Option<String>, Refusal)>,
    /// What was wrong with their form.
    pub flaws: Vec<String>,
    pub opened: usize,
    pub ways: Vec<Via>,
    pub closed: usize,
    pub aborted: usize,
    pub asked: Vec<MessageId>,
    /// Recipients of live messages.
    pub asked_for: Vec<String>,
    pub told: Vec<Told>,
    pub frames: usize,
    pub out_of_turn: Vec<String>,
}
