//! The sink: takes every message that comes by SMTP and throws it away, counted. It offers pipelining, and is as quick as can be, or
//! as late with each answer as one who is far away.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// As long as the slowest contestant may take for a round.
const PATIENCE: Duration = Duration::from_secs(600);
/// What comes later than this behind the last one isn't waited for. The auditors' files are written once in a second.
const AFTERMATH: Duration = Duration::from_secs(2);

pub struct Drain {
    pub port: u16,
    taken: Arc<AtomicU32>,
}

impl Drain {
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, Duration::ZERO)
    }

    /// At an address of loopback. Whatever it writes it writes so much later, as if that was a round trip.
    pub fn start_at(address: Ipv4Addr, late: Duration) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let (port, taken) = (listener.local_addr().unwrap().port(), Arc::<AtomicU32>::default());
        let counter = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                thread::spawn(move || {
                    // A client that hangs up in the middle has ended its session, and that is all.
                    let _ = serve(stream, &counter, late);
                });
            }
        });
        Self { port, taken }
    }

    pub fn count(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn await_count(&self, count: u32) {
        let began = Instant::now();
        while self.count() < count {
            assert!(began.elapsed() < PATIENCE, "only {} of {count} messages came", self.count());
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The count when nothing more comes.
    pub fn settled_count(&self) -> u32 {
        thread::sleep(AFTERMATH);
        self.count()
    }
}

fn serve(stream: TcpStream, taken: &AtomicU32, late: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut stream) = (BufReader::with_capacity(64 * 1024, stream.try_clone()?), stream);
    let mut say = |octets: &[u8]| {
        thread::sleep(late);
        stream.write_all(octets)
    };
    say(b"220 sink.example ESMTP\r\n")?;
    let (mut line, mut answers) = (Vec::new(), Vec::new());
    loop {
        // What was pipelined is answered in one write.
        if reader.buffer().is_empty() && !answers.is_empty() {
            say(&answers)?;
            answers.clear();
        }
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"EHLO" => answers
                .extend_from_slice(b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n"),
            b"DATA" => {
                answers.extend_from_slice(b"354 go on\r\n");
                say(&answers)?;
                answers.clear();
                skip_content(&mut reader)?;
                taken.fetch_add(1, Ordering::Relaxed);
                answers.extend_from_slice(b"250 2.0.0 taken\r\n");
            }
            b"QUIT" => {
                answers.extend_from_slice(b"221 2.0.0 bye\r\n");
                return say(&answers);
            }
            _ => answers.extend_from_slice(b"250 2.0.0 yes\r\n"),
        }
    }
}

/// Reads up to the line that is a dot.
fn skip_content(reader: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(());
        }
    }
}
