//! Which name is looked up next: each by one thread at a time, however many ask for it, and those that are slow never by all threads.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Addresses, or a reason in a few words.
pub type Answer = Result<Vec<IpAddr>, String>;

/// Askers that may wait for one name. Those who gave up don't count, so this is seldom more than a few.
const WAITING: usize = 128;
/// A look-up that took longer was a slow one. Servers that are there answer in less, and who is not there costs a
/// resolver's first retry, 5 seconds, at least.
const PROMPT: Duration = Duration::from_secs(1);
/// Threads that are kept for names that were prompt last time, and as many again for those of which nothing is known yet.
const KEPT: usize = 8;

/// How a name did last time. Of those that wait the first of these is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    Prompt,
    #[default]
    Unknown,
    Slow,
}

#[derive(Debug, Default)]
struct Name {
    standing: Standing,
    /// It had addresses at some time: then it is looked up though nobody waits for it any more, so that it gets out from behind those
    /// that are dead.
    has_answered: bool,
    askers: Vec<oneshot::Sender<Answer>>,
    /// It waits for a thread, or has one.
    is_taken_up: bool,
}

#[derive(Debug, Default)]
struct State {
    names: HashMap<String, Name>,
    prompt: VecDeque<String>,
    unknown: VecDeque<String>,
    slow: VecDeque<String>,
    /// Threads that are at names that were slow, and at those of which nothing was known.
    at_slow: usize,
    at_unknown: usize,
    /// How many may be at slow ones, and at these and unknown ones together.
    most_slow: usize,
    most_unproven: usize,
    is_over: bool,
}

/// The names, and who asks for them.
#[derive(Debug)]
pub struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

impl Board {
    /// With so many threads for these names.
    pub fn new(names: Vec<String>, threads: usize) -> Self {
        // With a thread for each name nobody waits for another.
        let kept = if names.len() > threads { KEPT.min(threads / 4) } else { 0 };
        let names = names.into_iter().map(|name| (name, Name::default())).collect();
        let (most_slow, most_unproven) = (threads - 2 * kept, threads - kept);
        let state = Mutex::new(State { names, most_slow, most_unproven, ..State::default() });
        Self { state, changed: Condvar::new() }
    }

    /// Asks for a name. Errors are reasons, in a few words.
    pub fn ask(&self, name: &str) -> Result<oneshot::Receiver<Answer>, String> {
        let (asker, answer) = oneshot::channel();
        let mut state = self.state();
        let own = state.names.get_mut(name).ok_or("not a name of the configuration")?;
        own.askers.retain(|asker| !asker.is_closed());
        if own.askers.len() >= WAITING {
            return Err("the resolver has too much to do".to_owned());
        }
        own.askers.push(asker);
        let standing = own.standing;
        if !std::mem::replace(&mut own.is_taken_up, true) {
            state.queue(standing).push_back(name.to_owned());
        }
        drop(state);
        self.changed.notify_one();
        Ok(answer)
    }

