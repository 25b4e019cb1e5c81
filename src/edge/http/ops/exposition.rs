//! Metrics as text: as Prometheus' format 0.0.4 has it, and as OpenMetrics 1.0 does.

use std::fmt::{self, Write};

use crate::edge::http::accept;
use crate::ipc::figures::family::{Family, Series, Spread, Value};
use crate::ipc::figures::metric::{Kind, Metric};

/// In which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

const OPEN_METRICS: &str = "application/openmetrics-text";
/// The one version of it there is here.
const VERSION: &str = "1.0.0";
impl Format {
    /// What a client wants most of the two (RFC 9110 section 12.5.1), by all its Accept fields. One that wants neither gets text:
    /// whoever looks by hand has a browser.
    pub fn wanted<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut text) = (0, 0);
        for range in accept::ranges(accept) {
            match range.essence.as_str() {
                OPEN_METRICS if range.version.is_none_or(|version| version == VERSION) => open = open.max(range.weight),
                "text/plain" | "text/*" | "*/*" => text = text.max(range.weight),
                _ => {}
            }
        }
        if open > 0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All families, in the order of the list of metrics, each under its own head.
pub fn render(families: &[Family], format: Format) -> String {
    let mut page = Page { out: String::new(), format };
    for metric in Metric::ALL {
        let own = || families.iter().filter(|family| family.metric == *metric).flat_map(|family| &family.series);
        if own().next().is_some() {
            // A string takes all that is written.
            let _ = page.head(*metric).and_then(|()| own().try_for_each(|series| page.series(*metric, series)));
        }
    }
    if format == Format::OpenMetrics {
        page.out.push_str("# EOF\n");
    }
    page.out
}

struct Page {
    out: String,
    format: Format,
}

impl Page {
    fn head(&mut self, metric: Metric) -> fmt::Result {
        let open = self.format == Format::OpenMetrics;
        let kind = match metric.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        // A family's name in text is that of its samples; in OpenMetrics it is without the suffix.
        let suffix = if open { "" } else { suffix(metric) };
        let name = metric.name();
        writeln!(self.out, "# HELP {name}{suffix} {}", escaped(metric.help(), open))?;
        writeln!(self.out, "# TYPE {name}{suffix} {kind}")?;
        match metric.unit().filter(|_| open) {
            Some(unit) => writeln!(self.out, "# UNIT {name} {unit}"),
            None => Ok(()),
        }
    }

    fn series(&mut self, metric: Metric, series: &Series) -> fmt::Result {
        match (&series.value, metric.kind()) {
            (Value::Number(number), _) => {
                let labels = labels(metric, series, None);
                writeln!(self.out, "{}{}{labels} {}", metric.name(), suffix(metric), amount(metric, *number))
            }
            (Value::Spread(spread), Kind::Histogram(bounds)) => self.spread(metric, series, spread, bounds),
            (Value::Spread(_), _) => Ok(()),
        }
    }

    fn spread(&mut self, metric: Metric, series: &Series, spread: &Spread, bounds: &[u64]) -> fmt::Result {
        let (name, mut below) = (metric.name(), 0u64);
        let ends = bounds.iter().map(Some).chain([None]);
        for (end, count) in ends.zip(&spread.counts) {
            below = below.saturating_add(*count);
            let end = end.map_or_else(|| "+Inf".to_owned(), |bound| self.bound(metric, *bound));
            writeln!(self.out, "{name}_bucket{} {below}", labels(metric, series, Some(&end)))?;
        }
        let labels = labels(metric, series, None);
        writeln!(self.out, "{name}_sum{labels} {}\n{name}_count{labels} {below}", amount(metric, spread.sum))
    }

    /// The upper bound of a bucket. In OpenMetrics it is a float also where it is whole.
    fn bound(&self, metric: Metric, bound: u64) -> String {
        let text = amount(metric, bound);
        if self.format == Format::OpenMetrics && !text.contains('.') { text + ".0" } else { text }
    }
}

const fn suffix(metric: Metric) -> &'static str {
    match metric.kind() {
        Kind::Counter => "_total",
        Kind::Gauge | Kind::Histogram(_) => "",
    }
}

/// A number in the unit of its metric, exactly.
fn amount(metric: Metric, number: u64) -> String {
    if metric.unit() != Some("seconds") {
        return number.to_string();
    }
    let text = format!("{}.{:06}", number / 1_000_000, number % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn labels(metric: Metric, series: &Series, end: Option<&str>) -> String {
    let own = metric.labels().iter().copied().zip(series.labels.iter().map(String::as_str));
    let all: Vec<String> = own
        .chain(end.map(|end| ("le", end)))
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true)))
        .collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

