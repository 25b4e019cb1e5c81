//! Packet channels: one message at a time, each with at most one descriptor.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::frame::{self, MAX_FRAME};
use crate::sys::descriptor;

/// One received message and the descriptor that came with it. None when there was none, and also when there was no room for
/// it or there were too many: those are closed, and who expected one counts it as lost.
#[derive(Debug)]
pub struct Packet<T> {
    pub message: T,
    pub descriptor: Option<OwnedFd>,
}

/// What a receive can end in, short of an I/O error.
#[derive(Debug)]
pub enum Arrival<T> {
    Packet(Packet<T>),
    /// Truncated, or not of this conversation: dropped, to be counted, never fatal.
    Dropped,
    Closed,
}

/// A packet channel before the process has a runtime: each call waits.
#[derive(Debug)]
pub struct Blocking<Tx, Rx> {
    socket: OwnedFd,
    says: PhantomData<fn(Tx) -> Rx>,
}

impl<Tx: Serialize, Rx: DeserializeOwned> Blocking<Tx, Rx> {
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, says: PhantomData }
    }

    pub fn send(&self, message: &Tx, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        descriptor::send(self.socket.as_fd(), &frame::encode(message)?, descriptor)
    }

    pub fn receive(&self) -> io::Result<Arrival<Rx>> {
        arrive(self.socket.as_fd())
    }

    /// As `receive`, but says `WouldBlock` instead of waiting.
    pub fn receive_now(&self) -> io::Result<Arrival<Rx>> {
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.receive(),
        }
    }

    /// The same channel inside a runtime.
    pub fn into_async(self) -> io::Result<Packets<Tx, Rx>> {
        Packets::new(self.socket)
    }
}

impl<Tx, Rx> AsFd for Blocking<Tx, Rx> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A packet channel inside a runtime.
#[derive(Debug)]
pub struct Packets<Tx, Rx> {
    socket: AsyncFd<OwnedFd>,
    says: PhantomData<fn(Tx) -> Rx>,
}

impl<Tx: Serialize, Rx: DeserializeOwned> Packets<Tx, Rx> {
    /// Needs the runtime it is to live in.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { socket: descriptor::watch(socket)?, says: PhantomData })
    }

    pub async fn send(&self, message: &Tx, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = frame::encode(message)?;
        self.socket.async_io(Interest::WRITABLE, |socket| descriptor::send(socket.as_fd(), &bytes, descriptor)).await
    }

    /// As `send`, but says `WouldBlock` instead of waiting for room.
    pub fn try_send(&self, message: &Tx, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = frame::encode(message)?;
        descriptor::send(self.socket.get_ref().as_fd(), &bytes, descriptor)
    }

    pub async fn receive(&self) -> io::Result<Arrival<Rx>> {
        self.socket.async_io(Interest::READABLE, |socket| arrive(socket.as_fd())).await
    }
}

fn arrive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Arrival<T>> {
    let mut buffer = [0u8; MAX_FRAME];
    let mut received = match descriptor::receive(socket, &mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Arrival::Closed),
        other => other?,
    };
    if received.length == 0 && received.descriptors.is_empty() && !received.truncated {
        return Ok(Arrival::Closed);
    }
    // A message that was cut does not decode: its length is part of its shape.
    let Ok(message) = frame::decode(buffer.get(..received.length).unwrap_or_default()) else {
        return Ok(Arrival::Dropped);
    };
    let descriptor =
        if received.truncated || received.descriptors.len() > 1 { None } else { received.descriptors.pop() };
    Ok(Arrival::Packet(Packet { message, descriptor }))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn a_descriptor_arrives_with_its_message() {
        let (left, right) = pair();
        let (left, right): (Blocking<u32, u32>, Blocking<u32, u32>) = (Blocking::new(left), Blocking::new(right));
        let (gift, kept) = pair();
        left.send(&7, Some(gift.as_fd())).unwrap();
        drop(gift);
        let Arrival::Packet(packet) = right.receive().unwrap() else { panic!("no packet") };
        assert_eq!(packet.message, 7);
        let gift = packet.descriptor.unwrap();
        descriptor::send(gift.as_fd(), b"through", None).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(descriptor::receive(kept.as_fd(), &mut buffer).unwrap().length, 7);
    }

    #[test]
    fn more_than_one_descriptor_is_none_and_all_are_closed_however_many_there_are() {
        use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
        for count in [2, 3, 60, 250] {
            let (left, right) = pair();
            let right: Blocking<u32, u32> = Blocking::new(right);
            let (gift, kept) = pair();
            let raw = vec![gift.as_raw_fd(); count];
            let rights = [ControlMessage::ScmRights(&raw)];
            let bytes = frame::encode(&7u32).unwrap();
            sendmsg::<()>(left.as_raw_fd(), &[io::IoSlice::new(&bytes)], &rights, MsgFlags::empty(), None).unwrap();
            drop(gift);
            let Arrival::Packet(packet) = right.receive().unwrap() else { panic!("no packet with {count}") };
            assert!(packet.descriptor.is_none(), "{count}");
            // Every copy is closed: otherwise the other side would not read an end, but wait for ever.
            assert_eq!(descriptor::receive(kept.as_fd(), &mut [0; 8]).unwrap().length, 0, "{count}");
            drop(left);
            assert!(matches!(right.receive().unwrap(), Arrival::Closed), "{count}");
        }
    }
}
