//! Rows: what is hashed, shown and cut.

use rusqlite::{Connection, params_from_iter};

use super::super::event::{Name, Outcome};
use super::super::ledger::insert_personal;
use super::*;
use crate::mail::address::Address;

fn row(event: Event) -> Row {
    masked(event, Mask::LocalPart)
}

fn masked(event: Event, mask: Mask) -> Row {
    let mut n = 0;
    let salt = || {
        n += 1;
        [n; SALT]
    };
    Row::new(event, 9, 1_000, mask, salt).unwrap()
}

#[test]
fn what_auditors_see_is_committed_to_as_well() {
    let address = Address::parse("rosa@example.net").unwrap();
    let row = row(Event::new(Name::MsgAccept, Outcome::Success).recipients([&address]));
    let [personal] = row.personal.as_slice() else { panic!("one recipient") };
    assert_eq!(personal.key(), "rcpt_to[0]");
    assert_eq!(personal.shown.as_deref(), Some("***@example.net"));
    let mut forged = row.clone();
    forged.personal[0].shown_commitment = Some([0; 32]);
    assert_ne!(forged.hash(), Some(row.leaf_hash));
}

#[test]
fn a_mask_says_how_much_auditors_see_and_is_committed_to_whatever_it_is() {
    let event = || {
        let rosa = Address::parse("rosa@example.net").unwrap();
        let event = Event::new(Name::MsgAccept, Outcome::Success).sender(&Some(rosa.clone())).recipients([&rosa]);
        event.client("192.0.2.7".parse().unwrap()).with(Field::Helo, "pc").with(Field::Account, "shop")
    };
    for (mask, expected) in [
        (Mask::LocalPart, [Some("***@example.net"), Some("***@example.net"), Some("192.0.2.0/24"), None, None]),
        (Mask::Full, [Some("***"), Some("***"), Some("***"), None, None]),
        (Mask::None, [Some("rosa@example.net"), Some("rosa@example.net"), Some("192.0.2.7"), Some("pc"), None]),
    ] {
        let row = masked(event(), mask);
        let shown: Vec<Option<&str>> = row.personal.iter().map(|value| value.shown.as_deref()).collect();
        assert_eq!(shown, expected, "{mask:?}");
        assert!(row.personal.iter().all(|value| value.shown.is_some() == value.shown_commitment.is_some()));
    }
    let null = masked(Event::new(Name::MsgAccept, Outcome::Success).sender(&None), Mask::Full);
    assert_eq!(null.personal[0].shown.as_deref(), Some("<>"));
}

#[test]
fn long_texts_are_cut_at_a_character_and_control_characters_are_not_kept() {
    let text = format!("{}é\nX", "x".repeat(MAX_TEXT - 1));
    let row = row(Event { reason: Some(text), ..Event::new(Name::MsgReject, Outcome::Denied) });
    assert_eq!(row.clear[11], Stored::Text("x".repeat(MAX_TEXT - 1)));
    assert_eq!(row.clear[19], Stored::Integer(1));
    let row = self::row(Event { mx: Some("a\r\nb".into()), ..Event::new(Name::MsgReject, Outcome::Denied) });
    assert_eq!(row.clear[13], Stored::Text("a\u{fffd}\u{fffd}b".into()));
}

#[test]
fn a_full_event_fits_into_a_leaf_of_the_tiles_format() {
    let label = "d".repeat(63);
    let address = Address::parse(&format!("{}@{label}.{label}.example", "l".repeat(64))).unwrap();
    let row =
        row(Event::new(Name::MsgAccept, Outcome::Success).recipients([&address; super::super::event::MAX_RECIPIENTS]));
    // Each recipient is two commitments, whatever its length.
    assert!(row.personal.len() * 2 * (32 + 24) < MAX_LEAF);
    assert_eq!(row.hash(), Some(row.leaf_hash));
}
#[test]
fn data_that_no_leaf_of_the_tiles_format_could_hold_is_dropped_and_the_event_says_so() {
    let of = |octets: usize| {
        let data = serde_json::json!({ "said": "x".repeat(octets) }).to_string();
        row(Event { data: Some(data), ..Event::new(Name::SealerRefused, Outcome::Failure) })
    };
    let (whole, dropped) = (of(60_000), of(66_000));
    assert!(whole.text("data").is_some());
    assert_eq!((dropped.text("data"), dropped.clear[19].clone()), (None, Stored::Integer(1)));
    assert!(dropped.leaf().unwrap().len() <= MAX_LEAF);
    assert_eq!(dropped.hash(), Some(dropped.leaf_hash));
}

