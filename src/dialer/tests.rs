//! The dialer over real socket pairs, with listeners on loopback.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Instant;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::*;
use crate::config::slice::Family;
use crate::ipc::control::Report;
use crate::ipc::packet::Blocking;
use crate::role::link::End;
use crate::role::{Generation, Instance, Role};

type CourierEnd = Blocking<Dial, Dialed>;
type ParentEnd = Blocking<Order, Report>;

fn pair() -> (OwnedFd, OwnedFd) {
    let (left, right) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    for end in [&left, &right] {
        setsockopt(end, sockopt::ReceiveTimeout, &TimeVal::seconds(20)).unwrap();
    }
    (left, right)
}

fn courier_of(upstream: &str) -> Peer {
    Peer {
        talk: Talk::Dialing,
        end: End::Answers,
        role: Role::Courier,
        instance: Instance(9),
        generation: Generation(1),
        label: upstream.to_owned(),
    }
}

/// A dialer on a thread of its own, which plays the process.
struct Running {
    control: ParentEnd,
    thread: thread::JoinHandle<Result<(), String>>,
}

fn run(upstreams: Vec<(&str, Vec<(&str, u16)>)>) -> Running {
    run_with(upstreams, Vec::new())
}

/// With the hosts of token endpoints.
fn run_with(upstreams: Vec<(&str, Vec<(&str, u16)>)>, endpoints: Vec<(&str, Vec<(&str, u16)>)>) -> Running {
    let (parent, child) = pair();
    let destination = |(name, hosts): (&str, Vec<(&str, u16)>)| Destination {
        name: name.to_owned(),
        hosts: hosts.into_iter().map(|(host, port)| (host.to_owned(), port)).collect(),
        family: match name.chars().last() {
            Some('6') => Family::Ipv6,
            Some('4') => Family::Ipv4,
            _ => Family::Any,
        },
        sources: match name {
            "from" => vec![Ipv4Addr::new(127, 0, 0, 77).into()],
            "from-another-family" => vec![std::net::Ipv6Addr::LOCALHOST.into()],
            // A network for documents: no machine has it.
            "from-nowhere" => vec![Ipv4Addr::new(192, 0, 2, 77).into()],
            _ => Vec::new(),
        },
    };
    let slice = DialerSlice {
        upstreams: upstreams.into_iter().map(destination).collect(),
        token_endpoints: endpoints.into_iter().map(destination).collect(),
        connect: Duration::from_secs(1),
    };
    let thread = thread::spawn(move || {
        let directory = Directory::open(slice, lookup)?;
        let sealed = Sealed::for_tests();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { serve(ChildPackets::new(child).unwrap(), vec![], directory, &sealed).await })
    });
    Running { control: ParentEnd::new(parent), thread }
}

impl Running {
    fn courier(&self, upstream: &str) -> CourierEnd {
        let (ours, theirs) = pair();
        self.control.send(&Order::Peer(courier_of(upstream)), Some(theirs.as_fd())).unwrap();
        CourierEnd::new(ours)
    }
}

