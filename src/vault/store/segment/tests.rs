//! Segments as their thread keeps them.

use std::os::unix::fs::symlink;

use super::*;

fn piece(name: &str, key: &BodyKey, octets: Vec<u8>, last: bool) -> Piece {
    Piece { name: name.into(), key: key.clone(), octets, last }
}

/// A chunk that others follow, and one that none follows.
fn more(name: &str, key: &BodyKey) -> Piece {
    piece(name, key, vec![1; CHUNK], false)
}

fn end(name: &str, key: &BodyKey) -> Piece {
    piece(name, key, vec![2; 10], true)
}

fn part(name: &str, key: Option<&BodyKey>, octets: u64, offset: u64, length: usize) -> Part {
    Part { name: name.into(), key: key.cloned(), octets, offset, length }
}

#[test]
fn a_segment_is_written_synced_read_and_swept() {
    let directory = tempfile::tempdir().unwrap();
    let load = Load::default();
    (0..5).for_each(|_| load.second());
    let (segments, thread) = Segments::start(directory.path().to_owned(), load.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (kept, lost, key) = (name(MessageId::now()), name(MessageId::now()), BodyKey::generate());
    let (body, octets) = ([vec![1; CHUNK], vec![2; 10]].concat(), count(CHUNK) + 10);
    runtime.block_on(async {
        segments.append(more(&kept, &key)).await.await.unwrap().unwrap();
        segments.append(end(&kept, &key)).await.await.unwrap().unwrap();
        segments.append(more(&lost, &key)).await.await.unwrap().unwrap();
        assert_eq!(load.quiet(), [5, 5, 5]);
        let digest = segments.sync(kept.clone(), octets).await.await.unwrap().unwrap();
        assert_eq!(load.quiet(), [5, 5, 0], "how long it took is known");
        assert_eq!(digest, <[u8; 32]>::from(Sha256::digest(&body)));
        let mut whole = Vec::new();
        while whole.len() < body.len() {
            let next = part(&kept, Some(&key), octets, count(whole.len()), 40_000);
            whole.extend(segments.read(next).await.unwrap());
        }
        assert_eq!(whole, body);
        assert_eq!(segments.read(part(&kept, Some(&key), octets, octets, 9)).await.unwrap(), [0u8; 0]);
    });
    drop(segments);
    thread.join().unwrap();
    let file = fs::read(directory.path().join(&kept)).unwrap();
    assert!(!file.windows(8).any(|part| part == [1; 8]), "the body stands in the file");
    fs::write(directory.path().join("vault.db"), b"not a segment").unwrap();
    sweep(directory.path(), std::slice::from_ref(&kept)).unwrap();
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [kept.as_str(), "vault.db"]);
}

#[test]
fn a_file_that_was_cut_continued_or_reordered_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut files = Files::new(directory.path().to_owned());
    let (key, octets, path) = (BodyKey::generate(), 2 * count(CHUNK) + 10, directory.path().join("a"));
    for next in [more("a", &key), more("a", &key), end("a", &key)] {
        files.append(next).unwrap();
    }
    files.sync("a", octets).unwrap();
    let (sealed, whole) = (CHUNK + TAG, fs::read(&path).unwrap());
    let read = |octets: u64, offset: u64| files.read(&part("a", Some(&key), octets, offset, 1));
    assert_eq!(read(octets, count(CHUNK)).unwrap(), [1]);
    // Cut behind a chunk, by one who also sets the length in the row.
    fs::write(&path, &whole[..2 * sealed]).unwrap();
    assert!(read(2 * count(CHUNK), count(CHUNK)).is_err());
    assert!(read(octets, 2 * count(CHUNK)).is_err());
    fs::write(&path, [&whole[sealed..2 * sealed], &whole[..sealed], &whole[2 * sealed..]].concat()).unwrap();
    assert!(read(octets, 0).is_err() && read(octets, count(CHUNK)).is_err());
    fs::write(&path, [&whole[..], &whole[2 * sealed..]].concat()).unwrap();
    assert!(read(octets, 2 * count(CHUNK)).is_err());
}