#[test]
fn a_row_is_read_again_into_memory_that_held_another_one() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&format!("CREATE TABLE event({}); CREATE TABLE personal({PERSONAL})", columns())).unwrap();
    let rosa = Address::parse("rosa@example.net").unwrap();
    let rows = [
        row(Event::new(Name::MsgAccept, Outcome::Success).sender(&Some(rosa.clone())).recipients([&rosa])),
        row(Event {
            reason: Some("too-large".into()),
            code: Some(552),
            ..Event::new(Name::MsgReject, Outcome::Denied)
        }),
        row(Event { bytes: Some(9), ..Event::new(Name::MsgAccept, Outcome::Success) }.with(Field::Helo, "pc")),
    ];
    let mut insert = connection.prepare(&format!("INSERT INTO event VALUES({})", parameters())).unwrap();
    let mut insert_value = connection.prepare("INSERT INTO personal VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)").unwrap();
    for row in &rows {
        insert.execute(params_from_iter(row.values())).unwrap();
        for value in &row.personal {
            insert_personal(&mut insert_value, row.seq, value).unwrap();
        }
    }
    insert_personal(&mut insert_value, 9, &PersonalRow { salt: None, value: None, ..rows[0].personal[0].clone() })
        .unwrap();

    let (mut again, mut read) = (Row::default(), Vec::new());
    let mut found = connection.prepare(&format!("SELECT {} FROM event", columns())).unwrap();
    let mut found = found.query([]).unwrap();
    while let Some(columns) = found.next().unwrap() {
        again.refill(columns).unwrap();
        read.push(again.clone());
    }
    assert_eq!(read, rows.clone().map(|row| Row { personal: Vec::new(), ..row }));

    let (mut again, mut read) = (PersonalRow::default(), Vec::new());
    let mut found = connection.prepare(&format!("SELECT {PERSONAL} FROM personal")).unwrap();
    let mut found = found.query([]).unwrap();
    while let Some(columns) = found.next().unwrap() {
        assert_eq!(again.refill(columns).unwrap(), 9);
        read.push(again.clone());
    }
    let hidden = read.pop().unwrap();
    assert_eq!(read, rows.into_iter().flat_map(|row| row.personal).collect::<Vec<_>>());
    assert_eq!((hidden.salt, hidden.value), (None, None));
}

#[test]
fn the_keys_of_all_values_are_in_the_order_of_the_leaf() {
    let rosa = Address::parse("rosa@example.net").unwrap();
    let event = Event::new(Name::MsgAccept, Outcome::Success).recipients([&rosa; 12]).with(Field::Account, "shop");
    let mut row = row(event.client("192.0.2.7".parse().unwrap()));
    // In any order, and one beyond what an event of ours has.
    row.personal.push(PersonalRow { n: 4_000_000_000, ..row.personal[0].clone() });
    let leaf = leaf::decode(&row.leaf().unwrap()).expect("the one encoding of what it says");
    for key in ["rcpt_to[2]", "rcpt_to[10].shown", "rcpt_to[4000000000]", "rcpt_to[4000000000].shown", "account"] {
        assert!(leaf.fields.contains_key(key), "{key}");
    }
    for field in Field::ALL {
        let value = PersonalRow { field: field.word().to_owned(), n: 3, ..PersonalRow::default() };
        assert_eq!(value.shown_key(), format!("{}.shown", value.key()));
    }
    let foreign = PersonalRow { field: "foreign".to_owned(), ..PersonalRow::default() };
    assert_eq!((foreign.key().as_ref(), foreign.shown_key().as_ref()), ("foreign", "foreign.shown"));
}
