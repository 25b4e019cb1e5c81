//! What of a log the present database can't know.

use std::ops::Range;
use std::path::Path;

use crate::vault::audit::query::{self, Filter};

/// The events of one log that are none of this database's.
pub struct News {
    from: u64,
    adopted: Vec<Range<u64>>,
}

impl News {
    /// `from`: where that log parts from the present one; `adopted`: what this one has from its files alone.
    pub fn of(from: u64, adopted: &[Range<u64>]) -> Self {
        Self { from, adopted: adopted.to_vec() }
    }

    pub fn has(&self, seq: u64) -> bool {
        seq >= self.from || self.adopted.iter().any(|range| range.contains(&seq))
    }
}

/// The events of the present log that the database took over from the auditors' files: it was behind them, so what they say happened
/// to no message of its.
///
/// Errors: the log can't be read.
pub fn adopted(present: &Path) -> Result<Vec<Range<u64>>, String> {
    let mut all = Vec::new();
    // A service that never ran has none.
    if !present.join("audit.db").exists() {
        return Ok(all);
    }
    let filter = Filter { event: Some("store.recovered".to_owned()), ..Filter::default() };
    query::query(present, &filter, |event| {
        let data = event.get("data").and_then(|data| serde_json::from_str::<serde_json::Value>(data).ok());
        let number = |key: &str| data.as_ref().and_then(|data| data[key].as_u64());
        if let (Some("from-files"), Some(from), Some(to)) = (event.get("reason"), number("from"), number("to")) {
            all.push(from..to);
        }
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_logs_part_is_news_only_where_the_database_was_set_back() {
        let news = News::of(20, std::slice::from_ref(&(5..8)));
        let new: Vec<u64> = (0..22).filter(|seq| news.has(*seq)).collect();
        assert_eq!(new, [5, 6, 7, 20, 21]);
    }
}
