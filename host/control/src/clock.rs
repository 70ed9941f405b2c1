//! What time it is: the machine's clock, or one that follows tokio's and can be paused in tests.

use std::time::SystemTime;
use tokio::time::Instant;
use windlass_core::Timestamp;

/// A source of [`Timestamp`]s. Engines stamp replicas by the machine's clock, so the real one is that.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Tokio's clock, counted from a fixed point in time; stands still while tokio's is paused.
    Tokio {
        /// What it showed at `started`.
        base: Timestamp,
        /// When it was made.
        started: Instant,
    },
}

impl Clock {
    /// A clock that follows tokio's from `base` on.
    pub fn simulated(base: Timestamp) -> Self {
        Self::Tokio { base, started: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemTime::now().into(),
            Self::Tokio { base, started } => base.plus(started.elapsed()),
        }
    }
}
