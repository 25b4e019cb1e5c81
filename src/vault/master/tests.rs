//! What is said of the key of bodies.

use super::*;

fn key(directory: &Path) -> Vec<u8> {
    fs::read(directory.join(CURRENT)).unwrap()
}

#[test]
fn a_wrapped_key_is_for_one_message_and_one_master() {
    let (master, other) = (Master::new(Secret::new([1; KEY])), Master::new(Secret::new([2; KEY])));
    let (body, message) = (BodyKey::generate(), MessageId::now());
    let wrapped = master.wrap(&body, message).unwrap();
    assert_eq!(master.unwrap(&wrapped, message).unwrap().secret().expose(), body.secret().expose());
    assert!(master.unwrap(&wrapped, MessageId::now()).is_err());
    assert!(other.unwrap(&wrapped, message).is_err());
    assert_ne!(master.wrap(&body, message).unwrap(), wrapped);
    assert_ne!(master.id, other.id);
}

#[test]
fn the_key_is_made_once_and_another_or_none_in_its_place_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    create(directory).unwrap();
    let first = key(directory);
    create(directory).unwrap();
    assert_eq!(key(directory), first);
    assert_eq!(fs::metadata(directory.join(CURRENT)).unwrap().permissions().mode() & 0o7777, 0o600);

    fs::set_permissions(directory.join(CURRENT), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(create(directory).unwrap_err().to_string().contains("chmod"));
    fs::set_permissions(directory.join(CURRENT), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(directory.join(CURRENT), [9; KEY]).unwrap();
    assert!(create(directory).unwrap_err().to_string().contains("master.id names"));
    fs::write(directory.join(CURRENT), [9; KEY - 1]).unwrap();
    assert!(create(directory).unwrap_err().to_string().contains("32 octets"));
    fs::remove_file(directory.join(CURRENT)).unwrap();
    assert!(create(directory).unwrap_err().to_string().contains("put it back"));
    assert!(!directory.join(CURRENT).exists(), "no other key is put in its place");
    assert!(demand(directory).is_ok(), "the key is named: `create` says what to do");
    let new = replace_lost(directory).unwrap();
    assert!(key(directory) != first && Master::read(key(directory).as_slice()).unwrap().id == new);
    // Nothing is overwritten, whatever it is.
    assert!(directory.join("master.id.lost-1").exists());
    let second = key(directory);
    replace_lost(directory).unwrap();
    assert_eq!(fs::read(directory.join("master.key.lost-1")).unwrap(), second);
    assert!(directory.join("master.id.lost-2").exists() && demand(directory).is_ok());
    let other = tempfile::tempdir().unwrap();
    assert!(demand(other.path()).unwrap_err().to_string().contains("rekey --lost"));
}

#[test]
fn a_change_of_keys_can_be_broken_off_after_any_step() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    create(directory).unwrap();
    let old = key(directory);
    let next = Change::begin(directory).unwrap().next.id;
    assert_eq!(Change::begin(directory).unwrap().next.id, next, "begun again, it goes on");
    create(directory).unwrap();
    assert_eq!(key(directory), old);
    // Between the two renames.
    fs::rename(directory.join(NEXT), directory.join(CURRENT)).unwrap();
    create(directory).unwrap();
    assert_eq!(Master::read(key(directory).as_slice()).unwrap().id, next);
    assert!(!directory.join(NEXT_ID).exists());

    // The same, and the command is given again without a start.
    let third = Change::begin(directory).unwrap().next.id;
    fs::rename(directory.join(NEXT), directory.join(CURRENT)).unwrap();
    let change = Change::begin(directory).unwrap();
    assert_eq!(read_id(&directory.join(CURRENT_ID)).unwrap(), Some(name(&third)));
    let after = change.next.id;
    fs::hard_link(directory.join(CURRENT), directory.join("held")).unwrap();
    change.end().unwrap();
    create(directory).unwrap();
    assert_eq!(Master::read(key(directory).as_slice()).unwrap().id, after);
    assert_eq!(fs::read(directory.join("held")).unwrap(), [0; KEY], "the old key is overwritten");
    assert!(!directory.join(NEXT).exists() && !directory.join(NEXT_ID).exists());
}

#[test]
fn keys_are_changed_by_one_command_at_a_time_and_only_to_the_key_it_began_with() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    create(directory).unwrap();
    let old = key(directory);
    let change = Change::begin(directory).unwrap();
    let refused = Change::begin(directory).err().unwrap();
    assert!(refused.to_string().contains("another command"), "{refused}");
    // Somebody has put another key there meanwhile.
    fs::write(directory.join(NEXT), [9; KEY]).unwrap();
    assert!(change.end().unwrap_err().to_string().contains("nothing was replaced"));
    assert_eq!(key(directory), old);
    // Of a change that was broken off: it stays.
    Change::begin(directory).unwrap().withdraw().unwrap();
    assert!(directory.join(NEXT).exists());
    Change::begin(directory).unwrap().end().unwrap();
    assert_eq!(key(directory), [9; KEY]);
    Change::begin(directory).unwrap().withdraw().unwrap();
    assert!(!directory.join(NEXT).exists() && !directory.join(NEXT_ID).exists());
}