#[test]
fn what_was_to_be_removed_while_a_backup_kept_it_is_removed_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let (segments, thread) = Segments::start(directory.path().to_owned(), Load::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (name, key) = (name(MessageId::now()), BodyKey::generate());
    let path = directory.path().join(&name);
    runtime.block_on(async {
        segments.append(end(&name, &key)).await.await.unwrap().unwrap();
        let (one, other) = (segments.keep(), segments.keep());
        segments.remove(name.clone()).await;
        drop(one);
        assert_eq!(segments.read(part(&name, Some(&key), 10, 0, 10)).await.unwrap(), [2; 10], "it is kept");
        drop(other);
        // Behind what the end of it caused.
        segments.read(part(&name, Some(&key), 10, 0, 10)).await.unwrap_err();
        assert!(!path.exists());
        let late = segments.keep();
        drop(segments);
        thread.join().unwrap();
        drop(late);
    });
}

#[test]
fn a_segment_of_an_older_gatepost_is_read_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::new(directory.path().to_owned());
    fs::write(directory.path().join("a"), [[1; 1000], [2; 1000]].concat()).unwrap();
    assert_eq!(files.read(&part("a", None, 2000, 999, 2)).unwrap(), [1, 2]);
    assert_eq!(files.read(&part("a", None, 2000, 1998, 9)).unwrap(), [2, 2]);
    // One that is sealed, whose key is gone, is never taken for one of those.
    assert!(files.read(&part("a", None, 2000 - count(TAG), 0, 9)).is_err());
}

#[test]
fn a_segment_that_lacks_a_piece_never_becomes_durable() {
    // What the second piece finds in the place of the file: something that can't be opened, a device without room.
    let blocks: [fn(&Path); 2] = [|path| fs::create_dir(path).unwrap(), |path| symlink("/dev/full", path).unwrap()];
    for (block, lacking) in blocks.into_iter().zip(["/", "/dev/full"]) {
        if !Path::new(lacking).exists() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let (path, aside) = (directory.path().join("body-1"), directory.path().join("aside"));
        let (mut files, key) = (Files::new(directory.path().to_owned()), BodyKey::generate());
        files.append(more("body-1", &key)).unwrap();
        fs::rename(&path, &aside).unwrap();
        block(&path);
        let why = files.append(more("body-1", &key)).unwrap_err().kind();
        fs::rename(&path, directory.path().join("block")).unwrap();
        fs::rename(&aside, &path).unwrap();
        let later = files.append(end("body-1", &key)).map_err(|error| error.kind());
        assert_eq!(later, Err(why), "the later piece has the first one's reason");
        // The file may well be as long as the pieces that came.
        assert!(files.sync("body-1", count(CHUNK) + 10).is_err(), "{lacking}");
    }
}

#[test]
fn a_segment_that_could_not_be_made_is_not_made_by_its_second_piece() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("body-1");
    let (mut files, key) = (Files::new(directory.path().to_owned()), BodyKey::generate());
    fs::write(&path, b"in the way").unwrap();
    assert!(files.append(more("body-1", &key)).is_err());
    fs::remove_file(&path).unwrap();
    assert!(files.append(end("body-1", &key)).is_err());
    assert!(files.sync("body-1", 10).is_err());
}

#[test]
fn a_segment_is_as_long_as_the_transaction_counted_and_has_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let (mut files, key) = (Files::new(directory.path().to_owned()), BodyKey::generate());
    let cases = [("a", 10, false, true), ("b", 11, false, false), ("c", 10, true, false), ("d", 11, true, false)];
    for (name, counted, grows, is_kept) in cases {
        files.append(end(name, &key)).unwrap();
        if grows {
            fs::write(directory.path().join(name), [1; 11 + TAG]).unwrap();
        }
        assert_eq!(files.sync(name, counted).is_ok(), is_kept, "{name}");
    }
    files.append(more("e", &key)).unwrap();
    assert!(files.sync("e", count(CHUNK)).is_err(), "its last chunk never came");
    files.append(piece("f", &key, vec![1; 10], false)).unwrap_err();
    files.append(end("g", &key)).unwrap();
    assert!(files.append(end("g", &key)).is_err(), "nothing follows upon the last");
}
