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
    use windlass_core::contract::HealthStatus;
    use windlass_core::fixtures::{running, workload};
    use windlass_core::{Generation, History, Replica, RolloutHistory, ServiceSeen, ServiceState};

    fn plan(target: u32) -> Plan {
        Plan {
            target,
            reason: String::new(),
            steps: Vec::new(),
            deferred: Vec::new(),
            alerts: Vec::new(),
            recommended: None,
            history: History::default(),
            next_pass: None,
            evaluate_after: None,
            stages: None,
            held_by: None,
            uses_previous: false,
        }
    }

    /// An observation with one replica of each of these states.
    fn seen(at: u64, health: &[HealthStatus]) -> Snapshot {
        let web = workload("web:1", 1, 3);
        let replicas: Vec<Replica> = (1..).zip(health).map(|(slot, _)| running(&web, slot, 1)).collect();
        let health = replicas.iter().zip(health).map(|(replica, health)| (replica.id.clone(), *health)).collect();
        Snapshot { at: Timestamp(at), replicas, health, ..Snapshot::default() }
    }

    /// The bands so far: kind, beginning, end and text.
    fn drawn(bands: &mut Bands) -> Vec<(BandKind, u64, Option<u64>, String)> {
        let all = bands.take_unsaved().into_iter();
        all.map(|band| (band.kind, band.since.0, band.until.map(|until| until.0), band.text)).collect()
    }

    const UP: &[HealthStatus] = &[HealthStatus::Healthy];
    const DOWN: &[HealthStatus] = &[HealthStatus::Unhealthy];

    #[test]
    fn an_outage_lasts_while_no_replica_of_a_workload_that_served_does() {
        let mut bands = Bands::default();
        let mut pass = |before: &[HealthStatus], after: &[HealthStatus], at: u64, target: u32| {
            note_pass(&mut bands, Overrides::default(), &plan(target), &seen(at - 1, before), &seen(at, after));
            drawn(&mut bands)
        };
        assert_eq!(pass(&[], DOWN, 10, 2), [], "a workload that has not served yet is no outage");
        assert_eq!(pass(DOWN, UP, 20, 2), []);
        assert_eq!(pass(UP, &[HealthStatus::Degraded], 30, 2), [], "a degraded replica serves");
        let text = "no replica serves; the target is 2".to_owned();
        assert_eq!(pass(UP, DOWN, 40, 2), [(BandKind::Outage, 40, None, text.clone())]);
        assert_eq!(pass(DOWN, DOWN, 50, 2), [], "it lasts");
        assert_eq!(
            pass(DOWN, &[HealthStatus::Unhealthy, HealthStatus::Healthy], 60, 2),
            [(BandKind::Outage, 40, Some(60), text)]
        );
        assert_eq!(pass(UP, &[], 70, 0), [], "a workload that is stopped has no outage");
    }

    #[test]
    fn a_rollout_lasts_as_long_as_the_plan_or_the_engine_has_one() {
        let mut bands = Bands::default();
        let rolls = RolloutHistory::of(Generation::stored("0123456789ab"));
        let history = History { rollout: Some(rolls), ..History::default() };
        let rolling = Plan { history, ..plan(1) };
        note_pass(&mut bands, Overrides::default(), &rolling, &seen(9, UP), &seen(10, UP));
        note_pass(&mut bands, Overrides::default(), &rolling, &seen(19, UP), &seen(20, UP));
        note_pass(&mut bands, Overrides::default(), &plan(1), &seen(29, UP), &seen(30, UP));
        let text = "generation 0123456789ab is rolled out".to_owned();
        assert_eq!(
            drawn(&mut bands),
            [(BandKind::Rollout, 10, None, text.clone()), (BandKind::Rollout, 10, Some(30), text)]
        );
        // The service of a Swarm: an update of any state but none.
        let of = |at: u64, update: ServiceUpdate| {
            let (id, update_message) = ("s1".to_owned(), String::new());
            let state = ServiceState {
                id,
                version: 1,
                count: 1,
                update,
                update_message,
                pending: Vec::new(),
                is_redeployed: false,
            };
            Snapshot { service: ServiceSeen::Found(state), ..seen(at, UP) }
        };
        let text = "the engine updates the service".to_owned();
        for (at, update) in [
            (40, ServiceUpdate::Updating),
            (50, ServiceUpdate::Paused),
            (60, ServiceUpdate::RollingBack),
            (70, ServiceUpdate::None),
        ] {
            note_pass(&mut bands, Overrides::default(), &plan(1), &seen(at - 1, UP), &of(at, update));
        }
        assert_eq!(
            drawn(&mut bands),
            [(BandKind::Rollout, 40, None, text.clone()), (BandKind::Rollout, 40, Some(70), text)]
        );
    }

    #[test]
    fn blindness_lasts_until_the_next_pass_that_observes_the_engine_and_leaves_the_others_alone() {
        let mut bands = Bands::default();
        let paused = Overrides { paused: true, ..Overrides::default() };
        note_pass(&mut bands, paused, &plan(1), &seen(9, UP), &seen(10, UP));
        note_blind(&mut bands, "no socket", Timestamp(20));
        note_blind(&mut bands, "timed out", Timestamp(30));
        note_pass(&mut bands, Overrides::default(), &plan(1), &seen(39, UP), &seen(40, UP));
        let (blind, paused) =
            ("the engine could not be observed: no socket".to_owned(), "scaling is paused".to_owned());
        assert_eq!(
            drawn(&mut bands),
            [
                (BandKind::Override, 10, None, paused.clone()),
                (BandKind::Blind, 20, None, blind.clone()),
                (BandKind::Blind, 20, Some(40), blind),
                (BandKind::Override, 10, Some(40), paused),
            ]
        );
    }

    #[test]
    fn a_clock_that_is_set_back_ends_no_band_before_its_beginning() {
        let mut bands = Bands::default();
        note_blind(&mut bands, "no socket", Timestamp(100));
        note_pass(&mut bands, Overrides::default(), &plan(1), &seen(49, UP), &seen(50, UP));
        assert_eq!(drawn(&mut bands).pop().map(|(_, since, until, _)| (since, until)), Some((100, Some(100))));
    }

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
