//! The events of the control loop: what happened, in one sentence each, for readers of the API.
//!
//! A bounded number of the newest ones is in memory. The loop publishes an event without waiting, however many readers
//! there are and however slow they are.

mod backlog;
mod event;
mod log;
#[cfg(test)]
mod tests;

pub use crate::events::event::{Event, EventFilter, EventKind, Visible};
pub use crate::events::log::{Batch, EventReader, Events, Read};
