//! As much of a URL as somebody who is posted to has.

use super::upstreams;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// As it is written, with its query; empty, or from the slash on.
    pub path: String,
}

impl Url {
    /// Reads one of `https` or `http`, without a user or a fragment.
    pub fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        let usual = if tls { 443 } else { 80 };
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let (host, port) = match has_port {
            true => upstreams::host(authority)?,
            false => upstreams::host(&format!("{authority}:{usual}"))?,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%+=@:,;!$&?".contains(c);
        path.chars().all(plain).then(|| Self { tls, host, port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_a_port_and_a_path() {
        let url = |tls, host: &str, port, path: &str| Some(Url { tls, host: host.into(), port, path: path.into() });
        for (text, expected) in [
            ("https://Witness.example.net", url(true, "witness.example.net", 443, "")),
            ("https://witness.example.net/", url(true, "witness.example.net", 443, "/")),
            ("https://witness.example.net:8443/log/w1/", url(true, "witness.example.net", 8443, "/log/w1/")),
            ("http://127.0.0.1:7380/x?a=b&c", url(false, "127.0.0.1", 7380, "/x?a=b&c")),
            ("https://[2001:db8::1]/x", url(true, "2001:db8::1", 443, "/x")),
            ("https://[2001:db8::1]:444", url(true, "2001:db8::1", 444, "")),
        ] {
            assert_eq!(Url::parse(text), expected, "{text}");
        }
        for text in [
            "witness.example.net",
            "ftp://x",
            "https://",
            "https://user@x",
            "https://x/a b",
            "https://x?q",
            "https://x/#f",
            "https://x:0/",
            "https://x/\r\nHost: y",
            "https://x/\u{e4}",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }
}
