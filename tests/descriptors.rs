//! Claim: a process whose descriptor table is full loses the connection that it could not take, and nothing else: the
//! channel goes on, nothing leaks, and the next connection comes through. One test, because the limit is the process's own.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use gatepost::ipc::packet::{Arrival, Blocking};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

/// How many descriptors are open: the lowest free number, when there is no gap below it.
fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn rule_s8_a_full_table_loses_one_connection_and_nothing_else() {
    let (left, right) = pair();
    let (left, right): (Blocking<u32, u32>, Blocking<u32, u32>) = (Blocking::new(left), Blocking::new(right));
    let (gift, kept) = pair();
    let before = open();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let mut crowd = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        crowd.push(file);
    }
    left.send(&1, Some(gift.as_fd())).unwrap();
    let Arrival::Packet(lost) = right.receive().unwrap() else { panic!("the message itself came through") };
    assert_eq!((lost.message, lost.descriptor.is_none()), (1, true));
    drop(crowd);
    left.send(&2, Some(gift.as_fd())).unwrap();
    let Arrival::Packet(found) = right.receive().unwrap() else { panic!("the channel goes on") };
    assert_eq!((found.message, found.descriptor.is_some()), (2, true));
    drop((found, gift));
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    assert_eq!(open(), before - 1, "nothing but the gift was closed, and nothing is left over");
    // The other end sees that every copy is closed.
    assert_eq!(nix::unistd::read(&kept, &mut [0; 8]).unwrap(), 0);
}
