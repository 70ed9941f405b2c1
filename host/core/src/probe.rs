//! Probes: how the host checks a replica, and which responses are good.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The kind of check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeTarget {
    /// An HTTP request whose response is checked.
    Http(HttpProbe),
    /// A TCP connection to this port; connecting is success.
    Tcp {
        /// Port inside the replica.
        port: u16,
    },
    /// A command in the replica; exit status 0 is success.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// The image's own HEALTHCHECK, which the engine runs at its own interval.
    Docker,
    /// No check, even if the image has a HEALTHCHECK.
    None,
}

/// `GET path` on a port, and the expected response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Port inside the replica.
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
    /// Headers sent with the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The expected response.
    #[serde(default)]
    pub expect: Expected,
}

/// The expected response to an HTTP probe.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Expected {
    /// Accepted status codes; empty for 200 to 399.
    #[serde(default)]
    pub status: Vec<StatusRange>,
    /// Text that the first [`HttpProbe::LONGEST_BODY`] bytes of the body must contain.
    #[serde(default)]
    pub body: Option<String>,
    /// Required headers with their value, or `None` for any value. Names in lower case.
    #[serde(default)]
    pub headers: BTreeMap<String, Option<String>>,
}

/// An inclusive range of status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRange {
    /// At least 100.
    pub first: u16,
    /// At most 599.
    pub last: u16,
}

impl HttpProbe {
    /// Bytes of the body that are read.
    pub const LONGEST_BODY: u64 = 64 << 10;

    /// `GET path` that accepts any status from 200 to 399.
    pub fn get(port: u16, path: impl Into<String>) -> Self {
        Self { port, path: path.into(), headers: BTreeMap::new(), expect: Expected::default() }
    }

    /// Checks a response. `header` returns the values of a header; `body` is the part of the body that was read.
    ///
    /// # Errors
    /// The difference to the expected response.
    pub fn judge(&self, status: u16, header: impl Fn(&str) -> Vec<String>, body: &[u8]) -> Result<(), String> {
        let request = format!("GET {} on port {}", self.path, self.port);
        let Expected { status: ranges, body: text, headers } = &self.expect;
        let is_good = match ranges.as_slice() {
            [] => (200..400).contains(&status),
            ranges => ranges.iter().any(|range| (range.first..=range.last).contains(&status)),
        };
        if !is_good {
            return Err(format!("{request} answered {status}"));
        }
        for (name, wanted) in headers {
            let found = header(name);
            match wanted {
                _ if found.is_empty() => return Err(format!("{request} answered without the header `{name}`")),
                Some(wanted) if !found.contains(wanted) => {
                    return Err(format!("{request} answered with another `{name}` than `{}`", wanted.escape_debug()));
                }
                _ => {}
            }
        }
        let Some(text) = text else { return Ok(()) };
        let is_there = body.windows(text.len()).any(|part| part == text.as_bytes());
        if is_there {
            return Ok(());
        }
        Err(format!("{request} answered without `{}` in its body", text.escape_debug()))
    }
}

/// A check of each running replica at an interval; the health policy receives the results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The kind of check.
    pub target: ProbeTarget,
    /// Time between two checks: 1 s to 1 h. Ignored if the host does not probe itself.
    pub interval: Duration,
    /// Time limit of a check: 10 ms up to `interval`. Ignored if the host does not probe itself.
    pub timeout: Duration,
}

impl Probe {
    /// The default interval.
    pub const INTERVAL: Duration = Duration::from_secs(10);
    /// The default timeout.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// A probe with the default interval and timeout.
    pub fn usual(target: ProbeTarget) -> Self {
        Self { target, interval: Self::INTERVAL, timeout: Self::TIMEOUT }
    }

    /// Whether the host itself probes.
    pub fn is_asked(&self) -> bool {
        !matches!(self.target, ProbeTarget::Docker | ProbeTarget::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expecting(expect: Expected) -> HttpProbe {
        HttpProbe { expect, ..HttpProbe::get(80, "/up") }
    }

    fn judged(probe: &HttpProbe, status: u16, body: &str) -> Result<(), String> {
        let header = |name: &str| if name == "x-ready" { vec!["yes".to_owned()] } else { Vec::new() };
        probe.judge(status, header, body.as_bytes())
    }

    #[test]
    fn the_usual_good_answer_is_200_to_399() {
        let probe = HttpProbe::get(80, "/up");
        for (status, is_good) in [(199, false), (200, true), (302, true), (399, true), (400, false), (503, false)] {
            assert_eq!(judged(&probe, status, "").is_ok(), is_good, "{status}");
        }
        assert_eq!(judged(&probe, 503, ""), Err("GET /up on port 80 answered 503".to_owned()));
    }

    #[test]
    fn codes_headers_and_text_may_be_expected() {
        let codes = vec![StatusRange { first: 200, last: 204 }, StatusRange { first: 401, last: 401 }];
        let probe = expecting(Expected { status: codes, ..Expected::default() });
        for (status, is_good) in [(200, true), (204, true), (205, false), (301, false), (401, true), (402, false)] {
            assert_eq!(judged(&probe, status, "").is_ok(), is_good, "{status}");
        }
        let with = |name: &str, value: Option<&str>| {
            let headers = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
            judged(&expecting(Expected { headers, ..Expected::default() }), 200, "")
        };
        assert_eq!((with("x-ready", None), with("x-ready", Some("yes"))), (Ok(()), Ok(())));
        let another = "GET /up on port 80 answered with another `x-ready` than `no`";
        assert_eq!(with("x-ready", Some("no")), Err(another.to_owned()));
        assert_eq!(with("etag", None), Err("GET /up on port 80 answered without the header `etag`".to_owned()));
        let probe = expecting(Expected { body: Some("well".to_owned()), ..Expected::default() });
        assert_eq!(judged(&probe, 200, "all is well\n"), Ok(()));
        let missing = "GET /up on port 80 answered without `well` in its body";
        assert_eq!(judged(&probe, 200, "wel l"), Err(missing.to_owned()));
        assert_eq!(judged(&probe, 200, ""), Err(missing.to_owned()));
    }

    #[test]
    fn probes_that_older_versions_stored_are_read() {
        let times = r#""interval": {"secs": 5, "nanos": 0}, "timeout": {"secs": 1, "nanos": 0}"#;
        let stored = |target: &str| {
            let probe: Result<Probe, _> = serde_json::from_str(&format!(r#"{{"target": {target}, {times}}}"#));
            probe.map(|probe| probe.target).ok()
        };
        let http = stored(r#"{"http": {"port": 80, "path": "/up"}}"#);
        assert_eq!(http, Some(ProbeTarget::Http(HttpProbe::get(80, "/up"))));
        assert_eq!(stored(r#"{"tcp": {"port": 80}}"#), Some(ProbeTarget::Tcp { port: 80 }));
    }
}
