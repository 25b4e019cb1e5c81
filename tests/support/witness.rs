//! A witness for tests, written from C2SP tlog-witness: over TLS, one connection for each request. It checks the log's
//! signature and the proof, remembers the last head, and cosigns.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost::merkle::Hash;
use gatepost::merkle::note::{SIGNATURE, Verifier, key_id, write_vkey};
use gatepost::merkle::proof::is_consistent;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, Pair};

const NAME: &str = "witness.test/w1";
/// Signature type of a timestamped Ed25519 cosignature.
const KIND: u8 = 4;

/// What the witness knows and does.
#[derive(Default)]
pub struct State {
    /// The key of the log; it knows none before.
    pub log: Option<Verifier>,
    /// The last head it cosigned.
    pub held: Option<(u64, Hash)>,
    /// Status and old size of each answer so far.
    pub answers: Vec<(u16, u64)>,
    /// It takes requests and says nothing.
    pub silent: bool,
}

pub struct Witness {
    pub port: u16,
    pub pair: Pair,
    pub state: Arc<Mutex<State>>,
    key: Arc<Ed25519KeyPair>,
}

impl Witness {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (pair, state) = (Pair::ecdsa(), Arc::new(Mutex::new(State::default())));
        let key = Arc::new(Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap());
        let (config, shared, signer) = (pair.server(), Arc::clone(&state), Arc::clone(&key));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (config, state, key) = (Arc::clone(&config), Arc::clone(&shared), Arc::clone(&signer));
                std::thread::spawn(move || serve(socket, config, &state, &key));
            }
        });
        Self { port, pair, state, key }
    }

    /// Its verifier key.
    pub fn vkey(&self) -> String {
        write_vkey(NAME, KIND, &public(&self.key))
    }

    /// The statuses of its answers since the last time.
    pub fn statuses(&self) -> Vec<u16> {
        std::mem::take(&mut self.state.lock().unwrap().answers).into_iter().map(|(status, _)| status).collect()
    }

    pub fn size(&self) -> u64 {
        self.state.lock().unwrap().held.map_or(0, |(size, _)| size)
    }
}

fn public(key: &Ed25519KeyPair) -> [u8; 32] {
    key.public_key().as_ref().try_into().unwrap()
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, state: &Mutex<State>, key: &Ed25519KeyPair) -> Option<()> {
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let stream = StreamOwned::new(ServerConnection::new(config).ok()?, socket);
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let wanted = line.starts_with("POST /log/add-checkpoint HTTP/1.1");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    if state.lock().unwrap().silent {
        // Until the other side has had enough.
        let _ = reader.read(&mut [0]);
        return None;
    }
    let (status, kind, text) = if wanted { answer(&body, state, key) } else { (405, "text/plain", String::new()) };
    let stream = reader.get_mut();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", text.len());
    stream.write_all(format!("{head}{text}").as_bytes()).ok()?;
    stream.flush().ok()
}

fn answer(body: &str, state: &Mutex<State>, key: &Ed25519KeyPair) -> (u16, &'static str, String) {
    let mut state = state.lock().unwrap();
    let (old, answer) = judge(body, &mut state, key);
    let (status, kind, text) = answer;
    state.answers.push((status, old));
    (status, kind, text)
}

fn judge(body: &str, state: &mut State, key: &Ed25519KeyPair) -> (u64, (u16, &'static str, String)) {
    let plain = |status: u16, text: &str| (status, "text/plain", text.to_owned());
    let Some((head, note)) = body.split_once("\n\n") else { return (0, plain(400, "no empty line")) };
    let mut lines = head.lines();
    let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(|old| old.parse().ok());
    let Some(old) = old else { return (0, plain(400, "no old size")) };
    let proof: Option<Vec<Hash>> = lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect();
    let Some(proof) = proof.filter(|proof| proof.len() <= 63) else { return (old, plain(400, "no proof")) };
    let Some(log) = &state.log else { return (old, plain(404, "this log is unknown")) };
    let Ok(checkpoint) = log.checkpoint(note) else { return (old, plain(403, "no signature of the log")) };
    if old > checkpoint.size {
        return (old, plain(400, "old is larger"));
    }
    let (held, root) = state.held.unwrap_or((0, gatepost::merkle::empty_root()));
    if old != held {
        return (old, (409, "text/x.tlog.size", format!("{held}\n")));
    }
    if old == 0 && !proof.is_empty() || !is_consistent(old, &root, checkpoint.size, &checkpoint.root, &proof) {
        return (old, plain(422, "the proof does not verify"));
    }
    state.held = Some((checkpoint.size, checkpoint.root));
    let (text, _) = note.split_once("\n\n").unwrap();
    let time: u64 = 1_800_000_000;
    let signature = key.sign(format!("cosignature/v1\ntime {time}\n{text}\n").as_bytes());
    let octets = [&key_id(NAME, KIND, &public(key))[..], &time.to_be_bytes(), signature.as_ref()].concat();
    (old, (200, "text/plain", format!("{SIGNATURE}{NAME} {}\n", STANDARD.encode(octets))))
}
