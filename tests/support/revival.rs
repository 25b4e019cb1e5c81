//! The end of a whole service without a word, and its start on what it left.

use std::net::TcpListener;
use std::time::Duration;

use gatepost::sink::{Options, Sink};
use nix::sys::signal::Signal;

use super::{Service, await_that, processes, spawn};

impl Service {
    /// SIGKILL for all its processes at once. The parent goes first, so that it replaces nobody.
    pub fn kill_all(&mut self) {
        let children = processes::all(self.pid());
        self.signal(Signal::SIGKILL);
        children.iter().for_each(|child| processes::signal(*child, Signal::SIGKILL));
        let _ = self.process.wait();
        await_that("all its processes are gone", || {
            children.iter().all(|child| processes::title(*child).is_none_or(|title| title.is_empty()))
        });
    }

    /// Starts it again in the same folder, with the configuration that stands there now.
    pub fn start_again(&mut self) {
        self.start_again_under(&[]);
    }

    /// As `start_again`, with the words of another program before ours.
    pub fn start_again_under(&mut self, under: &[String]) {
        // What the one before said last is not the word of this one.
        let mut word = [0; 256];
        self.notify.set_nonblocking(true).unwrap();
        while self.notify.recv(&mut word).is_ok() {}
        self.notify.set_nonblocking(false).unwrap();
        self.process = spawn(self.folder.path(), None, under);
        self.await_ready();
    }

    /// Takes its upstream, to be listened to elsewhere. Nothing arrives at the one that stands in its place.
    pub fn take_sink(&mut self) -> Sink {
        let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
        std::mem::replace(&mut self.sink, Sink::start(nowhere, Options::default()))
    }

    /// Waits until `audit verify` finds nothing wrong. Only what passes may be in the way of that: no vault to ask, an end
    /// that is not sealed yet.
    pub fn await_sound(&self, context: &str) {
        const NOT_YET: [Option<i32>; 2] = [Some(2), Some(14)];
        let mut said = String::new();
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while std::time::Instant::now() < deadline {
            let output = self.command(&["audit", "verify"]);
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            match output.status.code() {
                Some(0) => return,
                code => assert!(NOT_YET.contains(&code), "{context}: {code:?}: {said}\n{}", self.log()),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{context}: the log never verified: {said}\n{}", self.log());
    }
}
