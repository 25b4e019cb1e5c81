//! A log as a busy gate writes it: accepted messages with their personal values, sealed and published.

use std::fs;
use std::ops::Range;
use std::path::Path;

use gatepost::mail::address::Address;
use gatepost::mail::id::MessageId;
use gatepost::merkle::note::Verifier;
use gatepost::sealer::key::LogKey;
use gatepost::secret::Secret;
use gatepost::vault::audit::event::{Event, Field, Name, Outcome};
use gatepost::vault::audit::ledger::{Head, Note, now_us};
use gatepost::vault::audit::publish::Publisher;
use gatepost::vault::master::Master;
use gatepost::vault::store::Store;
use gatepost::vault::store::open::Database;
use gatepost::vault::store::writer::Writer;
use uuid::Uuid;

/// Events of one transaction, and of one seal.
const GROUP: u32 = 1000;

pub fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

/// The event of an acceptance: account, client, name in EHLO, sender and one recipient.
pub fn accepted(number: u32) -> Event {
    let recipient = address(&format!("person{number}@example.org"));
    let event = Event {
        session: Some(Uuid::now_v7()),
        message: Some(MessageId::now()),
        listener: Some("submission".to_owned()),
        tls: Some("TLSv1.3".to_owned()),
        bytes: Some(2048),
        rcpt_count: Some(1),
        ..Event::new(Name::MsgAccept, Outcome::Success)
    };
    let event = event.with(Field::Account, "billing").with(Field::Helo, "client.example.net");
    let event = event.client(std::net::Ipv4Addr::from(0xc000_0200 + number % 65_536).into());
    event.sender(&Some(address("billing@example.net"))).recipients([&recipient])
}

/// The event of a failed login: the claimed account and the client, with what stands for its address. Three commitments.
pub fn refused(number: u32) -> Event {
    let event = Event {
        session: Some(Uuid::now_v7()),
        listener: Some("submission".to_owned()),
        tls: Some("TLSv1.3".to_owned()),
        ..Event::new(Name::AuthFailure, Outcome::Failure)
    };
    event.with(Field::Account, "billing").client(std::net::Ipv4Addr::from(0xc000_0200 + number % 65_536).into())
}

/// Makes the auditors' files of so many events under a directory. Gives the key that they are verified with.
pub fn grow(home: &Path, events: u32, event: fn(u32) -> Event) -> Verifier {
    fs::create_dir_all(home.join("db")).unwrap();
    fs::create_dir_all(home.join("audit")).unwrap();
    let key = LogKey::new("gate.example.net/audit", &Secret::new([9; 32])).unwrap();
    fill(home, &key, None, events, move |store, numbers| store.record(numbers.map(event).collect()));
    key.verifier().clone()
}

/// Has a batch do something that writes events, again and again for so many numbers, each in a transaction, a seal and a publication of
/// its own. Gives the last head. `master` is what wraps the keys of bodies.
pub fn fill(
    home: &Path,
    key: &LogKey,
    master: Option<Master>,
    count: u32,
    batch: impl Fn(&mut Store<'_>, Range<u32>) -> rusqlite::Result<()> + Copy + Send + 'static,
) -> Head {
    let (writer, thread) = Writer::start(Database::open(home).unwrap(), |failure| panic!("{failure}")).unwrap();
    let (publisher, publishing) = Publisher::start(home.to_owned(), writer.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    writer
        .run_blocking(move |store| {
            store.keys.adopt(master.into_iter().collect());
            Ok(())
        })
        .unwrap();
    let mut last = None;
    for from in (0..count).step_by(GROUP as usize) {
        writer.run_blocking(move |store| batch(store, from..(from + GROUP).min(count))).unwrap();
        let head = writer
            .run_blocking(|store| {
                let sealed = store.ledger.last_sealed()?;
                store.ledger.head(sealed)
            })
            .unwrap()
            .expect("the log has grown");
        let note = key.sign(head.size, head.root);
        let note = Note { size: head.size, time_us: now_us(), root: head.root, note };
        writer.run_blocking(move |store| store.ledger.keep_note(&note)).unwrap();
        runtime.block_on(publisher.publish()).unwrap();
        last = Some(head);
    }
    drop((publisher, writer));
    publishing.join().unwrap();
    thread.join().unwrap();
    last.expect("at least one event")
}
