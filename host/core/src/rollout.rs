//! The settings of rollouts: how a changed specification reaches the replicas.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How outdated replicas are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Whether they are replaced at all.
    pub mode: RolloutMode,
    /// Which of the two replicas runs first. `None`: [`RolloutOrder::StartFirst`] where the ports allow it.
    pub order: Option<RolloutOrder>,
    /// Time for which a new replica must be ready before the next one is replaced.
    pub min_ready: Duration,
    /// Time within which a new replica must be ready; otherwise it counts as failed.
    pub ready_within: Duration,
    /// New replicas that fail in a row before the rollout pauses; 0 for never.
    pub max_failures: u32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            mode: RolloutMode::Rolling,
            order: None,
            min_ready: Duration::from_secs(10),
            ready_within: Duration::from_secs(600),
            max_failures: 3,
        }
    }
}

/// Whether outdated replicas are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloutMode {
    /// A share of them at a time.
    #[default]
    Rolling,
    /// Only reported. A replica is new when it is created for another reason.
    Manual,
}

/// Which replica runs first when one is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutOrder {
    /// The new one is ready before the old one goes; for that time there is one replica more.
    StartFirst,
    /// The old one goes first, and the new one takes its slot.
    StopFirst,
}
