//! Metrics of a workload: their sources, their intervals, and which values are valid.

use crate::contract::Sample;
use crate::time::millis;
use crate::{Credentials, DurationMs, SourceUrl, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One named metric of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// The source of its values.
    pub source: MetricSource,
    /// Time between two queries: 1 s to 1 h.
    pub interval: Duration,
    /// Time limit of a query: 10 ms up to the interval.
    pub timeout: Duration,
    /// Age at which the newest value is stale and the metric fails: from the interval up to 24 h.
    pub max_age: Duration,
    /// Whether a negative value is valid or a failure.
    pub allow_negative: bool,
}

impl Metric {
    /// The most metrics a workload may define.
    pub const MOST: usize = 32;
    /// The most characters of a metric's name.
    pub const LONGEST_NAME: usize = 63;
    /// The default interval.
    pub const INTERVAL: Duration = Duration::from_secs(15);
    /// The default timeout, or the interval if that is shorter.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// A metric whose values are pushed, with the defaults of everything else.
    pub fn pushed() -> Self {
        Self {
            source: MetricSource::Push,
            interval: Self::INTERVAL,
            timeout: Self::TIMEOUT,
            max_age: Self::usual_max_age(Self::INTERVAL),
            allow_negative: false,
        }
    }

    /// Whether a text can be the name of a metric: 1 to 63 lower-case letters, digits, `-` and `_`.
    pub fn is_name(text: &str) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        (1..=Self::LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_plain)
    }

    /// The default maximum age: two intervals, at least 60 s.
    pub fn usual_max_age(interval: Duration) -> Duration {
        (interval * 2).max(Duration::from_secs(60))
    }

    /// Returns the value if it is valid.
    ///
    /// # Errors
    /// The failure that an invalid value counts as.
    pub fn accept(&self, value: f64) -> Result<f64, MetricFailure> {
        accept(value, self.allow_negative)
    }
}

/// Returns the value if it is valid.
///
/// # Errors
/// The failure that an invalid value counts as.
pub fn accept(value: f64, allow_negative: bool) -> Result<f64, MetricFailure> {
    if value.is_nan() {
        Err(MetricFailure::NotANumber("NaN".to_owned()))
    } else if value.is_infinite() {
        Err(MetricFailure::Infinite)
    } else if value < 0.0 && !allow_negative {
        Err(MetricFailure::Negative(value))
    } else {
        Ok(value)
    }
}

/// The source of a metric's values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricSource {
    /// An instant query to Prometheus, which must return one number.
    Prometheus {
        /// The address of Prometheus, `http://host:port`. Its path is a prefix, and its query is part of each request.
        url: SourceUrl,
        /// The query in PromQL.
        query: String,
        /// The credentials of the request.
        #[serde(default, skip_serializing_if = "Credentials::is_none")]
        credentials: Credentials,
    },
    /// A number in a JSON document.
    Json {
        /// The document's URL.
        url: SourceUrl,
        /// JSON pointer to the number (RFC 6901).
        pointer: String,
        /// The credentials of the request.
        #[serde(default, skip_serializing_if = "Credentials::is_none")]
        credentials: Credentials,
    },
    /// A command in each running replica that prints one number. The metric is the mean of the replicas that print one.
    /// If some do not, it is also a failure, `partial`.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Samples sent to `POST /images/{image}/metrics`.
    Push,
}

impl MetricSource {
    /// The address and the credentials of a source that is queried over HTTP.
    pub fn http(&self) -> Option<(&SourceUrl, &Credentials)> {
        match self {
            Self::Prometheus { url, credentials, .. } | Self::Json { url, credentials, .. } => Some((url, credentials)),
            Self::Exec { .. } | Self::Push => None,
        }
    }

    /// As [`MetricSource::http`], to change them.
    pub fn http_mut(&mut self) -> Option<(&mut SourceUrl, &mut Credentials)> {
        match self {
            Self::Prometheus { url, credentials, .. } | Self::Json { url, credentials, .. } => Some((url, credentials)),
            Self::Exec { .. } | Self::Push => None,
        }
    }

    /// Its name in a workload's definition.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Prometheus { .. } => "prometheus",
            Self::Json { .. } => "json",
            Self::Exec { .. } => "exec",
            Self::Push => "push",
        }
    }
}