/// With what would end a line or a value written as the formats want it; quotes only where they mean something.
fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specimen() -> Vec<Family> {
        let series = |label: &str, value| Series { labels: vec![label.to_owned()], value };
        let mut spread = Value::none(Metric::Latency);
        [90_000, 100_000, 100_001, 999_000_000_000].into_iter().for_each(|much| spread.add(Metric::Latency, much));
        vec![
            // Not in the order of the list.
            Family { metric: Metric::Latency, series: vec![series("a\"b\\c\nd", spread)] },
            Family::by(Metric::RateLimited, [("credential", 3), ("global", 0)]),
            Family::plain(Metric::QueueOldest, 1_500_000),
            Family::plain(Metric::QueueBytes, 1 << 40),
            Family::plain(Metric::SpoolFree, u64::MAX),
        ]
    }

    #[test]
    fn rule_o3_the_text_format_is_as_prometheus_reads_it() {
        let page = render(&specimen(), Format::Text);
        let lines: Vec<&str> = page.lines().collect();
        assert_eq!(
            &lines[..4],
            [
                "# HELP gatepost_rate_limited_total Messages that a limit refused, by what it counts.",
                "# TYPE gatepost_rate_limited_total counter",
                "gatepost_rate_limited_total{tier=\"credential\"} 3",
                "gatepost_rate_limited_total{tier=\"global\"} 0",
            ]
        );
        for line in [
            "gatepost_queue_oldest_message_age_seconds 1.5",
            "gatepost_queue_bytes 1099511627776",
            "gatepost_spool_free_bytes 18446744073709551615",
            r#"gatepost_delivery_latency_seconds_bucket{upstream="a\"b\\c\nd",le="0.1"} 2"#,
            r#"gatepost_delivery_latency_seconds_bucket{upstream="a\"b\\c\nd",le="0.25"} 3"#,
            r#"gatepost_delivery_latency_seconds_bucket{upstream="a\"b\\c\nd",le="86400"} 3"#,
            r#"gatepost_delivery_latency_seconds_bucket{upstream="a\"b\\c\nd",le="+Inf"} 4"#,
            r#"gatepost_delivery_latency_seconds_sum{upstream="a\"b\\c\nd"} 999000.290001"#,
            r#"gatepost_delivery_latency_seconds_count{upstream="a\"b\\c\nd"} 4"#,
        ] {
            assert!(lines.contains(&line), "{line}\n{page}");
        }
        assert!(!page.contains("# UNIT") && !page.contains("# EOF") && page.ends_with('\n'));
    }

    #[test]
    fn rule_o3_open_metrics_has_units_an_end_and_families_without_the_suffix() {
        let page = render(&specimen(), Format::OpenMetrics);
        for line in [
            "# TYPE gatepost_rate_limited counter\n",
            "\ngatepost_rate_limited_total{tier=\"credential\"} 3\n",
            "\n# UNIT gatepost_queue_bytes bytes\n",
            "\n# UNIT gatepost_delivery_latency_seconds seconds\n",
            "le=\"86400.0\"} 3\n",
            "le=\"+Inf\"} 4\n",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
        assert!(page.ends_with("\n# EOF\n") && page.matches("# EOF").count() == 1);
        assert!(!page.contains("# UNIT gatepost_rate_limited"));
        // Each family in one piece, and in the order of the list.
        let named: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let listed = Metric::ALL.iter().filter(|metric| specimen().iter().any(|family| family.metric == **metric));
        assert!(named.iter().map(|line| line.split(' ').next().unwrap()).eq(listed.map(|metric| metric.name())));
    }

    #[test]
    fn rule_o3_the_format_is_what_the_client_wants_most() {
        let wanted = |accept: &[&str]| Format::wanted(accept.iter().copied());
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for accept in [
            &[prometheus][..],
            &["application/openmetrics-text"],
            &["text/html", "Application/OpenMetrics-Text; Q=0.2"],
        ] {
            assert_eq!(wanted(accept), Format::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["text/plain;version=0.0.4, application/openmetrics-text;q=0.9"],
            &["application/openmetrics-text;version=0.0.1"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=2"],
            &["application/openmetrics-text;q=0.0001"],
            &["text/html,application/xhtml+xml"],
            &[";;==,,"],
        ] {
            assert_eq!(wanted(accept), Format::Text, "{accept:?}");
        }
    }
}
