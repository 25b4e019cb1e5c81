//! Many large messages at once: 50 clients send 25 MiB each, in the same moment. How long until all are accepted, beside what it takes
//! to send the same octets over loopback to as many files and to sync those, in the same run by turns; and how much more memory all
//! processes of the gate have at most, while they accept and while they deliver.
//!
//! While messages are accepted delivery is paused, so that accepting is seen alone; then they are delivered to a sink, and the next
//! round begins with an empty spool. The clients are threads of this process, on the same processors, in both.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::drain::Drain;
use crate::meter::{Meter, memory};
use crate::sender::{Sender, Told, content};
use crate::support::{LIMITS, introduce, median, quick};
use crate::trial::{Service, Setting, free_port};
use crate::{aims, devices};

const CLIENTS: u32 = 50;
const MIB: usize = 1024 * 1024;
const LENGTH: usize = 25 * MIB;
const ROUNDS: usize = 3;
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Times as long as copying and syncing; MiB.
const AIM: f64 = 2.0;
const MEMORY: f64 = 64.0;

pub fn main() {
    introduce("large messages, many at once");
    let (rounds, clients, length) = if quick() { (1, 8, MIB) } else { (ROUNDS, CLIENTS, LENGTH) };
    println!("{clients} messages of {length} octets at once, {rounds} rounds");
    let drain = Drain::start();
    let port = free_port();
    // What is sent has 25 MiB to the octet, and is a little more with what the gate adds.
    let service = Service::start_with(&Setting {
        host: Some(format!("127.0.0.1:{}", drain.port)),
        upstream: "tls = \"none\"\nconnections = 20".to_owned(),
        limits: format!("{LIMITS}\nmax_size = {}", 2 * LENGTH),
        more: devices::listener(port) + &devices::credential("billing", "127.0.0.0/8", "spool"),
        ..Setting::default()
    });
    // What is made once is there before anything is counted.
    assert!(matches!(Sender::enter(port, HERE, "billing").send(&content("billing", 1000)), Told::Taken(_)));
    drain.await_count(1);
    let (before, content) = (memory(service.pid()), content("billing", length));
    println!("all processes have {before:.0} MiB (PSS) before the first");
    let (mut ratios, mut most) = (Vec::new(), before);
    for round in 1..=rounds {
        let copied = copy(service.folder.path(), &content, clients);
        delivery(&service, "pause");
        let delivered = drain.count();
        let accepting = Meter::start(service.pid());
        let (accepted, refused) = send(port, &content, clients);
        let accepting = accepting.stop(clients);
        let delivering = Meter::start(service.pid());
        let began = Instant::now();
        delivery(&service, "resume");
        drain.await_count(delivered + clients - refused);
        let (took, delivering) = (began.elapsed(), delivering.stop(clients));
        let ratio = accepted.as_secs_f64() / copied.as_secs_f64();
        println!(
            "round {round}: copied and synced in {:.2} s ({:.0} MiB/s), accepted in {:.2} s ({:.0} MiB/s), ratio {ratio:.2}, \
             {:.1} s of processor, {:.0} MiB; delivered in {:.2} s, {:.1} s of processor, {:.0} MiB",
            copied.as_secs_f64(),
            speed(length, clients, copied),
            accepted.as_secs_f64(),
            speed(length, clients, accepted),
            accepting.processor * f64::from(clients) / 1000.0,
            accepting.memory,
            took.as_secs_f64(),
            delivering.processor * f64::from(clients) / 1000.0,
            delivering.memory
        );
        if refused > 0 {
            println!("round {round}: {refused} of {clients} were REFUSED: it has no ratio, and no aim is reached");
        }
        ratios.push(if refused > 0 { f64::INFINITY } else { ratio });
        most = most.max(accepting.memory).max(delivering.memory);
    }
    aims::at_most("large: accepting, times as long as copying and syncing", median(&ratios), AIM);
    aims::at_most("large: MiB of memory more", most - before, MEMORY);
    service.stop();
}

fn speed(length: usize, clients: u32, time: Duration) -> f64 {
    length as f64 * f64::from(clients) / MIB as f64 / time.as_secs_f64()
}

pub fn delivery(service: &Service, word: &str) {
    let output = service.command(&["route", word, "sink"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// How long until the last was answered, and how many were refused.
fn send(port: u16, content: &[u8], clients: u32) -> (Duration, u32) {
    let mut senders: Vec<Sender> = (0..clients).map(|_| Sender::enter(port, HERE, "billing")).collect();
    let began = Instant::now();
    let refused = thread::scope(|scope| {
        let sending: Vec<_> = senders
            .iter_mut()
            .map(|sender| {
                scope.spawn(|| match sender.send(content) {
                    Told::Taken(_) => 0,
                    Told::Refused(code) => {
                        println!("refused: {code}");
                        1
                    }
                    Told::Gone => 1,
                })
            })
            .collect();
        sending.into_iter().map(|sending| sending.join().unwrap()).sum()
    });
    (began.elapsed(), refused)
}

/// The same octets over as many connections into as many files, each synced before it is answered.
fn copy(folder: &Path, content: &[u8], clients: u32) -> Duration {
    let place = folder.join("copies");
    fs::create_dir(&place).unwrap();
    let listener = TcpListener::bind((HERE, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let streams: Vec<(TcpStream, TcpStream)> =
        (0..clients).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0)).collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for (number, (mut client, server)) in streams.into_iter().enumerate() {
            let path = place.join(number.to_string());
            scope.spawn(move || keep(server, &path));
            scope.spawn(move || {
                client.write_all(content).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                client.read_exact(&mut [0]).unwrap();
            });
        }
    });
    let took = began.elapsed();
    fs::remove_dir_all(&place).unwrap();
    took
}

fn keep(mut stream: TcpStream, path: &Path) {
    let (mut file, mut buffer) = (File::create(path).unwrap(), vec![0; 64 * 1024]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).unwrap();
    }
    file.sync_all().unwrap();
    stream.write_all(b"x").unwrap();
}
