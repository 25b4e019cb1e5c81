//! Octets and where they are cut: a fuzzer's input says both.

/// Cuts the input; twice, it stands for itself.
const CUT: u8 = 0xfe;

/// The segments that an input stands for; none is empty.
pub fn of(input: &[u8]) -> Vec<Vec<u8>> {
    let mut segments = vec![Vec::new()];
    let mut rest = input.iter().peekable();
    while let Some(octet) = rest.next() {
        if *octet == CUT && rest.next_if_eq(&&CUT).is_none() {
            segments.push(Vec::new());
        } else if let Some(last) = segments.last_mut() {
            last.push(*octet);
        }
    }
    segments.retain(|segment| !segment.is_empty());
    segments
}

/// The segments without their first octets, cut where they were.
pub fn behind(mut octets: usize, segments: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let rest = segments.into_iter().map(|mut segment| {
        let here = octets.min(segment.len());
        octets -= here;
        segment.split_off(here)
    });
    rest.filter(|segment| !segment.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_octet_cuts_and_twice_it_stands_for_itself() {
        assert_eq!(of(b"ab\xfec\xfe\xfed\xfe"), [b"ab".to_vec(), b"c\xfed".to_vec()]);
        assert!(of(b"").is_empty() && of(b"\xfe").is_empty());
    }
    #[test]
    fn what_is_left_is_cut_where_it_was() {
        let all = of(b"ab\xfec\xfe\xfed\xfee");
        assert_eq!(behind(3, all.clone()), [b"\xfed".to_vec(), b"e".to_vec()]);
        assert_eq!((behind(0, all.clone()), behind(6, all.clone())), (all, vec![]));
    }
}
