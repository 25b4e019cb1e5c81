//! Events as lines: text as tracing writes it, or JSON, as the process was told.

use std::fmt;
use std::sync::atomic::Ordering;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{JSON, json};

pub struct Lines<T> {
    pub text: T,
    /// Who says it, where nobody else adds that.
    pub process: Option<&'static str>,
    /// Octets of a line of JSON, without its end.
    pub most: usize,
}

impl<S, N, T> FormatEvent<S, N> for Lines<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        match JSON.load(Ordering::Relaxed) {
            true => writeln!(writer, "{}", json::line(event, self.process, self.most)),
            false => self.text.format_event(context, writer, event),
        }
    }
}
