//! Guardrails: how fast a workload's count may follow the policy's proposals.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The guardrails of a workload. The defaults are those of the Kubernetes Horizontal Pod Autoscaler (`autoscaling/v2`,
/// `behavior`):
///
/// - Scale-out is immediate, by 4 replicas or 100 % per 15 s, whichever is more.
/// - Scale-in stops at the highest proposal of the last 5 min.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrails {
    /// Limits of scale-out.
    pub up: Guardrail,
    /// Limits of scale-in.
    pub down: Guardrail,
    /// Time after the host first observed the workload, new or adopted, in which no policy scales it in: up to 1 h.
    /// Default 5 min.
    #[serde(default = "usual_grace")]
    pub grace: Duration,
    /// The count proposed when no metric has a value any more. If `None`, the count stays.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}

fn usual_grace() -> Duration {
    Duration::from_secs(300)
}

impl Default for Guardrails {
    fn default() -> Self {
        let per = Duration::from_secs(15);
        Self {
            up: Guardrail {
                window: Duration::ZERO,
                cooldown: Duration::ZERO,
                select: Select::Max,
                rates: vec![Rate { amount: Amount::Count(4), per }, Rate { amount: Amount::Percent(100), per }],
            },
            down: Guardrail {
                window: Duration::from_secs(300),
                cooldown: Duration::ZERO,
                select: Select::Max,
                rates: vec![Rate { amount: Amount::Percent(100), per }],
            },
            grace: usual_grace(),
            fallback: None,
        }
    }
}

impl Guardrails {
    /// No guardrails: the policy's proposal takes effect immediately.
    pub fn none() -> Self {
        let free =
            Guardrail { window: Duration::ZERO, cooldown: Duration::ZERO, select: Select::Max, rates: Vec::new() };
        Self { up: free.clone(), down: free, grace: Duration::ZERO, fallback: None }
    }

    /// The time for which proposals are kept.
    pub fn longest_window(&self) -> Duration {
        self.up.window.max(self.down.window)
    }

    /// The time for which changes of the count are kept.
    pub fn longest_memory(&self) -> Duration {
        let of = |guardrail: &Guardrail| {
            let longest = guardrail.rates.iter().map(|rate| rate.per).max().unwrap_or_default();
            longest.max(guardrail.cooldown)
        };
        of(&self.up).max(of(&self.down))
    }
}

/// The count while no metric has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// The count: 0 to 1 000. It replaces the policy's proposal, so windows, rates and bounds apply to it.
    pub replicas: u32,
    /// Consecutive observations without any metric value before the fallback applies: 1 to 1 000. Observations less
    /// than half an interval apart count once.
    pub after: u32,
}

impl Fallback {
    /// The default of [`Fallback::after`].
    pub const AFTER: u32 = 3;
}

/// The guardrails of one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrail {
    /// Stabilization window: the count moves only as far as all proposals of this time agree. Up to 1 h; with 0 only
    /// the newest proposal counts.
    pub window: Duration,
    /// Time after a change in this direction before the next: up to 1 h. A larger scale-out than the last may add the
    /// difference. A scale-out ends the cooldown of scale-in.
    pub cooldown: Duration,
    /// Which of the rates applies.
    pub select: Select,
    /// The most change per period; empty for no limit. At most [`Guardrail::MOST_RATES`].
    pub rates: Vec<Rate>,
}

impl Guardrail {
    /// The most rates of one direction.
    pub const MOST_RATES: usize = 8;
}

/// Which of several rates applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// The rate that allows the largest change.
    Max,
    /// The rate that allows the smallest change.
    Min,
    /// No change is allowed in this direction.
    Disabled,
}

/// The most change of the count in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// The change.
    pub amount: Amount,
    /// The period: 1 s to 1 h.
    pub per: Duration,
}

/// A number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    /// An absolute number: 1 to 1 000.
    Count(u32),
    /// A share of the count at the start of the period: 1 to 1 000 percent. The change is rounded up, in both
    /// directions.
    Percent(u32),
}
