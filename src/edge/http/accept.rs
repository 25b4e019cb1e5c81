//! What a client wants to read (RFC 9110 section 12.5.1).

/// More than any client lists: what is behind them is not read.
const RANGES: usize = 32;

/// All that its Accept fields list, in their order.
pub fn ranges<'a>(fields: impl Iterator<Item = &'a str>) -> impl Iterator<Item = Range<'a>> {
    fields.flat_map(|field| field.split(',')).take(RANGES).map(Range::read)
}

/// One media range of an Accept field.
pub struct Range<'a> {
    /// In lower case.
    pub essence: String,
    pub version: Option<&'a str>,
    /// In thousandths.
    pub weight: u32,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut version, mut weight) = (None, 1000);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "version" => version = Some(value.trim().trim_matches('"')),
                "q" | "Q" => weight = thousandths(value.trim()),
                _ => {}
            }
        }
        Self { essence, version, weight }
    }
}

/// A weight as RFC 9110 section 12.4.2 has it; 0 for what is none.
fn thousandths(text: &str) -> u32 {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_read =
        part.len() <= 3 && [whole, part].iter().all(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()));
    match (whole, format!("{part:0<3}").parse::<u32>()) {
        ("0", Ok(part)) if is_read => part,
        ("1", Ok(0)) if is_read => 1000,
        _ => 0,
    }
}
