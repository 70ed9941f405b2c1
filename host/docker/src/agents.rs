//! The resource use of replicas on the nodes of a Swarm, as the agents of the nodes report it.
//!
//! A node whose agent does not answer has no samples: their absence is never a load of zero.

mod poller;
mod table;

pub(crate) use crate::agents::poller::{Place, Poller};
pub(crate) use crate::agents::table::AgentTable;
