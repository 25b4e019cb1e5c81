//! Archives as tar(1) reads and writes them (POSIX.1 pax, ustar): as many of their features as an export needs, and as whoever
//! packs one anew may use.

use std::io::{self, Read};

/// Everything in an archive is a whole number of these.
const BLOCK: usize = 512;
/// What a size can say in eleven octal digits.
const MAX_SIZE: u64 = (1 << 33) - 1;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub size: u64,
}

/// The header of a file that is nobody's and for its owner alone. `time`: in seconds since 1970.
///
/// Errors: the name or the size is longer than a header can say.
pub fn header(name: &str, size: u64, time: u64) -> io::Result<Vec<u8>> {
    let too = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if name.len() > 100 {
        return too("a name is too long for an archive");
    }
    if size > MAX_SIZE {
        return too("a file is too long for an archive");
    }
    let mut block = Vec::with_capacity(BLOCK);
    block.extend_from_slice(name.as_bytes());
    block.resize(100, 0);
    for (value, digits) in [(0o600, 7), (0, 7), (0, 7), (size, 11), (time.min(MAX_SIZE), 11)] {
        block.extend_from_slice(format!("{value:0digits$o}\0").as_bytes());
    }
    // The sum of all octets, with blanks in its own place; then an ordinary file.
    block.extend_from_slice(b"        0");
    block.resize(257, 0);
    block.extend_from_slice(b"ustar\x0000");
    block.resize(BLOCK, 0);
    let sum = format!("{:06o}\0 ", sum(&block));
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(sum.as_bytes());
    }
    Ok(block)
}

/// What fills the last block of a file.
pub fn padding(size: u64) -> Vec<u8> {
    let block = u64::try_from(BLOCK).unwrap_or_default();
    vec![0; usize::try_from((block - size % block) % block).unwrap_or_default()]
}

/// What an archive ends with.
pub fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

fn sum(block: &[u8]) -> u64 {
    let own = |(at, octet): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u64::from(*octet) };
    block.iter().enumerate().map(own).sum()
}

/// Reads an archive, file by file.
pub struct Reader<R> {
    input: R,
    /// Of the current file: octets, and those that fill its last block.
    left: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    pub const fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// The next file; what is left of the one before is skipped. None at the end, which an archive that was cut off lacks.
    ///
    /// Errors: it is no archive, or can't be read, in words.
    pub fn next(&mut self) -> Result<Option<Entry>, String> {
        loop {
            self.skip()?;
            let mut block = [0; BLOCK];
            self.input.read_exact(&mut block).map_err(|error| cut_off(&error))?;
            if block.iter().all(|octet| *octet == 0) {
                return Ok(None);
            }
            if octal(&block, 148..156) != Some(sum(&block)) {
                return Err("it is no tar archive, or damaged".to_owned());
            }
            let size = octal(&block, 124..136).ok_or("a file of it has no size that can be read")?;
            self.left = size;
            self.padding = u64::try_from(padding(size).len()).unwrap_or_default();
            match block.get(156) {
                Some(b'0' | 0) => {}
                // Directories, and what pax and GNU tar say of files.
                Some(b'5' | b'x' | b'g') => continue,
                _ => return Err("there is something in it that is no file".to_owned()),
            }
            let name: Vec<u8> = block.iter().take(100).copied().take_while(|octet| *octet != 0).collect();
            let name = String::from_utf8(name).map_err(|_| "a name in it is no text")?;
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            return Ok(Some(Entry { name, size }));
        }
    }

    /// Some octets of the current file; none at its end.
    pub fn read(&mut self, most: usize) -> Result<Vec<u8>, String> {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(most);
        let mut octets = vec![0; length];
        self.input.read_exact(&mut octets).map_err(|error| cut_off(&error))?;
        self.left -= u64::try_from(length).unwrap_or(self.left);
        Ok(octets)
    }

    fn skip(&mut self) -> Result<(), String> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut self.input.by_ref().take(rest), &mut io::sink());
        (self.left, self.padding) = (0, 0);
        match skipped {
            Ok(skipped) if skipped == rest => Ok(()),
            Ok(_) => Err(cut_off(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(cut_off(&error)),
        }
    }
}

fn octal(block: &[u8], field: std::ops::Range<usize>) -> Option<u64> {
    let text = std::str::from_utf8(block.get(field)?).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

fn cut_off(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it has no end: the export was broken off, or not all of it is here".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut all = Vec::new();
        for (name, content) in files {
            let size = u64::try_from(content.len()).unwrap();
            all.extend(header(name, size, 1_700_000_000).unwrap());
            all.extend_from_slice(content);
            all.extend(padding(size));
        }
        all.extend(end());
        all
    }

    #[test]
    fn what_is_written_is_read_and_a_part_of_it_is_not() {
        let files: [(&str, &[u8]); 4] = [("a/1", b"x"), ("a/2", &[7; 512]), ("b", b""), ("c", &[9; 513])];
        let all = archive(&files);
        assert_eq!(all.len() % BLOCK, 0);
        let mut reader = Reader::new(all.as_slice());
        for (name, content) in files {
            assert_eq!(reader.next().unwrap().unwrap().name, name);
            let mut read = Vec::new();
            loop {
                let some = reader.read(100).unwrap();
                if some.is_empty() {
                    break;
                }
                read.extend(some);
            }
            assert_eq!(read, content);
        }
        assert_eq!(reader.next(), Ok(None));
        for end in [all.len() - 1024, 700, 100, 0] {
            let mut reader = Reader::new(&all[..end]);
            let failed = loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("an end at {end}"),
                    Err(reason) => break reason,
                }
            };
            assert!(failed.contains("no end"), "{failed}");
        }
        let mut changed = all;
        changed[0] ^= 1;
        assert!(Reader::new(changed.as_slice()).next().unwrap_err().contains("damaged"));
    }

    #[test]
    fn what_a_header_can_not_say_is_not_written() {
        assert!(header(&"x".repeat(101), 1, 0).is_err());
        assert!(header("x", MAX_SIZE + 1, 0).is_err() && header("x", MAX_SIZE, u64::MAX).is_ok());
    }

    #[test]
    fn the_system_s_tar_lists_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        std::fs::write(&path, archive(&[("id/envelope.json", b"{}\n"), ("id/message.eml", &[b'y'; 600])])).unwrap();
        // A machine without one shows nothing about us.
        let Ok(listed) = std::process::Command::new("tar").arg("tf").arg(&path).output() else { return };
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), "id/envelope.json\nid/message.eml\n");
    }
}
