//! What is measured: a closed list of names, with what each one's labels are called. What a label says is from a closed set, too:
//! words of this program, and names that the operator gave to upstreams. Nothing of a message, a credential or a client is in any.

use serde::{Deserialize, Serialize};

/// How a metric's values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up, from 0 when the vault starts.
    Counter,
    Gauge,
    /// By the upper bounds of its buckets. What is above the last one has a bucket, too.
    Histogram(&'static [u64]),
}

/// In octets.
const SIZES: &[u64] = &[1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 25];
const RECIPIENTS: &[u64] = &[1, 2, 5, 10, 25, 50, 100];
/// In microseconds: of what a disk takes.
const COMMITS: &[u64] =
    &[500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000];
/// In microseconds, up to a day: of what an upstream takes, with the waits between attempts.
const LATENCIES: &[u64] = &[
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    14_400_000_000,
    86_400_000_000,
];

/// In microseconds: of what a request takes, up to its longest time.
const DURATIONS: &[u64] = &[
    5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
    90_000_000,
];

macro_rules! metrics {
    ($($metric:ident $name:literal $kind:expr, [$($label:literal)*] $help:literal)*) => {
        /// The order is that in which they are shown.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Metric { $($metric),* }

        impl Metric {
            pub const ALL: &[Self] = &[$(Self::$metric),*];

            /// Its name, without the `_total` that the samples of a counter end in.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$metric => $name),* }
            }

            pub const fn kind(self) -> Kind {
                match self { $(Self::$metric => $kind),* }
            }

            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$metric => &[$($label),*]),* }
            }

            /// One sentence for whoever reads what is shown.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$metric => $help),* }
            }
        }
    };
}

use Kind::{Counter, Gauge, Histogram};

