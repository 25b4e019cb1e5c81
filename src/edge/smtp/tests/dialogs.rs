//! Every file of `tests/dialogs` goes as it is written.

use super::*;

/// The first line of a dialogue says on which listener it takes place.
fn room(setting: &str) -> Room {
    match setting {
        "# on loopback" => Room::plain(),
        "# on a listener with STARTTLS" => Room::with(Ways::default(), |desk| desk.tls = TlsMode::Starttls),
        "# on a listener that identifies by network" => {
            let network = Some(Ways::default().login.2);
            Room::with(Ways { network, ..Ways::default() }, |desk| desk.identify_by_network = true)
        }
        "# on a listener that repairs line feeds" => Room::with(Ways::default(), |desk| {
            desk.plain_login = true;
            desk.dialect.repair_bare_lf = true;
        }),
        "# on a listener of LMTP" => Room::with(Ways::default(), |desk| {
            desk.plain_login = true;
            desk.dialect.lmtp = true;
        }),
        "# on a listener that believes a gateway" => Room::with(Ways::default(), |desk| {
            desk.plain_login = true;
            desk.dialect.xclient_from = vec!["192.0.2.7/32".parse().unwrap()];
        }),
        "# on a listener that offers SCRAM" => Room::with(Ways::default(), |desk| {
            desk.plain_login = true;
            desk.mechanisms = vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256];
        }),
        other => panic!("unknown setting: {other}"),
    }
}

#[tokio::test]
async fn every_dialogue_goes_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogs");
    let mut held = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = std::fs::read_to_string(&path).unwrap();
        eprintln!("{}", path.display());
        let room = room(script.lines().next().unwrap());
        room.run(&script).await;
        room.seen();
        held += 1;
    }
    assert!(held >= 8, "{held}");
}