/// Names of the tests; the others go to the system's resolver.
fn lookup(name: &str) -> std::io::Result<Vec<IpAddr>> {
    match name {
        "slow.test" => {
            thread::sleep(Duration::from_secs(3));
            Err(std::io::Error::other("slow"))
        }
        "mail.test" => Ok(vec![Ipv4Addr::LOCALHOST.into()]),
        // The first address has no listener: connections to it are refused.
        "two-addresses.test" => Ok(vec![Ipv4Addr::new(127, 0, 0, 99).into(), Ipv4Addr::LOCALHOST.into()]),
        // Nobody listens at the first one, and the second one is of another family.
        "both-families.test" => Ok(vec![Ipv4Addr::new(127, 0, 0, 99).into(), std::net::Ipv6Addr::LOCALHOST.into()]),
        // Many of one family, and then one of the other.
        "many.test" => {
            let many = (0..9).map(|last| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into());
            Ok(many.chain([Ipv4Addr::LOCALHOST.into()]).collect())
        }
        "nowhere.test" => Ok(vec![]),
        other => resolve::system(other),
    }
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port that nobody listens on: bound, so that nothing else takes it, and not listening.
fn refused() -> (OwnedFd, u16) {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let port = getsockname::<SockaddrIn>(socket.as_raw_fd()).unwrap().port();
    (socket, port)
}

fn receive(courier: &CourierEnd) -> (Dialed, Option<OwnedFd>) {
    match courier.receive().unwrap() {
        Arrival::Packet(packet) => (packet.message, packet.descriptor),
        other => panic!("no packet: {other:?}"),
    }
}

fn connected(courier: &CourierEnd) -> (u32, u16, String, TcpStream) {
    match receive(courier) {
        (Dialed::Connected { ticket, index, host, .. }, Some(socket)) => (ticket, index, host, socket.into()),
        other => panic!("not connected: {other:?}"),
    }
}

#[test]
fn a_token_endpoint_is_connected_to_for_the_courier_of_its_upstream_alone() {
    let ((mail, mail_port), (tokens, tokens_port)) = (listener(), listener());
    let hosts = |port| vec![("mail.test", port)];
    let running = run_with(
        vec![("with", hosts(mail_port)), ("without", hosts(mail_port))],
        vec![("with", hosts(tokens_port)), ("nobody", hosts(tokens_port))],
    );
    let (with, without) = (running.courier("with"), running.courier("without"));
    for (whom, listener) in [(Whom::TokenEndpoint, &tokens), (Whom::Upstream, &mail)] {
        with.send(&Dial { ticket: 1, whom, first: 0 }, None).unwrap();
        let (_, _, _, socket) = connected(&with);
        assert_eq!(listener.accept().unwrap().1, socket.local_addr().unwrap());
    }
    without.send(&Dial { ticket: 2, whom: Whom::TokenEndpoint, first: 0 }, None).unwrap();
    let (Dialed::Failed { ticket: 2, reasons }, None) = receive(&without) else { panic!("it was connected") };
    assert_eq!(reasons, ["this upstream has no token endpoint"]);
    tokens.set_nonblocking(true).unwrap();
    assert!(tokens.accept().is_err(), "somebody was connected there");
    // It has no upstream of that name, and so no courier.
    let nobody = running.courier("nobody");
    assert!(
        nobody.send(&Dial { ticket: 3, whom: Whom::TokenEndpoint, first: 0 }, None).is_err()
            || matches!(nobody.receive(), Ok(Arrival::Closed) | Err(_))
    );
}

#[test]
fn a_socket_arrives_connected_and_the_courier_can_speak_through_it() {
    let (listener, port) = listener();
    let running = run(vec![("smarthost", vec![("mail.test", port)])]);
    let courier = running.courier("smarthost");
    courier.send(&Dial { ticket: 7, whom: Whom::Upstream, first: 0 }, None).unwrap();
    let (ticket, index, host, mut socket) = connected(&courier);
    assert_eq!((ticket, index, host.as_str()), (7, 0, "mail.test"));
    assert!(socket.nodelay().unwrap());
    let (mut accepted, _) = listener.accept().unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.write_all(b"through").unwrap();
    let mut seen = [0; 7];
    accepted.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"through");
}

#[test]
fn an_upstream_of_one_family_is_not_reached_by_the_other() {
    let (_listener, port) = listener();
    let running =
        run(vec![("only6", vec![("mail.test", port), ("127.0.0.1", port)]), ("any", vec![("mail.test", port)])]);
    let (only6, any) = (running.courier("only6"), running.courier("any"));
    only6.send(&Dial { ticket: 1, whom: Whom::Upstream, first: 0 }, None).unwrap();
    let (Dialed::Failed { reasons, .. }, None) = receive(&only6) else { panic!("it was reached") };
    let expected = ["mail.test", "127.0.0.1"].map(|host| format!("{host}:{port}: it has no IPv6 address"));
    assert_eq!(reasons, expected);
    any.send(&Dial { ticket: 2, whom: Whom::Upstream, first: 0 }, None).unwrap();
    assert_eq!(connected(&any).0, 2);
}

