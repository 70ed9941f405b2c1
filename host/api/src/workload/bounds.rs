//! `min_replicas` and `max_replicas`, and what they allow of `ports`.

use crate::json::problems::Problems;
use crate::json::shape::{Shape, whole};
use std::collections::BTreeMap;
use windlass_core::workload::{Bounds, ContainerPort};

/// The default of `min_replicas`.
pub(crate) const DEFAULT_MIN: u32 = 1;
/// The default of `max_replicas`.
pub(crate) const DEFAULT_MAX: u32 = 5;
/// The default and the limit of `max_replicas` if a port of the host is fixed: only one replica can have it.
pub(crate) const FIXED_PORT_MAX: u32 = 1;

/// The fewest replicas.
pub(crate) fn min_replicas() -> Shape<u32> {
    whole(0..=u64::from(Bounds::LIMIT))
}

/// The most replicas.
pub(crate) fn max_replicas() -> Shape<u32> {
    whole(1..=u64::from(Bounds::LIMIT))
}

/// Checks that the bounds agree; `note` explains where the maximum comes from.
pub(crate) fn checked(min: u32, max: u32, note: &str, problems: &mut Problems) -> Option<Bounds> {
    Bounds::new(min, max).map_err(|invalid| problems.add("/min_replicas", format!("{invalid}{note}"))).ok()
}

/// Whether a port of the host is fixed.
pub(crate) fn has_fixed(ports: &BTreeMap<ContainerPort, u16>) -> bool {
    ports.values().any(|host_port| *host_port != 0)
}

/// Why the bounds do not allow these ports; `None` if they do.
pub(crate) fn fixed_ports_conflict(ports: &BTreeMap<ContainerPort, u16>, bounds: Bounds) -> Option<String> {
    let (port, host_port) = ports.iter().find(|(_, host_port)| **host_port != 0)?;
    (bounds.max() > FIXED_PORT_MAX).then(|| {
        format!(
            "`{port}` is fixed to host port {host_port}, which one replica alone can have, but `max_replicas` is {}; \
             set the host port to 0 (any free one) or `max_replicas` to 1",
            bounds.max()
        )
    })
}
