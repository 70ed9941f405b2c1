//! The bands of a workload: times of rollouts, overrides, outages and blindness, from their first pass to their last.

use crate::override_words::in_words;
use std::collections::BTreeMap;
use windlass_core::series::{Band, BandKind};
use windlass_core::{Overrides, Plan, ServiceUpdate, Snapshot, Timestamp};

/// The bands of one workload that last, and those that are not stored yet.
#[derive(Debug, Default)]
pub(crate) struct Bands {
    open: BTreeMap<BandKind, Band>,
    unsaved: Vec<Band>,
}

impl Bands {
    /// The bands that lasted when Windlass ended. They last on if the next pass finds their cause.
    pub(crate) fn stored(bands: Vec<Band>) -> Self {
        Self { open: bands.into_iter().map(|band| (band.kind, band)).collect(), unsaved: Vec::new() }
    }

    /// Begins, continues or ends a band. `text` describes its cause; `None` if there is none.
    pub(crate) fn set(&mut self, kind: BandKind, text: Option<String>, now: Timestamp) {
        // The sentence of an override is what it does; those of the others only tell how they began.
        let goes_on = match (self.open.get(&kind), &text) {
            (Some(band), Some(text)) => kind != BandKind::Override || band.text == *text,
            (None, None) => return,
            _ => false,
        };
        if goes_on {
            return;
        }
        if let Some(band) = self.open.remove(&kind) {
            self.unsaved.push(Band { until: Some(now.max(band.since)), ..band });
        }
        if let Some(text) = text {
            let band = Band { kind, since: now, until: None, text };
            self.unsaved.push(band.clone());
            self.open.insert(kind, band);
        }
    }

    /// Takes the bands that began or ended since they were last stored.
    pub(crate) fn take_unsaved(&mut self) -> Vec<Band> {
        std::mem::take(&mut self.unsaved)
    }

    fn is_open(&self, kind: BandKind) -> bool {
        self.open.contains_key(&kind)
    }
}

/// Notes the causes that a complete pass found.
pub(crate) fn note_pass(bands: &mut Bands, overrides: Overrides, plan: &Plan, before: &Snapshot, after: &Snapshot) {
    let now = after.at;
    bands.set(BandKind::Blind, None, now);
    bands.set(BandKind::Override, in_words(overrides), now);
    bands.set(BandKind::Rollout, rollout(plan, after), now);
    // A workload that has not served yet is no outage.
    let may_be_down = before.is_up() || bands.is_open(BandKind::Outage);
    let is_down = may_be_down && !after.is_up() && plan.target > 0;
    bands.set(BandKind::Outage, is_down.then(|| format!("no replica serves; the target is {}", plan.target)), now);
}

fn rollout(plan: &Plan, snapshot: &Snapshot) -> Option<String> {
    if let Some(rollout) = &plan.history.rollout {
        return Some(format!("generation {} is rolled out", rollout.generation));
    }
    let update = snapshot.service.state().map(|service| service.update)?;
    (update != ServiceUpdate::None).then(|| "the engine updates the service".to_owned())
}

/// Notes that the engine could not be observed.
pub(crate) fn note_blind(bands: &mut Bands, error: &str, now: Timestamp) {
    bands.set(BandKind::Blind, Some(format!("the engine could not be observed: {error}")), now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_lasts_from_its_first_pass_to_its_last() {
        let mut bands = Bands::default();
        let text = |text: &str| Some(text.to_owned());
        let band = |kind, since, until: Option<u64>, text: &str| Band {
            kind,
            since: Timestamp(since),
            until: until.map(Timestamp),
            text: text.to_owned(),
        };
        bands.set(BandKind::Outage, None, Timestamp(1));
        bands.set(BandKind::Outage, text("the target is 1"), Timestamp(2));
        bands.set(BandKind::Outage, text("the target is 2"), Timestamp(3));
        bands.set(BandKind::Override, text("paused"), Timestamp(4));
        bands.set(BandKind::Override, text("forced"), Timestamp(5));
        // After a restart, the first pass finds one of the causes.
        let mut later = Bands::stored(bands.open.values().cloned().collect());
        later.set(BandKind::Outage, text("the target is 3"), Timestamp(8));
        later.set(BandKind::Override, None, Timestamp(9));
        later.set(BandKind::Outage, None, Timestamp(10));
        assert_eq!(
            [bands.unsaved, later.unsaved].concat(),
            [
                band(BandKind::Outage, 2, None, "the target is 1"),
                band(BandKind::Override, 4, None, "paused"),
                band(BandKind::Override, 4, Some(5), "paused"),
                band(BandKind::Override, 5, None, "forced"),
                band(BandKind::Override, 5, Some(9), "forced"),
                band(BandKind::Outage, 2, Some(10), "the target is 1"),
            ]
        );
    }
}
