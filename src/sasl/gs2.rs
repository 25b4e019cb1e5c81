//! The header with which messages of the newer mechanisms begin (RFC 5801 section 4): what the client says of channel
//! binding, and for whom it acts.

/// What the client says of channel binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// `n`: it has none.
    None,
    /// `y`: it has it, and was not offered it. Where it was offered, somebody in between took the offer away.
    Missed,
    /// `p=`: it binds by this type.
    Named(String),
}

/// The header, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub binding: Binding,
    /// For whom it acts; empty: for itself.
    pub behalf: Vec<u8>,
}

/// Reads the header, and gives how many octets it has with the comma at its end. None: it is none.
pub fn header(message: &[u8]) -> Option<(Header, usize)> {
    let first = message.iter().position(|octet| *octet == b',')?;
    let (flag, rest) = (message.get(..first)?, message.get(first + 1..)?);
    let second = rest.iter().position(|octet| *octet == b',')?;
    let binding = match flag {
        b"n" => Binding::None,
        b"y" => Binding::Missed,
        named => Binding::Named(binding_name(named.strip_prefix(b"p=")?)?),
    };
    let behalf = match rest.get(..second)? {
        b"" => Vec::new(),
        said => name(said.strip_prefix(b"a=")?)?,
    };
    Some((Header { binding, behalf }, first + second + 2))
}

/// A name in which `=2C` stands for a comma and `=3D` for an equals sign, and which is not empty (RFC 5801 section 4).
pub fn name(said: &[u8]) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(said.len());
    let mut rest = said;
    while let Some((octet, behind)) = rest.split_first() {
        rest = behind;
        match octet {
            0 | b',' => return None,
            b'=' => {
                let (code, behind) = rest.split_at_checked(2)?;
                name.push(match code {
                    b"2C" => b',',
                    b"3D" => b'=',
                    _ => return None,
                });
                rest = behind;
            }
            other => name.push(*other),
        }
    }
    (!name.is_empty()).then_some(name)
}

/// RFC 5056 section 7: letters, digits, dot and hyphen.
fn binding_name(name: &[u8]) -> Option<String> {
    let sound = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-');
    if name.is_empty() || !name.iter().all(sound) {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_how_it_is_bound_and_for_whom_it_acts() {
        fn read(text: &str) -> Option<(Header, &str)> {
            header(text.as_bytes()).map(|(header, length)| (header, &text[length..]))
        }
        let says = |binding, behalf: &str, rest| Some((Header { binding, behalf: behalf.into() }, rest));
        assert_eq!(read("n,,n=a,r=b"), says(Binding::None, "", "n=a,r=b"));
        assert_eq!(read("y,a=me,"), says(Binding::Missed, "me", ""));
        assert_eq!(read("p=tls-exporter,a==2Cb=3D,x"), says(Binding::Named("tls-exporter".into()), ",b=", "x"));
        for bad in
            ["", "n", "n,", "n;,", "N,,", "x,,", "nn,,", ",,", "n,b=c,", "n,a=,", "n,a==2c,", "n,a==,", "n,a==2", "p,,"]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        for bad in ["p=,,", "p=a b,,", "p=a_b,,", "n,a=a\0b,", "F,n,,", "n,A=b,"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(message in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            if let Some((_, length)) = header(&message) {
                proptest::prop_assert!(length <= message.len() && message[length - 1] == b',');
            }
        }
    }
}
