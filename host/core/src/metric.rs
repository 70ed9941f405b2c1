//! What a workload measures: where the values come from, how often, and what counts as one.

use crate::contract::Sample;
use crate::time::millis;
use crate::{DurationMs, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One named metric of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Where its values come from.
    pub source: MetricSource,
    /// Time from one question to the next: 1 s to 1 h.
    pub interval: Duration,
    /// What an answer may take: 10 ms up to the interval.
    pub timeout: Duration,
    /// How old the newest value may be before the metric counts as failed: from the interval up to a day.
    pub max_age: Duration,
    /// Whether a value below zero is one, or a failure.
    pub allow_negative: bool,
}

impl Metric {
    /// Metrics a workload may define.
    pub const MOST: usize = 32;
    /// The time between two questions where none is said.
    pub const INTERVAL: Duration = Duration::from_secs(15);
    /// The longest time of an answer where none is said, or the interval if that is shorter.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// The greatest age where none is said: two intervals, at least a minute.
    pub fn usual_max_age(interval: Duration) -> Duration {
        (interval * 2).max(Duration::from_secs(60))
    }

    /// A value, if it counts as one.
    ///
    /// # Errors
    /// What it is instead.
    pub fn accept(&self, value: f64) -> Result<f64, MetricFailure> {
        accept(value, self.allow_negative)
    }
}

/// A value, if it counts as one.
///
/// # Errors
/// What it is instead.
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

/// Where the values of a metric come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricSource {
    /// An instant query of a Prometheus, which must come to one number.
    Prometheus {
        /// Its address, `http://host:port`.
        url: String,
        /// In its own language.
        query: String,
    },
    /// A number in a JSON document.
    Json {
        /// The document's address.
        url: String,
        /// Where the number is (RFC 6901).
        pointer: String,
    },
    /// What a command in each running replica prints: one number. The metric is the mean of those that print one; it is a
    /// failure as well, `partial`, where some do not.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// Whoever sends samples to `POST /images/{image}/metrics`.
    Push,
}

impl MetricSource {
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
    /// Processor time as a fraction of the limit; of the workload the mean over ready replicas.
    CpuUtilization,
    /// Memory as a fraction of the limit; of the workload the mean over ready replicas.
    MemoryUtilization,
    /// Bytes received in a second; of the workload the mean over ready replicas.
    NetworkReceiveRate,
    /// Bytes sent in a second; of the workload the mean over ready replicas.
    NetworkTransmitRate,
    /// Replicas that are ready; only of the workload.
    ReadyReplicas,
}

impl BuiltIn {
    /// All of them.
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

    /// The one of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|built_in| built_in.name() == name)
    }
}

/// What becomes of the stored values of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleChange {
    /// All of them go.
    Clear,
    /// A value, in the place of any of the same time.
    Put(Sample),
    /// A mean, in the place of all from a time until another.
    Merge {
        /// The first that goes is not before it.
        from: Timestamp,
        /// The last that goes is before it.
        until: Timestamp,
        /// The mean.
        into: Sample,
    },
}

/// Why a metric has no value now. An error is never a zero.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricFailure {
    /// Nobody defined it, or no value ever came.
    #[error("missing: {0}")]
    Missing(String),
    /// There was an answer without a value.
    #[error("empty: {0}")]
    Empty(String),
    /// The value is no number.
    #[error("not-a-number: the value is {0}")]
    NotANumber(String),
    /// The value is infinite.
    #[error("infinite: the value is infinite")]
    Infinite,
    /// The value is below zero where none can be.
    #[error("negative: the value is {0}, and this metric has no negative values")]
    Negative(f64),
    /// Some replicas have no value; there is that of the others.
    #[error("partial: {without} of {of} replicas have no value: {why}")]
    Partial {
        /// How many have none.
        without: usize,
        /// Of how many.
        of: usize,
        /// What keeps the first of them from it.
        why: String,
    },
    /// The newest value is too old.
    #[error("stale: the newest value is {age} ms old, at most {max_age} ms count")]
    Stale {
        /// Its age.
        age: DurationMs,
        /// The greatest that counts.
        max_age: DurationMs,
    },
    /// Nobody answered.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("timeout: no answer within {} ms", millis(*.0))]
    TimedOut(Duration),
    /// The answer cannot be read.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

impl MetricFailure {
    /// The name of [`MetricFailure::Partial`], the one failure beside which there is a value.
    pub const PARTIAL: &str = "partial";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_value_has_a_name() {
        let told = |value: f64| accept(value, false).map_err(|failure| failure.to_string());
        assert_eq!(told(0.0), Ok(0.0));
        assert_eq!(told(f64::NAN).unwrap_err(), "not-a-number: the value is NaN");
        assert_eq!(told(f64::NEG_INFINITY).unwrap_err(), "infinite: the value is infinite");
        assert_eq!(told(-1.0).unwrap_err(), "negative: the value is -1, and this metric has no negative values");
        assert_eq!(accept(-1.0, true), Ok(-1.0));
    }
}
