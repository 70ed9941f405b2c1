//! The changes of a log that are not stored yet.

use crate::metrics::log::MetricLog;
use windlass_core::Timestamp;
use windlass_core::metric::SampleChange;

/// The changes of one metric of the whole workload that are not stored yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unsaved {
    pub(crate) name: String,
    /// In this order.
    pub(crate) changes: Vec<SampleChange>,
    /// Older values are not kept.
    pub(crate) oldest: Timestamp,
}

impl MetricLog {
    /// Drops the changes that are not stored yet, for a log without a store.
    pub fn discard_unsaved(&self) {
        drop(self.take_unsaved());
    }

    /// Takes the changes that are not stored yet.
    pub(crate) fn take_unsaved(&self) -> Vec<Unsaved> {
        let cleared = std::mem::take(&mut *self.cleared()).into_iter();
        let clear = |name| Unsaved { name, changes: vec![SampleChange::Clear], oldest: Timestamp(0) };
        let mut unsaved: Vec<Unsaved> = cleared.map(clear).collect();
        for ((name, _), track) in self.tracks().iter_mut().filter(|(_, track)| !track.unsaved.is_empty()) {
            let changes = std::mem::take(&mut track.unsaved);
            let oldest = track.oldest().map_or(Timestamp(0), |oldest| oldest.at);
            unsaved.push(Unsaved { name: name.clone(), changes, oldest });
        }
        unsaved
    }

    /// Puts changes that could not be stored before the later ones. Values of a metric whose source has changed meanwhile
    /// are dropped.
    pub(crate) fn put_back(&self, unsaved: Vec<Unsaved>) {
        let cleared_meanwhile = self.cleared().clone();
        for Unsaved { name, changes, .. } in unsaved {
            if changes == [SampleChange::Clear] {
                self.cleared().push(name);
            } else if !cleared_meanwhile.contains(&name)
                && let Some(track) = self.tracks().get_mut(&(name, None))
            {
                track.put_back(changes);
            }
        }
    }
}
