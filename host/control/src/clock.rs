//! The clock of the loop: the machine's clock, or tokio's clock, which tests can pause.

use std::time::SystemTime;
use tokio::time::Instant;
use windlass_core::Timestamp;

/// A source of [`Timestamp`]s. Engines use the machine's clock for their times, so production does too.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// Tokio's clock, counted from a fixed point in time. It stands still while tokio's clock is paused.
    Tokio {
        /// The time at `started`.
        base: Timestamp,
        /// The creation of the clock.
        started: Instant,
    },
}

impl Clock {
    /// A clock that starts at `base` and follows tokio's clock.
    pub fn simulated(base: Timestamp) -> Self {
        Self::Tokio { base, started: Instant::now() }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => SystemTime::now().into(),
            Self::Tokio { base, started } => base.plus(started.elapsed()),
        }
    }
}
