//! How fast and how eagerly a workload's count may follow what its policy proposes.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The guardrails of a workload. The defaults are those of the Kubernetes Horizontal Pod Autoscaler
/// (`autoscaling/v2`, `behavior`): up at once, by 4 or 100 % in 15 s, whichever is more; down by what 5 min of
/// proposals agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrails {
    /// Of a count that rises.
    pub up: Guardrail,
    /// Of a count that falls.
    pub down: Guardrail,
    /// Time from when the host first looks after a workload, new or adopted, in which no policy shrinks it: up to 1 h.
    /// Default 5 min.
    #[serde(default = "usual_grace")]
    pub grace: Duration,
    /// What is proposed where no metric has a value any more; none: the count stays.
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
    /// Nothing is slowed: what a policy proposes is wanted at once.
    pub fn none() -> Self {
        let free =
            Guardrail { window: Duration::ZERO, cooldown: Duration::ZERO, select: Select::Max, rates: Vec::new() };
        Self { up: free.clone(), down: free, grace: Duration::ZERO, fallback: None }
    }

    /// How far back proposals count.
    pub fn longest_window(&self) -> Duration {
        self.up.window.max(self.down.window)
    }

    /// How far back changes of the count matter.
    pub fn longest_memory(&self) -> Duration {
        let of = |guardrail: &Guardrail| {
            let longest = guardrail.rates.iter().map(|rate| rate.per).max().unwrap_or_default();
            longest.max(guardrail.cooldown)
        };
        of(&self.up).max(of(&self.down))
    }
}

/// A count for the time in which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// How many: 0 to 1 000. It is proposed as a policy would, so windows, rates and bounds hold over it.
    pub replicas: u32,
    /// Looks in a row at which no metric had a value, before it is: 1 to 1 000. Looks within half an interval are one.
    pub after: u32,
}

impl Fallback {
    /// Failures where none are said.
    pub const AFTER: u32 = 3;
}

/// The guardrails of one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrail {
    /// The count moves no further than every proposal of this time agrees: up to 1 h, 0: the newest alone counts.
    pub window: Duration,
    /// Time after a change in this direction before the next: up to 1 h. A larger step up than the last may exceed it;
    /// a step up ends the cooldown of steps down.
    pub cooldown: Duration,
    /// Which of the rates holds.
    pub select: Select,
    /// How much in what time; none: as much as is proposed. At most [`Guardrail::MOST_RATES`].
    pub rates: Vec<Rate>,
}

impl Guardrail {
    /// The most rates of one direction.
    pub const MOST_RATES: usize = 8;
}

/// Which of several rates holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// The one that allows most.
    Max,
    /// The one that allows least.
    Min,
    /// None: the count does not move in this direction.
    Disabled,
}

/// How much the count may change in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How much.
    pub amount: Amount,
    /// In what time: 1 s to 1 h.
    pub per: Duration,
}

/// An amount of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    /// So many: 1 to 1 000.
    Count(u32),
    /// A part of those there were when the time began: 1 to 1 000 percent. Up it is rounded up, down it leaves no part of
    /// a replica.
    Percent(u32),
}
