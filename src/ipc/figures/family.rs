//! What a metric is at one moment, under each of its labels.

use serde::{Deserialize, Serialize};

use super::metric::{Kind, Metric};

/// One metric, with all that there is of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    pub metric: Metric,
    pub series: Vec<Series>,
}

/// Under these labels it is so much. There are as many labels as the metric has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    pub labels: Vec<String>,
    pub value: Value,
}

/// In whole numbers: of what is in seconds, microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    Number(u64),
    Spread(Spread),
}

/// How many fell into each bucket, and what all of them come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// One for each bound, and one for what is above the last. Each counts only its own.
    pub counts: Vec<u64>,
    pub sum: u64,
}

impl Value {
    /// Nothing, of this metric.
    pub fn none(metric: Metric) -> Self {
        match metric.kind() {
            Kind::Histogram(bounds) => Self::Spread(Spread { counts: vec![0; bounds.len() + 1], sum: 0 }),
            Kind::Counter | Kind::Gauge => Self::Number(0),
        }
    }

    /// Counts one of so much: into its bucket, or that many more.
    pub fn add(&mut self, metric: Metric, much: u64) {
        match (self, metric.kind()) {
            (Self::Spread(spread), Kind::Histogram(bounds)) => {
                let at = bounds.iter().position(|bound| much <= *bound).unwrap_or(bounds.len());
                if let Some(count) = spread.counts.get_mut(at) {
                    *count += 1;
                }
                spread.sum = spread.sum.saturating_add(much);
            }
            (Self::Number(number), _) => *number = number.saturating_add(much),
            (Self::Spread(_), _) => {}
        }
    }
}

impl Spread {
    /// What another comes to is counted here, too, where it has the same buckets; else nothing is.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() == other.counts.len() {
            let both = self.counts.iter_mut().zip(&other.counts);
            both.for_each(|(own, more)| *own = own.saturating_add(*more));
            self.sum = self.sum.saturating_add(other.sum);
        }
    }
}

impl Family {
    /// A metric that has no labels.
    pub fn plain(metric: Metric, number: u64) -> Self {
        Self { metric, series: vec![Series { labels: Vec::new(), value: Value::Number(number) }] }
    }

    /// A metric with one label, by what it says.
    pub fn by<L: Into<String>>(metric: Metric, all: impl IntoIterator<Item = (L, u64)>) -> Self {
        let series = |(label, number): (L, u64)| Series { labels: vec![label.into()], value: Value::Number(number) };
        Self { metric, series: all.into_iter().map(series).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_falls_into_the_bucket_whose_bound_it_does_not_pass() {
        let metric = Metric::MessageRecipients;
        let mut value = Value::none(metric);
        [1, 2, 3, 100, 101, u64::MAX].into_iter().for_each(|much| value.add(metric, much));
        assert_eq!(value, Value::Spread(Spread { counts: vec![1, 1, 1, 0, 0, 0, 1, 2], sum: u64::MAX }));
        let mut number = Value::none(Metric::AuditEvents);
        [3, 4, u64::MAX].into_iter().for_each(|much| number.add(Metric::AuditEvents, much));
        assert_eq!(number, Value::Number(u64::MAX));
    }
}
