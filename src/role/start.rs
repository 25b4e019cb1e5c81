//! A child's first steps: take from the parent what it is to hold, enter the sandbox, say that it is ready.

use std::io;
use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;

use super::{Generation, Instance, Role};
use crate::ipc::control::{ChildEnd, File, Order, Peer, Report};
use crate::ipc::frame;
use crate::ipc::packet::{Arrival, Packet};
use crate::sandbox::{Grounds, Sealed};
use crate::sys::descriptor;

/// The longest slice: far above what the longest credential list needs, far below what would hurt.
const MAX_SLICE: usize = 16 * 1024 * 1024;
/// Which build this is; parent and child must agree, or the program file was replaced between them.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), " protocol 1");

/// Everything a process holds when it begins. Nothing else is open but its log and /dev/null.
#[derive(Debug)]
pub struct Start {
    pub role: Role,
    pub instance: Instance,
    pub generation: Generation,
    /// The zone of an edge, the upstream of a courier or mailer; empty otherwise.
    pub label: String,
    pub grounds: Grounds,
    pub files: Vec<(File, OwnedFd)>,
    pub peers: Vec<(Peer, OwnedFd)>,
    slice: Vec<u8>,
    control: Option<ChildEnd>,
}

impl Start {
    /// Says hello on standard input, which is the control channel, and takes what the parent hands over until `Enter`.
    ///
    /// Errors: the parent closed or said something out of order. Both are bugs or an accident of the parent: exit.
    pub fn receive(role: Role) -> io::Result<Self> {
        let control = ChildEnd::new(descriptor::adopt(0)?);
        control.send(&Report::Hello { role, build: BUILD.to_owned() }, None)?;
        let mut start = Self {
            role,
            instance: Instance(0),
            generation: Generation(0),
            label: String::new(),
            grounds: Grounds::default(),
            files: Vec::new(),
            peers: Vec::new(),
            slice: Vec::new(),
            control: None,
        };
        loop {
            let packet = match control.receive()? {
                Arrival::Packet(packet) => packet,
                Arrival::Dropped => return Err(io::Error::other("the parent's word did not arrive whole")),
                Arrival::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            if start.take(packet)? {
                start.control = Some(control);
                return Ok(start);
            }
        }
    }

    /// Takes one order; true when it is the last.
    fn take(&mut self, packet: Packet<Order>) -> io::Result<bool> {
        match (packet.message, packet.descriptor) {
            (Order::You { role, instance, generation, label, grounds }, None) if role == self.role => {
                (self.instance, self.generation, self.label, self.grounds) = (instance, generation, label, grounds);
            }
            (Order::Slice { part, .. }, None) if self.slice.len() + part.0.len() <= MAX_SLICE => {
                self.slice.extend_from_slice(&part.0);
            }
            (Order::File(file), Some(descriptor)) => self.files.push((file, descriptor)),
            (Order::Peer(peer), Some(descriptor)) => self.peers.push((peer, descriptor)),
            (Order::Enter, None) => return Ok(true),
            (order, _) => {
                return Err(io::Error::other(format!("the parent's order came out of its moment: {order:?}")));
            }
        }
        Ok(false)
    }

    /// The slice of configuration of this role.
    pub fn slice<T: DeserializeOwned>(&self) -> Result<T, String> {
        frame::decode(&self.slice).map_err(|error| format!("the slice of configuration can't be read: {error}"))
    }

    /// Takes one file out of what was handed over.
    pub fn file(&mut self, wanted: &File) -> Result<OwnedFd, String> {
        let found = self.files.iter().position(|(file, _)| file == wanted);
        found.map(|at| self.files.swap_remove(at).1).ok_or_else(|| format!("{wanted:?} was not handed over"))
    }

    /// Says that it is ready and what this kernel could not give. Possible only once, and only when sealed. The control
    /// channel is the role's from here on; a later failure is a log line and an exit.
    pub fn ready(&mut self, sealed: &Sealed) -> Result<ChildEnd, String> {
        let control = self.control.take().ok_or("already said to be ready")?;
        let missing = sealed.missing().to_vec();
        control.send(&Report::Ready { missing }, None).map_err(|error| format!("the parent is gone: {error}"))?;
        Ok(control)
    }

    /// Says why it can't serve, as long as the parent waits for that. False when nobody was told: a log line must do.
    #[must_use]
    pub fn fail(&self, reason: &str) -> bool {
        let report = Report::Failed { reason: reason.to_owned() };
        self.control.as_ref().is_some_and(|control| control.send(&report, None).is_ok())
    }
}