metrics! {
    BuildInfo "gatepost_build_info" Gauge, ["version"] "Always 1: which version answers."
    Ready "gatepost_ready" Gauge, []
        "Whether mail is taken, as /readyz says it. When the vault is away, nothing is shown behind its reasons."
    ReadyReason "gatepost_ready_reason" Gauge, ["reason"] "1 for each reason that /readyz gives."
    StartTime "process_start_time_seconds" Gauge, [] "When the process that counts (the vault) started: counters begin anew there."
    MessagesReceived "gatepost_messages_received" Counter, ["protocol" "result"]
        "Messages that were submitted, by whether they are on disk or were refused; command is gatepost send."
    MessagesRejected "gatepost_messages_rejected" Counter, ["protocol" "reason"]
        "Messages that were refused, by the audit log's word for why."
    RecipientsRejected "gatepost_recipients_rejected" Counter, ["protocol" "reason"]
        "Recipients that were refused by themselves, by the audit log's word for why."
    MessageSize "gatepost_message_size_bytes" Histogram(SIZES), [] "Size of messages that were accepted."
    MessageRecipients "gatepost_message_recipients" Histogram(RECIPIENTS), [] "Recipients of messages that were accepted."
    AuthAttempts "gatepost_auth_attempts" Counter, ["protocol" "result"]
        "Logins. Why one failed is told to nobody outside: the audit log has it."
    TurnstileVerifications "gatepost_turnstile_verifications" Counter, ["result"]
        "Tokens that Turnstile was asked of, by what it said: error is that nobody can say. Why one failed is in the audit log."
    RateLimited "gatepost_rate_limited" Counter, ["tier"] "Messages that a limit refused, by what it counts."
    QueueMessages "gatepost_queue_messages" Gauge, []
        "Messages in the spool, whatever they wait for; each 100 recipients of one count as one."
    QueueBytes "gatepost_queue_bytes" Gauge, [] "Octets of the messages in the spool."
    QueueOldest "gatepost_queue_oldest_message_age_seconds" Gauge, []
        "Age of the message that is longest in the spool, held and scheduled ones too; 0 when there is none."
    QueueWaiting "gatepost_queue_longest_wait_seconds" Gauge, []
        "For how long mail that could leave has waited, at most: neither held nor scheduled nor under way; 0 when there is none."
    SpoolFree "gatepost_spool_free_bytes" Gauge, [] "Room on the disk of the spool."
    SpoolReserve "gatepost_spool_reserve_bytes" Gauge, [] "With less room than this no mail is taken (spool.reserve)."
    CommitDuration "gatepost_spool_commit_duration_seconds" Histogram(COMMITS), []
        "What a group commit took until it was on the disk."
    Attempts "gatepost_delivery_attempts" Counter, ["upstream" "result"] "What upstreams answered, by recipient and attempt."
    Deliveries "gatepost_deliveries" Counter, ["upstream" "outcome"]
        "Recipients that are done; without an upstream where none had a say in it."
    Latency "gatepost_delivery_latency_seconds" Histogram(LATENCIES), ["upstream"]
        "From the beginning of a message (MAIL) until an upstream took it, by recipient, with the time it was held for."
    UpstreamUp "gatepost_upstream_up" Gauge, ["upstream"] "0 while it fails or nobody serves it; one that is paused is up."
    UpstreamCircuit "gatepost_upstream_circuit_open" Gauge, ["upstream"]
        "1 while nothing, or one message at a time, is tried after failures."
    UpstreamPaused "gatepost_upstream_paused" Gauge, ["upstream"] "1 while an administrator has paused it."
    UpstreamInFlight "gatepost_upstream_messages_in_flight" Gauge, ["upstream"] "Messages that its couriers have."
    WebhookDeliveries "gatepost_webhook_deliveries" Counter, ["result"] "Events that were posted to webhooks, by what came of it."
    HookEvents "gatepost_hook_events" Counter, ["hook" "result"]
        "What was posted to hooks of providers, by what came of it; without a hook where there is none of that name."
    AuditEvents "gatepost_audit_events" Counter, ["event"]
        "Events in the audit log. What repeats is written once in a window, with its number; the other counters have each."
    ReloadSuccessful "gatepost_config_last_reload_successful" Gauge, []
        "0 when the last reload was refused. Not shown until a start or a reload was seen."
    ReloadTime "gatepost_config_last_reload_timestamp_seconds" Gauge, []
        "When the configuration in use was taken. Not shown until a start or a reload was seen."
    CertificateExpiry "gatepost_tls_certificate_expiry_timestamp_seconds" Gauge, ["listener"]
        "When the first of the certificates ends that a listener shows. Not shown until it has said so."
    ConnectionsOpen "gatepost_connections_open" Gauge, ["listener"] "Connections that a listener has now."
    Connections "gatepost_connections" Counter, ["listener" "result"]
        "Connections by what came of them at their beginning. One whose TLS fails counts as begun, too."
    HttpRequests "gatepost_http_requests" Counter, ["surface" "code"] "Requests that were answered, by whose API they spoke."
    HttpDuration "gatepost_http_request_duration_seconds" Histogram(DURATIONS), ["surface"]
        "From the head of a request to its answer, with its body's time and with what its client asked to wait for."
    HttpBody "gatepost_http_request_body_bytes" Histogram(SIZES), ["surface"]
        "Bodies of requests that had one, as far as they were read: of what was refused in the middle, what had come."
    HttpInFlight "gatepost_http_requests_in_flight" Gauge, [] "Requests that are worked on now."
    HttpProtocolErrors "gatepost_http_protocol_errors" Counter, ["reason"]
        "Connections that ended over octets that are no request, or none that has one meaning."
    Panics "gatepost_panics" Counter, ["protocol"] "Sessions and requests that a defect of this program ended."
}

impl Metric {
    /// The unit that its name ends in: values in seconds are handed on in microseconds.
    pub fn unit(self) -> Option<&'static str> {
        ["seconds", "bytes"].into_iter().find(|unit| self.name().rsplit('_').next() == Some(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_wants_them_and_there_is_none_twice() {
        for (at, metric) in Metric::ALL.iter().enumerate() {
            let name = metric.name();
            assert!(name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'), "{name}");
            assert!(name.starts_with("gatepost_") || name == "process_start_time_seconds", "{name}");
            assert!(!name.ends_with("_total") && !name.ends_with("_count"), "{name}: the samples have the suffix");
            assert!(!Metric::ALL[..at].iter().any(|other| other.name() == name), "{name}");
            assert!(metric.labels().len() <= 2 && metric.help().ends_with('.'), "{name}");
            if let Kind::Histogram(bounds) = metric.kind() {
                assert!(bounds.is_sorted() && !bounds.is_empty(), "{name}");
            }
        }
        assert_eq!((Metric::Latency.unit(), Metric::QueueBytes.unit()), (Some("seconds"), Some("bytes")));
        assert_eq!(Metric::MessageRecipients.unit(), None);
    }
}