#[test]
fn an_upstream_sees_its_source_address_or_nobody() {
    let (listener, port) = listener();
    let named = ["from", "from-another-family", "from-nowhere"].map(|name| (name, vec![("mail.test", port)]));
    let running = run(named.to_vec());
    let from = running.courier("from");
    from.send(&Dial { ticket: 1, whom: Whom::Upstream, first: 0 }, None).unwrap();
    assert_eq!(connected(&from).0, 1);
    assert_eq!(listener.accept().unwrap().1.ip(), IpAddr::from(Ipv4Addr::new(127, 0, 0, 77)));
    for (name, why) in [
        ("from-another-family", "127.0.0.1: there is no source_address of its family"),
        ("from-nowhere", "127.0.0.1: from source_address 192.0.2.77: "),
    ] {
        let courier = running.courier(name);
        courier.send(&Dial { ticket: 2, whom: Whom::Upstream, first: 0 }, None).unwrap();
        let (Dialed::Failed { reasons, .. }, None) = receive(&courier) else { panic!("{name}: it was reached") };
        assert!(reasons.len() == 1 && reasons[0].contains(why), "{reasons:?}");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it was connected to from elsewhere");

    // What an operator must know is why the address that was tried didn't answer.
    let running = run(vec![("from", vec![("both-families.test", port)])]);
    let courier = running.courier("from");
    courier.send(&Dial { ticket: 3, whom: Whom::Upstream, first: 0 }, None).unwrap();
    let (Dialed::Failed { reasons, .. }, None) = receive(&courier) else { panic!("it was reached") };
    assert!(reasons[0].contains("127.0.0.99: ") && !reasons[0].contains("source_address of"), "{reasons:?}");
}

#[test]
fn rule_u14_hosts_are_tried_in_order_from_the_first_asked_for_and_a_refusal_leads_to_the_next_at_once() {
    let (_kept, closed) = refused();
    let (_one, one) = listener();
    let (_two, two) = listener();
    let running = run(vec![("u", vec![("127.0.0.1", closed), ("127.0.0.1", one), ("[127.0.0.1]", two)])]);
    let courier = running.courier("u");
    for (first, expected) in [(0, 1), (1, 1), (2, 2), (3, 1), (5, 2)] {
        let begun = Instant::now();
        courier
            .send(&Dial { ticket: first, whom: Whom::Upstream, first: u16::try_from(first).unwrap() }, None)
            .unwrap();
        assert_eq!(connected(&courier).1, expected, "first {first}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}

#[test]
fn rule_u14_the_second_address_of_a_name_is_tried_when_the_first_refuses() {
    let (_listener, port) = listener();
    let running = run(vec![("u", vec![("two-addresses.test", port)])]);
    let courier = running.courier("u");
    courier.send(&Dial { ticket: 1, whom: Whom::Upstream, first: 0 }, None).unwrap();
    assert_eq!(connected(&courier).3.peer_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
}

#[test]
fn an_address_of_the_right_family_is_found_behind_many_of_the_other() {
    let (_listener, port) = listener();
    let running = run(vec![("only4", vec![("many.test", port)])]);
    let courier = running.courier("only4");
    courier.send(&Dial { ticket: 1, whom: Whom::Upstream, first: 0 }, None).unwrap();
    assert_eq!(connected(&courier).0, 1);
}

/// A host that says nothing at all: its queue of connections is full, and one more is not answered.
fn silent() -> (TcpListener, Vec<TcpStream>, u16) {
    let (listener, port) = listener();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let short = Duration::from_millis(200);
    let fill = std::iter::from_fn(|| TcpStream::connect_timeout(&address, short).ok());
    let filled = fill.take(64).collect();
    (listener, filled, port)
}

#[tokio::test(start_paused = true)]
async fn rule_u14_a_host_that_lives_is_reached_behind_any_number_of_silent_ones() {
    let ((_queue, _filled, dead), (_listener, port)) = (silent(), listener());
    let mut hosts = vec![("127.0.0.1".to_owned(), dead); 12];
    hosts.push(("127.0.0.1".to_owned(), port));
    let upstream = Destination { name: "u".into(), hosts, family: Family::Any, sources: Vec::new() };
    let resolvers = Resolvers::start(std::iter::empty(), lookup).unwrap();
    let mut reached = Err(Vec::new());
    // The clock of the test may run ahead of a kernel that is busy.
    for _ in 0..3 {
        reached = connect::reach(&upstream, 0, &resolvers, Duration::from_secs(5)).await;
        if reached.is_ok() {
            break;
        }
    }
    assert_eq!(reached.unwrap().index, 12);
}

#[test]
fn when_no_host_can_be_reached_each_has_its_reason() {
    let (_kept, closed) = refused();
    let hosts = vec![("127.0.0.1", closed), ("nowhere.test", 25), ("no-such-host.invalid", 25)];
    let running = run(vec![("u", hosts)]);
    let courier = running.courier("u");
    courier.send(&Dial { ticket: 3, whom: Whom::Upstream, first: 2 }, None).unwrap();
    let (Dialed::Failed { ticket, reasons }, None) = receive(&courier) else { panic!("not failed") };
    assert_eq!((ticket, reasons.len()), (3, 3));
    assert!(reasons[0].starts_with("no-such-host.invalid:25: "), "{reasons:?}");
    assert!(reasons[1].contains("refused"), "{reasons:?}");
    assert!(reasons[2].contains("no address"), "{reasons:?}");
}

#[test]
fn a_slow_resolver_stops_neither_other_upstreams_nor_the_other_host_of_its_own() {
    let (_listener, port) = listener();
    let running =
        run(vec![("slow", vec![("slow.test", 25), ("mail.test", port)]), ("fast", vec![("mail.test", port)])]);
    let (slow, fast) = (running.courier("slow"), running.courier("fast"));
    let begun = Instant::now();
    for ticket in 0..3 {
        slow.send(&Dial { ticket, whom: Whom::Upstream, first: 0 }, None).unwrap();
    }
    fast.send(&Dial { ticket: 9, whom: Whom::Upstream, first: 0 }, None).unwrap();
    assert_eq!(connected(&fast).0, 9);
    slow.send(&Dial { ticket: 5, whom: Whom::Upstream, first: 1 }, None).unwrap();
    assert_eq!(connected(&slow).0, 5);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // Those that asked for the slow name share one look-up and come through by the second host.
    let mut tickets: Vec<u32> = (0..3).map(|_| connected(&slow).0).collect();
    tickets.sort_unstable();
    assert_eq!(tickets, [0, 1, 2]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn many_dials_at_once_are_all_answered() {
    let (_listener, port) = listener();
    let running = run(vec![("u", vec![("mail.test", port)])]);
    let courier = running.courier("u");
    let mut kept = Vec::new();
    for round in 0..2u32 {
        for ticket in 0..50 {
            courier.send(&Dial { ticket: round * 50 + ticket, whom: Whom::Upstream, first: 0 }, None).unwrap();
        }
        kept.extend((0..50).map(|_| connected(&courier)));
    }
    let mut tickets: Vec<u32> = kept.iter().map(|(ticket, ..)| *ticket).collect();
    tickets.sort_unstable();
    assert_eq!(tickets, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_packet_that_is_no_dial_is_dropped_and_the_next_one_is_answered() {
    let (_listener, port) = listener();
    let running = run(vec![("u", vec![("mail.test", port)])]);
    let courier = running.courier("u");
    crate::sys::descriptor::send(courier.as_fd(), &[0xff; 40], None).unwrap();
    courier.send(&Dial { ticket: 1, whom: Whom::Upstream, first: 0 }, None).unwrap();
    assert_eq!(connected(&courier).0, 1);
}

#[test]
fn a_courier_of_an_unknown_upstream_is_turned_away() {
    let running = run(vec![("u", vec![("mail.test", 1)])]);
    let courier = running.courier("other");
    assert!(matches!(courier.receive().unwrap(), Arrival::Closed));
}

#[test]
fn a_draining_dialer_stays_until_its_last_courier_leaves() {
    let (_listener, port) = listener();
    let running = run(vec![("u", vec![("mail.test", port)])]);
    let courier = running.courier("u");
    running.control.send(&Order::Drain, None).unwrap();
    courier.send(&Dial { ticket: 1, whom: Whom::Upstream, first: 0 }, None).unwrap();
    connected(&courier);
    drop(courier);
    running.thread.join().unwrap().unwrap();
}

#[test]
fn a_dialer_ends_when_its_parent_is_gone() {
    let Running { control, thread } = run(vec![("u", vec![("mail.test", 1)])]);
    drop(control);
    thread.join().unwrap().unwrap();
}
