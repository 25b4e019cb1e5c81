//! How long a connection may make us wait: for a head, for the next request, and for its reading of an answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// From a head's first octet to its last; of a connection's first request, from the connection's beginning.
pub const HEAD: Duration = Duration::from_secs(10);
/// From an answer to the next request.
pub const IDLE: Duration = Duration::from_secs(15);
/// From an answer's first octet that finds no room to its last: whoever reads so slowly holds our memory for nothing.
pub const WRITE: Duration = Duration::from_secs(30);

/// What is waited for of a client that is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// The first request, of which nothing has come.
    First,
    /// The next one, of which nothing has come.
    Next,
    /// The rest of a head.
    Rest,
}

#[derive(Debug, Default)]
pub struct Patience {
    reading: Option<(For, Pin<Box<Sleep>>)>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Nothing has come yet. Whether it is over with waiting; if not, the task is woken when it is.
    pub fn is_over(&mut self, waiting: For, cx: &mut Context<'_>) -> bool {
        let goes_on = match (&self.reading, waiting) {
            (Some((For::First, _)), For::Rest) => true,
            (Some((before, _)), _) => *before == waiting,
            (None, _) => false,
        };
        if !goes_on {
            let patience = if waiting == For::Next { IDLE } else { HEAD };
            let until = Instant::now() + patience;
            match &mut self.reading {
                Some((before, timer)) => {
                    *before = waiting;
                    timer.as_mut().reset(until);
                }
                None => self.reading = Some((waiting, Box::pin(sleep_until(until)))),
            }
        }
        self.reading.as_mut().is_some_and(|(_, timer)| timer.as_mut().poll(cx).is_ready())
    }

    /// A head is whole.
    pub fn heard(&mut self) {
        self.reading = None;
    }

    /// What has come of an attempt to write: the attempt itself, or an error when too many found no room for too long.
    pub fn write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE)));
        timer.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")))
    }

    /// All that was to be written is on its way.
    pub fn said(&mut self) {
        self.writing = None;
    }
}
