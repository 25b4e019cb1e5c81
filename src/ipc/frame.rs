//! Frames: a two-octet length and a postcard value, collected so that many go out in one write.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest frame. OpenBSD's local sockets hold 32 KiB, so two of these always fit and no pair can block itself.
pub const MAX_FRAME: usize = 16 * 1024;
/// What fits into a frame that carries content, with room for the frame's other fields.
pub const MAX_CONTENT: usize = MAX_FRAME - 1024;
const PREFIX: usize = 2;

/// A frame that can't be read: the channel it came by is finished.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed frame: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for std::io::Error {
    fn from(malformed: Malformed) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, malformed)
    }
}

/// Encodes one value, without a length: for packet channels, where the socket keeps the borders.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Malformed> {
    let bytes = postcard::to_stdvec(value).map_err(|_| Malformed("a value that can't be encoded"))?;
    if bytes.len() > MAX_FRAME { Err(Malformed("longer than a frame may be")) } else { Ok(bytes) }
}

/// Decodes one value and insists that it ends where the bytes end.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(Malformed("octets behind the value")),
        Err(_) => Err(Malformed("not a value of this conversation")),
    }
}

/// Frames on their way out.
#[derive(Default)]
pub struct Outbox {
    pub bytes: Vec<u8>,
}

impl Outbox {
    /// Appends one frame. A value too long for a frame is our own mistake and is refused whole.
    pub fn push<T: Serialize>(&mut self, value: &T) -> Result<(), Malformed> {
        let body = encode(value)?;
        let length = u16::try_from(body.len()).map_err(|_| Malformed("longer than a frame may be"))?;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(&body);
        Ok(())
    }
}

/// Octets on their way in, and the frames that are complete among them.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Inbox {
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete frame, or none yet. The length is checked before anything waits for that many octets.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Malformed> {
        let pending = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((prefix, rest)) = pending.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*prefix));
        if length > MAX_FRAME {
            return Err(Malformed("longer than a frame may be"));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let value = decode(body)?;
        self.taken += PREFIX + length;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_segmentation() {
        let mut out = Outbox::default();
        for n in 0..50u32 {
            out.push(&(n, "x".repeat(n as usize))).unwrap();
        }
        for step in [1, 2, 3, 7, 64, 5000] {
            let mut inbox = Inbox::default();
            let mut seen = Vec::new();
            for part in out.bytes.chunks(step) {
                inbox.feed(part);
                while let Some((n, text)) = inbox.take::<(u32, String)>().unwrap() {
                    assert_eq!(text.len(), n as usize);
                    seen.push(n);
                }
            }
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_length_beyond_the_cap_is_refused_before_its_octets_arrive() {
        let mut inbox = Inbox::default();
        inbox.feed(&[0xff, 0xff]);
        assert!(inbox.take::<u8>().is_err());
    }

    #[test]
    fn octets_behind_a_value_are_refused() {
        assert_eq!(decode::<u8>(&[1, 2]), Err(Malformed("octets behind the value")));
    }

    #[test]
    fn a_value_longer_than_a_frame_is_refused_and_leaves_the_outbox_whole() {
        let mut out = Outbox::default();
        assert!(out.push(&"x".repeat(MAX_FRAME + 1)).is_err());
        assert!(out.bytes.is_empty());
        out.push(&7u8).unwrap();
        let before = out.bytes.clone();
        // Longer than a length says.
        assert!(out.push(&"x".repeat(4 * MAX_FRAME)).is_err() && out.push(&"x".repeat(MAX_FRAME)).is_err());
        assert_eq!(out.bytes, before);
        assert!(out.push(&"x".repeat(MAX_CONTENT)).is_ok());
    }
}
