//! The numbers of a workload in the list: pure functions of its state.

use windlass_control::{ReplicaState, WorkloadBrief};
use windlass_core::contract::HealthStatus;
use windlass_core::workload::Mode;
use windlass_core::{Declaration, HeldBy, Overrides, Phase, Timestamp};

/// The state of a replica as a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dot {
    Healthy,
    /// It runs, and no probe says how it is.
    Running,
    Degraded,
    Starting,
    Unhealthy,
    Stopped,
    StoppedOutside,
    Held,
}

impl Dot {
    /// Its form, so that it is known without its colour.
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Healthy | Self::Running => '●',
            Self::Degraded => '◐',
            Self::Starting => '○',
            Self::Unhealthy => '✖',
            Self::Stopped => '▪',
            Self::StoppedOutside | Self::Held => '‖',
        }
    }

    /// Its class in the style sheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Healthy => "ok",
            Self::Running => "run",
            Self::Degraded | Self::Starting => "warn",
            Self::Unhealthy | Self::Stopped => "bad",
            Self::StoppedOutside | Self::Held => "off",
        }
    }

    /// Its name in the text of the page.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Running => "running, not probed",
            Self::Degraded => "degraded",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
            Self::Stopped => "not running",
            Self::StoppedOutside => "stopped outside",
            Self::Held => "held",
        }
    }

    /// The dot of a replica.
    pub(crate) fn of(replica: ReplicaState) -> Self {
        match (replica.phase, replica.health) {
            _ if replica.is_held => Self::Held,
            _ if replica.is_stopped_outside => Self::StoppedOutside,
            (Phase::Held | Phase::Paused, _) => Self::Held,
            (Phase::Starting | Phase::Restarting, _) => Self::Starting,
            (Phase::Running | Phase::Unknown, HealthStatus::Healthy) => Self::Healthy,
            (Phase::Running | Phase::Unknown, HealthStatus::Degraded) => Self::Degraded,
            (Phase::Running | Phase::Unknown, HealthStatus::Starting) => Self::Starting,
            (Phase::Running | Phase::Unknown, HealthStatus::Unhealthy) => Self::Unhealthy,
            (Phase::Running | Phase::Unknown, HealthStatus::Unknown) => Self::Running,
            (Phase::Stopping | Phase::Exited | Phase::Dead, _) => Self::Stopped,
        }
    }
}

/// A workload in the list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// The image, if it is not the name.
    pub(crate) image: Option<String>,
    /// The engine, or the place of the labels.
    pub(crate) place: String,
    pub(crate) ready: u32,
    pub(crate) target: u32,
    pub(crate) min: u32,
    pub(crate) max: u32,
    /// Dots of one kind with their number, the best first.
    pub(crate) dots: Vec<(Dot, u32)>,
    /// The rule that held the last pass, or an operator's that will hold the next change.
    pub(crate) held_by: Option<HeldBy>,
    /// The sentence of the last pass.
    pub(crate) reason: String,
    /// The reason why the last pass could not observe the engine. `None` if it could.
    pub(crate) failure: Option<String>,
    /// The end of the last pass that observed the engine.
    pub(crate) passed: Option<Timestamp>,
    pub(crate) alerts: usize,
    /// The target that is only recommended.
    pub(crate) recommended: Option<u32>,
    pub(crate) recommends: bool,
}

/// The numbers of a workload.
pub(crate) fn row(brief: &WorkloadBrief) -> Row {
    let pass = brief.last_pass.as_ref();
    let image = brief.image.to_string();
    Row {
        name: brief.key.to_string(),
        image: (brief.key.as_str() != image).then_some(image),
        place: place(&brief.declaration),
        ready: u32::try_from(brief.ready).unwrap_or(u32::MAX),
        target: brief.target,
        min: brief.bounds.min(),
        max: brief.bounds.max(),
        dots: dots(&brief.states),
        held_by: pass.and_then(|pass| pass.held_by).or_else(|| held_by_operator(&brief.overrides)),
        reason: pass.map(|pass| pass.error.clone().unwrap_or_else(|| pass.reason.clone())).unwrap_or_default(),
        failure: pass.and_then(|pass| pass.error.clone()),
        passed: brief.observed_at,
        alerts: brief.alerts.len(),
        recommended: pass.and_then(|pass| pass.recommended.as_ref()).map(|plan| plan.target),
        recommends: brief.mode == Mode::Recommend,
    }
}

/// The override that will hold the next change.
fn held_by_operator(overrides: &Overrides) -> Option<HeldBy> {
    let all = [
        (overrides.paused, HeldBy::Pause),
        (overrides.freeze_scale_up, HeldBy::FreezeUp),
        (overrides.freeze_scale_down, HeldBy::FreezeDown),
    ];
    all.into_iter().find_map(|(is_set, rule)| is_set.then_some(rule))
}

fn place(declaration: &Declaration) -> String {
    match declaration {
        Declaration::Api => "Docker".to_owned(),
        Declaration::Compose { project, .. } => format!("Compose, {project}"),
        Declaration::Swarm { .. } => "Swarm".to_owned(),
    }
}

/// The dots of a workload's replicas.
fn dots(states: &[ReplicaState]) -> Vec<(Dot, u32)> {
    let mut all: Vec<Dot> = states.iter().map(|state| Dot::of(*state)).collect();
    all.sort_unstable();
    let mut dots: Vec<(Dot, u32)> = Vec::new();
    for dot in all {
        match dots.last_mut() {
            Some((last, count)) if *last == dot => *count += 1,
            _ => dots.push((dot, 1)),
        }
    }
    dots
}

impl Row {
    /// Whether a filter finds it: every word of the filter is in its name, image or place.
    pub(crate) fn matches(&self, filter: &str) -> bool {
        let text = format!("{} {} {}", self.name, self.image.as_deref().unwrap_or_default(), self.place).to_lowercase();
        filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_a_replica_has_one_dot() {
        let state =
            |phase, health| ReplicaState { phase, health, is_held: false, is_stopped_outside: false, is_ready: false };
        let of = |phase, health| Dot::of(state(phase, health));
        assert_eq!(of(Phase::Running, HealthStatus::Unknown), Dot::Running);
        assert_eq!(of(Phase::Running, HealthStatus::Healthy), Dot::Healthy);
        assert_eq!(of(Phase::Running, HealthStatus::Unhealthy), Dot::Unhealthy);
        assert_eq!(of(Phase::Starting, HealthStatus::Healthy), Dot::Starting);
        assert_eq!(of(Phase::Held, HealthStatus::Healthy), Dot::Held);
        assert_eq!(of(Phase::Exited, HealthStatus::Healthy), Dot::Stopped);
        let exited = state(Phase::Exited, HealthStatus::Unknown);
        assert_eq!(Dot::of(ReplicaState { is_held: true, ..exited }), Dot::Held);
        assert_eq!(Dot::of(ReplicaState { is_stopped_outside: true, ..exited }), Dot::StoppedOutside);
    }

    #[test]
    fn a_filter_needs_each_of_its_words() {
        let row = Row {
            name: "shop-web".to_owned(),
            image: Some("nginx:alpine".to_owned()),
            place: "Compose, shop".to_owned(),
            ready: 0,
            target: 1,
            min: 1,
            max: 3,
            dots: Vec::new(),
            held_by: None,
            reason: String::new(),
            failure: None,
            passed: None,
            alerts: 0,
            recommended: None,
            recommends: false,
        };
        for (filter, found) in [("", true), ("WEB", true), ("nginx compose", true), ("web db", false), ("swarm", false)]
        {
            assert_eq!(row.matches(filter), found, "{filter}");
        }
    }
}