    /// The name that a thread looks up next; it waits until there is one. None: nobody asks any more.
    pub fn next(&self) -> Option<(String, Standing)> {
        let mut state = self.state();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(next) = state.next() {
                return Some(next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tells all who asked for it what came of a look-up that took so long.
    pub fn done(&self, name: &str, was: Standing, took: Duration, answer: &Answer) {
        let mut state = self.state();
        state.leave(was);
        let Some(own) = state.names.get_mut(name) else { return };
        own.has_answered |= answer.is_ok();
        own.standing = match answer {
            _ if took <= PROMPT => Standing::Prompt,
            // The resolver was slow, and not the name: with dead ones it would wait for as long as those take.
            Ok(_) => Standing::Unknown,
            Err(_) => Standing::Slow,
        };
        own.is_taken_up = false;
        for asker in own.askers.drain(..) {
            // He may have given up meanwhile.
            let _ = asker.send(answer.clone());
        }
        drop(state);
        // This thread goes on by itself, and there may be room for one more.
        self.changed.notify_one();
    }

    /// Nobody asks any more.
    pub fn end(&self) {
        self.state().is_over = true;
        self.changed.notify_all();
    }

    /// Never held while a name is looked up.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, standing: Standing) -> &mut VecDeque<String> {
        match standing {
            Standing::Prompt => &mut self.prompt,
            Standing::Unknown => &mut self.unknown,
            Standing::Slow => &mut self.slow,
        }
    }

    fn next(&mut self) -> Option<(String, Standing)> {
        for standing in [Standing::Prompt, Standing::Unknown, Standing::Slow] {
            while self.has_room(standing)
                && let Some(name) = self.queue(standing).pop_front()
            {
                if self.is_asked_for(&name) {
                    self.begin(standing);
                    return Some((name, standing));
                }
            }
        }
        None
    }

    fn has_room(&self, standing: Standing) -> bool {
        let is_unproven_full = self.at_slow + self.at_unknown >= self.most_unproven;
        match standing {
            Standing::Prompt => true,
            Standing::Unknown => !is_unproven_full,
            Standing::Slow => !is_unproven_full && self.at_slow < self.most_slow,
        }
    }

    /// Whether somebody waits for it still, or will again; if not, it isn't looked up.
    fn is_asked_for(&mut self, name: &str) -> bool {
        let Some(own) = self.names.get_mut(name) else { return false };
        own.askers.retain(|asker| !asker.is_closed());
        own.is_taken_up = own.has_answered || !own.askers.is_empty();
        own.is_taken_up
    }

    fn begin(&mut self, standing: Standing) {
        match standing {
            Standing::Prompt => {}
            Standing::Unknown => self.at_unknown += 1,
            Standing::Slow => self.at_slow += 1,
        }
    }

    fn leave(&mut self, standing: Standing) {
        match standing {
            Standing::Prompt => {}
            Standing::Unknown => self.at_unknown = self.at_unknown.saturating_sub(1),
            Standing::Slow => self.at_slow = self.at_slow.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(board: &Board) -> Option<(String, Standing)> {
        board.state().next()
    }

    #[test]
    fn a_name_has_one_thread_and_one_answer_for_all_who_ask_meanwhile() {
        let board = Board::new(vec!["a.test".into(), "b.test".into()], 2);
        let mut answers: Vec<_> = (0..3).map(|_| board.ask("a.test").unwrap()).collect();
        let (name, was) = taken(&board).unwrap();
        answers.push(board.ask("a.test").unwrap());
        assert!(name == "a.test" && taken(&board).is_none());
        assert!(board.ask("c.test").is_err());
        board.done(&name, was, Duration::ZERO, &Err("gone".into()));
        for answer in &mut answers {
            assert_eq!(answer.try_recv().unwrap(), Err("gone".to_owned()));
        }
        assert!(taken(&board).is_none());
        // Who gave up is asked for no more, and not in the way of who comes next.
        drop(board.ask("a.test").unwrap());
        assert!(taken(&board).is_none());
        let _answer = board.ask("a.test").unwrap();
        assert_eq!(taken(&board), Some(("a.test".to_owned(), Standing::Prompt)));
    }

    #[test]
    fn slow_names_leave_threads_to_new_ones_and_both_to_those_that_were_prompt() {
        let names = |word: &str| (0..40).map(|n| format!("{word}{n}.test")).collect::<Vec<_>>();
        let (slow, new, prompt) = (names("slow"), names("new"), names("prompt"));
        let board = Board::new([&slow[..], &new, &prompt].concat(), 32);
        let mut answers = Vec::new();
        for (names, took, answer) in [(&slow, PROMPT * 2, Err("nobody".into())), (&prompt, PROMPT / 2, Ok(vec![]))] {
            for name in names {
                answers.push(board.ask(name).unwrap());
                let (name, was) = taken(&board).unwrap();
                board.done(&name, was, took, &answer);
            }
        }
        let mut began = |names: &[String]| {
            answers.extend(names.iter().map(|name| board.ask(name).unwrap()));
            std::iter::from_fn(|| taken(&board)).collect::<Vec<_>>()
        };
        let at_slow = began(&slow);
        assert_eq!((at_slow.len(), began(&new).len(), began(&prompt).len()), (16, 8, 40));
        // As one slow name ends the next new one is looked up before the next slow one.
        board.done(&at_slow[0].0, at_slow[0].1, PROMPT * 2, &Err("nobody".into()));
        assert_eq!(taken(&board).unwrap().1, Standing::Unknown);
    }

    #[test]
    fn after_an_outage_a_name_that_answered_once_gets_out_from_behind_the_dead_ones() {
        let board = Board::new((0..40).map(|n| format!("a{n}.test")).collect(), 32);
        let look_up = |took: Duration, answer: &Answer| {
            drop(board.ask("a0.test").unwrap());
            taken(&board).map(|(name, was)| {
                board.done(&name, was, took, answer);
                was
            })
        };
        let (here, gone) = (Ok(vec![]), Err("nobody".to_owned()));
        // Nobody waits for it any more, and it never answered.
        assert_eq!(look_up(PROMPT, &here), None);
        let _answer = board.ask("a0.test").unwrap();
        let (name, was) = taken(&board).unwrap();
        board.done(&name, was, PROMPT / 2, &here);
        assert_eq!(look_up(PROMPT * 9, &gone), Some(Standing::Prompt));
        assert_eq!(look_up(PROMPT * 9, &here), Some(Standing::Slow), "it is looked up though nobody waits for it");
        assert_eq!(look_up(PROMPT / 2, &here), Some(Standing::Unknown), "the resolver was slow then, and not the name");
        assert_eq!(look_up(PROMPT / 2, &here), Some(Standing::Prompt));
    }
}
