//! The host's memory of a service whose replicas the engine keeps.

use crate::{Blocked, Slot, Timestamp, Trouble};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The memory of a service. Empty for a workload whose replicas the host makes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServiceHistory {
    /// Since when a replica has waited for a node, once that is a minute ago. `None` if none has.
    #[serde(default)]
    pub no_room: Option<Timestamp>,
    /// Since when the engine's update of the service has been paused. `None` if it is not.
    #[serde(default)]
    pub paused: Option<Timestamp>,
    /// The engine's refusals in a row to create the service or to set its count. `None` if it does not refuse.
    #[serde(default)]
    pub refused: Option<Blocked>,
    /// The slots whose replicas concern a person. The engine replaces a failed replica, so the slot is what stays.
    #[serde(default)]
    pub troubles: BTreeMap<Slot, SlotTrouble>,
}

impl ServiceHistory {
    /// Every time in it.
    pub(crate) fn times(&mut self) -> impl Iterator<Item = &mut Timestamp> {
        let refused = self.refused.iter_mut().flat_map(|refused| [&mut refused.since, &mut refused.last]);
        let troubles = self.troubles.values_mut().flat_map(|slot| [&mut slot.trouble.since, &mut slot.seen]);
        [&mut self.no_room, &mut self.paused].into_iter().flatten().chain(refused).chain(troubles)
    }
}

/// A slot of a service whose replica concerns a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotTrouble {
    /// The condition and its start.
    pub trouble: Trouble,
    /// When it was last observed. Between the end of a replica and the start of the next one, the slot has none.
    pub seen: Timestamp,
}
