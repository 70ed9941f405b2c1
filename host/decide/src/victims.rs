//! The replicas that a Swarm removes when the count of a service falls. The host cannot choose them; it predicts them.
//!
//! The order is that of swarmkit (`manager/orchestrator/replicated`): slots without a node or with two tasks go first, then
//! those on the node with the most replicas of the service, then those that do not run, then the highest slot.

use std::collections::{BTreeMap, HashMap};
use windlass_core::{Phase, Replica, ServiceState, Slot, Snapshot};

/// A slot without a node, or with two replicas, goes before all others.
const FIRST: usize = usize::MAX;

/// The slots of a service with their replicas, in the order in which the engine removes them. A slot that waits for a node
/// may have no replica.
pub(crate) fn removal_order<'a>(service: &ServiceState, snapshot: &'a Snapshot) -> Vec<Vec<&'a Replica>> {
    let mut by_slot: BTreeMap<Slot, Vec<&Replica>> = BTreeMap::new();
    for pending in &service.pending {
        by_slot.entry(pending.slot).or_default();
    }
    for replica in snapshot.counted() {
        by_slot.entry(replica.slot).or_default().push(replica);
    }
    let mut slots: Vec<Vec<&Replica>> = by_slot.into_values().collect();
    let runs = |replicas: &Vec<&Replica>| replicas.iter().any(|replica| replica.phase == Phase::Running);
    // Stable sorts: equal ones stay in the order of their slots.
    slots.sort_by_key(|replicas| !runs(replicas));
    let mut copies: HashMap<&str, usize> = HashMap::new();
    let mut ranked: Vec<(usize, Vec<&Replica>)> = slots
        .into_iter()
        .map(|replicas| {
            let rank = match replicas.as_slice() {
                [replica] => node(replica, snapshot).map_or(FIRST, |node| {
                    let copies = copies.entry(node).or_default();
                    *copies += 1;
                    *copies
                }),
                _ => FIRST,
            };
            (rank, replicas)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().rev().map(|(_, replicas)| replicas).collect()
}

/// The node of a replica. `None` if it has none yet. A replica that has started has one, whether or not the engine says
/// which.
fn node<'a>(replica: &Replica, snapshot: &'a Snapshot) -> Option<&'a str> {
    let known = snapshot.nodes.get(&replica.id).map(String::as_str);
    known.or(replica.started_at.is_some().then_some(""))
}
