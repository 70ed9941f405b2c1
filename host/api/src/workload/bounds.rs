//! `min_replicas` and `max_replicas`, and what they allow of `ports`.

use crate::json::problems::Problems;
use crate::json::shape::{Shape, whole};
use std::collections::BTreeMap;
use windlass_core::publication::{capacity, tightest};
use windlass_core::workload::{Bounds, ContainerPort};
use windlass_core::{Publication, Publications};

/// The default of `min_replicas`.
pub(crate) const DEFAULT_MIN: u32 = 1;
/// The default of `max_replicas` if no port of the host is fixed.
pub(crate) const DEFAULT_MAX: u32 = 5;

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

/// The default of `max_replicas` with these ports: as many as there are ports of the host, up to the usual one.
pub(crate) fn default_max(ports: &BTreeMap<ContainerPort, Publications>) -> u32 {
    capacity(ports).map_or(DEFAULT_MAX, |capacity| capacity.min(DEFAULT_MAX))
}

/// Why the bounds do not allow these ports; `None` if they do.
pub(crate) fn fixed_ports_conflict(ports: &BTreeMap<ContainerPort, Publications>, bounds: Bounds) -> Option<String> {
    let (port, Publication { host_ports, .. }, capacity) = tightest(ports)?;
    let (noun, who) = match capacity {
        1 => ("host port", "one replica alone can have".to_owned()),
        capacity => ("host ports", format!("at most {capacity} replicas can have")),
    };
    (bounds.max() > capacity).then(|| {
        format!(
            "`{port}` is fixed to {noun} {host_ports}, which {who}, but `max_replicas` is {}; \
             set the host port to 0 (any free one) or `max_replicas` to {capacity}",
            bounds.max()
        )
    })
}
