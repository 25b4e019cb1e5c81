//! The checksum of version 2: CRC-32C (RFC 9260 appendix A; Castagnoli's polynomial, reflected).

const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of these parts, one behind the other.
pub fn crc32c(parts: &[&[u8]]) -> u32 {
    let octets = parts.iter().flat_map(|part| part.iter());
    !octets.fold(!0, |sum, octet| {
        (0..8).fold(sum ^ u32::from(*octet), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_known_texts() {
        // The check value of the catalogue, and two vectors of RFC 3720 appendix B.4.
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
        assert_eq!(crc32c(&[&[0; 32]]), 0x8a91_36aa);
        assert_eq!(crc32c(&[&[0xff; 32]]), 0x62a8_ab43);
        assert_eq!(crc32c(&[]), 0);
    }
}