/// Metrics that every workload has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltIn {
    /// CPU use as a fraction of the limit. For the workload: the mean over ready replicas.
    CpuUtilization,
    /// Memory use as a fraction of the limit. For the workload: the mean over ready replicas.
    MemoryUtilization,
    /// Bytes received per second. For the workload: the mean over ready replicas.
    NetworkReceiveRate,
    /// Bytes sent per second. For the workload: the mean over ready replicas.
    NetworkTransmitRate,
    /// Number of ready replicas; only for the workload.
    ReadyReplicas,
}

impl BuiltIn {
    /// All built-in metrics.
    pub const ALL: [Self; 5] = [
        Self::CpuUtilization,
        Self::MemoryUtilization,
        Self::NetworkReceiveRate,
        Self::NetworkTransmitRate,
        Self::ReadyReplicas,
    ];

    /// Its name for policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuUtilization => "cpu-utilization",
            Self::MemoryUtilization => "memory-utilization",
            Self::NetworkReceiveRate => "network-receive-rate",
            Self::NetworkTransmitRate => "network-transmit-rate",
            Self::ReadyReplicas => "ready-replicas",
        }
    }

    /// The built-in metric with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|built_in| built_in.name() == name)
    }
}

/// A change to the stored samples of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleChange {
    /// Delete all samples.
    Clear,
    /// Store a sample, in place of one with the same time.
    Put(Sample),
    /// Replace the samples of a time range by their mean.
    Merge {
        /// Start of the range, inclusive.
        from: Timestamp,
        /// End of the range, exclusive.
        until: Timestamp,
        /// The mean.
        into: Sample,
    },
}

/// Why a metric has no value now. A failure is never treated as zero.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricFailure {
    /// The metric is not defined, or no value ever arrived.
    #[error("missing: {0}")]
    Missing(String),
    /// The response contained no value.
    #[error("empty: {0}")]
    Empty(String),
    /// The value is not a number.
    #[error("not-a-number: the value is {0}")]
    NotANumber(String),
    /// The value is infinite.
    #[error("infinite: the value is infinite")]
    Infinite,
    /// The value is negative, and the metric does not allow that.
    #[error("negative: the value is {0}, and this metric has no negative values")]
    Negative(f64),
    /// Some replicas have no value; the mean of the others is available.
    #[error("partial: {without} of {of} replicas have no value: {why}")]
    Partial {
        /// Number of replicas without a value.
        without: usize,
        /// Number of all replicas.
        of: usize,
        /// The reason for the first of them.
        why: String,
    },
    /// The source answered in part; its value is available.
    #[error("partial: {0}")]
    InPart(String),
    /// The newest value is too old.
    #[error("stale: the newest value is {age} ms old, at most {max_age} ms count")]
    Stale {
        /// Its age in milliseconds.
        age: DurationMs,
        /// The maximum age in milliseconds.
        max_age: DurationMs,
    },
    /// The source could not be reached.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// There was no response in time.
    #[error("timeout: no answer within {} ms", millis(*.0))]
    TimedOut(Duration),
    /// The response could not be parsed.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

impl MetricFailure {
    /// The name of [`MetricFailure::Partial`] and [`MetricFailure::InPart`], the only failures with a value.
    pub const PARTIAL: &str = "partial";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_was_stored_before_there_were_credentials_is_read() {
        let stored = r#"{"prometheus":{"url":"http://127.0.0.1:9090","query":"up"}}"#;
        let source: MetricSource = serde_json::from_str(stored).expect("an older source");
        assert_eq!(serde_json::to_string(&source).expect("JSON"), stored);
        let with = r#"{"json":{"url":"http://a","pointer":"","credentials":{"headers":{"x-key":"s3cret"}}}}"#;
        let source: MetricSource = serde_json::from_str(with).expect("a source");
        assert_eq!(serde_json::to_string(&source).expect("JSON"), with, "the secret is stored");
        assert!(!format!("{source:?}").contains("s3cret"), "{source:?}");
    }

    #[test]
    fn what_is_no_value_has_a_name() {
        let accepted = |value: f64| accept(value, false).map_err(|failure| failure.to_string());
        assert_eq!(accepted(0.0), Ok(0.0));
        assert_eq!(accepted(f64::NAN).unwrap_err(), "not-a-number: the value is NaN");
        assert_eq!(accepted(f64::NEG_INFINITY).unwrap_err(), "infinite: the value is infinite");
        assert_eq!(accepted(-1.0).unwrap_err(), "negative: the value is -1, and this metric has no negative values");
        assert_eq!(accept(-1.0, true), Ok(-1.0));
    }
}
