//! The keyholder over real socket pairs, as the parent and edges see it.

use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustls::SignatureScheme;

use super::handshake::tests::certificate_verify;
use super::keyring::tests::{file, pair};
use super::*;
use crate::ipc::control::{ChildEnd, ParentEnd};
use crate::role::{Generation, Instance, Role};

fn sockets(kind: SockType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

fn sealed() -> Sealed {
    Sealed::for_tests()
}

fn keyring() -> Arc<Keyring> {
    let (chain, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    let mut keyring = Keyring::default();
    keyring.add(3, "gate.pem", file(chain.as_bytes()), file(key.serialize_pem().as_bytes())).unwrap();
    Arc::new(keyring)
}

fn edge(instance: u32) -> Peer {
    Peer {
        talk: Talk::Signing,
        end: End::Answers,
        role: Role::EdgeSmtp,
        instance: Instance(instance),
        generation: Generation(1),
        label: String::new(),
    }
}

fn question(ticket: u32) -> Sign {
    Sign {
        ticket,
        certificate: 3,
        scheme: SignatureScheme::ECDSA_NISTP256_SHA256.into(),
        message: Octets(certificate_verify(&[9; 32])),
    }
}

async fn ask(
    (questions, answers): &mut (channel::Sender<Sign>, channel::Receiver<Signature>),
    question: Sign,
) -> Option<Signature> {
    questions.send(question).await.unwrap();
    answers.receive().await.unwrap()
}

/// A parent with its keyholder, which runs as a task beside it.
fn house(first: (Peer, OwnedFd)) -> (ParentEnd, tokio::task::JoinHandle<()>) {
    let (parent, child) = sockets(SockType::SeqPacket);
    let control = ChildEnd::new(child).into_async().unwrap();
    let keyholder = tokio::spawn(async move { serve(&control, vec![first], keyring(), &sealed()).await });
    (ParentEnd::new(parent), keyholder)
}

#[tokio::test]
async fn edges_come_and_go_and_a_drained_keyholder_stays_for_the_last_one() {
    use std::os::fd::AsFd;
    let (first, far) = sockets(SockType::Stream);
    let (parent, keyholder) = house((edge(1), far));
    let mut first = channel::open(first, &sealed()).unwrap();
    assert!(matches!(ask(&mut first, question(7)).await, Some(Signature::Signed { ticket: 7, .. })));

    let (second, far) = sockets(SockType::Stream);
    parent.send(&Order::Peer(edge(2)), Some(far.as_fd())).unwrap();
    drop(far);
    let mut second = channel::open(second, &sealed()).unwrap();
    assert!(matches!(ask(&mut second, question(8)).await, Some(Signature::Signed { ticket: 8, .. })));

    drop(first);
    parent.send(&Order::Drain, None).unwrap();
    assert!(matches!(ask(&mut second, question(9)).await, Some(Signature::Signed { ticket: 9, .. })));
    drop(second);
    keyholder.await.unwrap();
}

#[tokio::test]
async fn a_question_that_is_no_handshake_is_refused_and_the_channel_lives() {
    let (near, far) = sockets(SockType::Stream);
    let (_parent, _keyholder) = house((edge(1), far));
    let mut channel = channel::open(near, &sealed()).unwrap();
    let forged = Sign { message: Octets(b"a certificate request of mine".to_vec()), ..question(1) };
    assert!(matches!(ask(&mut channel, forged).await, Some(Signature::Refused { ticket: 1, .. })));
    assert!(matches!(ask(&mut channel, question(2)).await, Some(Signature::Signed { ticket: 2, .. })));
}

#[tokio::test]
async fn a_malformed_frame_ends_its_channel_and_no_other() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (bad, far) = sockets(SockType::Stream);
    let (parent, _keyholder) = house((edge(1), far));
    let bad = std::os::unix::net::UnixStream::from(bad);
    bad.set_nonblocking(true).unwrap();
    let mut bad = tokio::net::UnixStream::from_std(bad).unwrap();
    bad.write_all(&[0, 1, 0xff]).await.unwrap();
    assert_eq!(bad.read(&mut [0; 16]).await.unwrap(), 0);

    let (good, far) = sockets(SockType::Stream);
    parent.send(&Order::Peer(edge(2)), Some(std::os::fd::AsFd::as_fd(&far))).unwrap();
    drop(far);
    let mut good = channel::open(good, &sealed()).unwrap();
    assert!(matches!(ask(&mut good, question(3)).await, Some(Signature::Signed { ticket: 3, .. })));
}

#[tokio::test]
async fn the_end_of_the_parent_is_the_end_of_the_keyholder() {
    let (_edge, far) = sockets(SockType::Stream);
    let (parent, keyholder) = house((edge(1), far));
    drop(parent);
    keyholder.await.unwrap();
}
