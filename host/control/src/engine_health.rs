//! The health of the engine: if it answers, and when it was last lost.

use crate::clock::Clock;
use crate::error::ControlError;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use windlass_core::Timestamp;
use windlass_core::engine::EngineError;

/// The health of the engine as last observed.
#[derive(Debug)]
pub(crate) struct EngineHealth {
    clock: Clock,
    /// The reason why the engine cannot be used. `None` if it can be used.
    trouble: Mutex<Option<String>>,
    lost_at: Mutex<Timestamp>,
    /// True if the engine's record of earlier stops was read, or cannot be read for now.
    are_events_known: AtomicBool,
}

impl EngineHealth {
    pub(crate) fn new(clock: Clock) -> Self {
        let trouble = Mutex::new(Some("the engine has not answered yet".to_owned()));
        Self { clock, trouble, lost_at: Mutex::new(clock.now()), are_events_known: AtomicBool::new(false) }
    }

    /// Records whether the engine answered. Other errors say nothing about that. Returns true if the engine is back.
    pub(crate) fn note(&self, error: Option<&EngineError>) -> bool {
        let mut trouble = self.trouble.lock();
        match error {
            None => return trouble.take().is_some(),
            Some(error @ (EngineError::Unavailable(_) | EngineError::TimedOut { .. })) => {
                *trouble = Some(error.to_string());
                self.note_lost();
            }
            Some(_) => {}
        }
        false
    }

    /// Records that the earlier stops are known, or that the engine does not report them.
    pub(crate) fn note_events_known(&self) {
        self.are_events_known.store(true, Ordering::Relaxed);
    }

    /// Returns true if the stops from before the start of the host are known, as far as the engine reports them.
    pub(crate) fn are_events_known(&self) -> bool {
        self.are_events_known.load(Ordering::Relaxed)
    }

    /// Records that the engine, or its stream of events, is lost for now.
    pub(crate) fn note_lost(&self) {
        *self.lost_at.lock() = self.clock.now();
    }

    /// The time at which the engine was last lost; at first the time at which the host started.
    pub(crate) fn lost_at(&self) -> Timestamp {
        *self.lost_at.lock()
    }

    /// The reason why the engine cannot be used. `None` if it can be used.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// The error that a caller receives for an error of the engine, which is recorded too.
    pub(crate) fn refusal(&self, error: EngineError) -> ControlError {
        self.note(Some(&error));
        match error {
            EngineError::NotFound(id) => ControlError::NoSuchContainer(id),
            EngineError::Refused(why) | EngineError::NameTaken(why) | EngineError::CommandFailed(why) => {
                ControlError::Refused(why)
            }
            EngineError::Stale(why) => {
                ControlError::Conflict(format!("the service was changed meanwhile: {why}; send the request again"))
            }
            unavailable => ControlError::EngineUnavailable(unavailable.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_no_lost_engine() {
        let health = EngineHealth::new(Clock::simulated(Timestamp(1_000)));
        assert!(health.note(None), "the engine is there for the first time");
        let lost_at = health.lost_at();
        for error in [
            EngineError::Unreadable("invalid type: sequence".to_owned()),
            EngineError::Refused("403 Forbidden".to_owned()),
            EngineError::NotFound("ab12".to_owned()),
        ] {
            assert!(!health.note(Some(&error)));
            assert_eq!((health.trouble(), health.lost_at()), (None, lost_at), "{error}");
        }
        health.note(Some(&EngineError::Unavailable("no such socket".to_owned())));
        assert!(health.trouble().is_some());
    }
}
