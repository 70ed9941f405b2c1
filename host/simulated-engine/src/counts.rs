//! A simulated engine that keeps a number of replicas of each service by itself, as a Docker Swarm does. Time is tokio's.
//!
//! It places replicas on nodes with room, replaces failed ones after a delay, updates services one replica at a time and
//! rolls back, notices dead nodes late, and refuses changes of another version.

mod calls;
mod controls;
mod nodes;
mod orchestrator;
mod state;
mod swarm;
mod update;

pub use crate::counts::controls::Deploy;
pub use crate::counts::state::{CountCall, FailureAction, Template};
pub use crate::counts::swarm::SimulatedSwarm;
