//! The subject of a simulation: a workload with its policies and guardrails, run pass by pass.

use crate::TimeLimit;
use async_trait::async_trait;
use std::sync::Arc;
use windlass_control::clock::Clock;
use windlass_control::metrics::MetricLog;
use windlass_control::reconcile::evaluate::{Evaluation, evaluate};
use windlass_core::contract::{
    Assessment, HealthObservation, HealthReport, HealthStatus, Phase, Remedy, Sample, Series,
};
use windlass_core::metric::{BuiltIn, Metric, accept};
use windlass_core::policy::{HealthPolicy, Policies, ScalingPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::{History, MetricFailure, Plan, PolicyFailure, PolicyIdentity, Snapshot, Timestamp, Workload};
use windlass_decide::{EarlyPasses, decide};

/// Defines the metrics of a simulation that the workload does not define as pushed ones. Built-in metrics need no definition.
pub fn define_metrics<'a>(workload: &mut Workload, names: impl IntoIterator<Item = &'a str>) {
    for name in names.into_iter().filter(|name| BuiltIn::of(name).is_none()) {
        workload.metrics.entry(name.to_owned()).or_insert_with(Metric::pushed);
    }
}

/// A workload for which decisions are made as in the host.
pub struct Subject {
    /// The desired state.
    pub workload: Workload,
    /// Its measured metrics.
    pub metrics: MetricLog,
    policies: Policies,
    history: History,
    early_passes: EarlyPasses,
    settings: ControlSettings,
    time: Option<TimeLimit>,
}

/// The results of one pass.
pub struct Pass {
    /// The policy's input and result.
    pub evaluation: Evaluation,
    /// The host's decision.
    pub plan: Plan,
}

impl Subject {
    /// A workload without history, with a scaling policy and its configuration (JSON text).
    pub fn new(workload: Workload, scaling: Arc<dyn ScalingPolicy>, config: String) -> Self {
        let policies =
            Policies { scaling_config: config, ..Policies::plain(scaling, Arc::new(ReplaceExited::default())) };
        Self {
            workload,
            metrics: MetricLog::default(),
            policies,
            history: History::default(),
            early_passes: EarlyPasses::default(),
            settings: ControlSettings::default(),
            time: None,
        }
    }

    /// The same subject with this target before the first pass.
    #[must_use]
    pub fn beginning_at(mut self, target: Option<u32>) -> Self {
        self.history.target = target;
        self
    }

    /// The replica count that the last pass decided.
    pub fn target(&self) -> u32 {
        self.history.target_or_initial(self.workload.bounds)
    }

    /// The memory of the passes so far.
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Time from a pass with this plan to the next one, as in the host.
    pub(crate) fn wait(&mut self, plan: &Plan, now: Timestamp) -> std::time::Duration {
        let usual = plan.next_pass.map_or(self.settings.interval, |soon| soon.min(self.settings.interval));
        self.early_passes.wait(plan.evaluate_after, usual, self.settings.early_passes, now)
    }

    /// Time between two passes, unless a decision requests another.
    pub(crate) fn interval(&self) -> std::time::Duration {
        self.settings.interval
    }

    /// Sets the time between two passes.
    #[must_use]
    pub fn every(mut self, interval: std::time::Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// The same subject with a limit of the time that its passes take.
    #[must_use]
    pub fn within(mut self, time: Option<TimeLimit>) -> Self {
        self.time = time;
        self
    }

    /// The limit of the time that the passes take.
    pub(crate) fn time(&self) -> Option<TimeLimit> {
        self.time
    }

    /// The sample, if the host would accept its value for this metric.
    pub(crate) fn accept(&self, name: &str, sample: Sample) -> Result<Sample, MetricFailure> {
        let allow_negative = self.workload.metrics.get(name).is_some_and(|metric| metric.allow_negative);
        accept(sample.value, allow_negative).map(|value| Sample { value, ..sample })
    }

    /// The metrics in the policy's input now.
    ///
    /// # Errors
    /// If the policy does not return its requirements.
    pub async fn series(&self, now: Timestamp) -> Result<Vec<Series>, PolicyFailure> {
        let requests = self.policies.scaling.requirements(&self.policies.scaling_config, now).await?;
        Ok(self.metrics.series(&requests, &self.workload, now))
    }

    /// One pass over a snapshot. The caller carries out the steps of the plan.
    pub async fn pass(&mut self, snapshot: Snapshot, metrics: Vec<Series>, now: Timestamp) -> Pass {
        let (snapshot, evaluation) =
            evaluate(&self.workload, snapshot, &self.history, &self.policies, Ok(metrics), now).await;
        let plan = decide(&self.workload, &snapshot, &evaluation.verdict, &self.history, &self.settings, now);
        self.history = plan.history.clone();
        Pass { evaluation, plan }
    }

    /// The time of day, for progress messages.
    pub fn wall_clock() -> Timestamp {
        Clock::System.now()
    }
}

/// A health policy with the engine's knowledge: it replaces replicas whose process ended. The model's readiness stays
/// as it is.
#[derive(Default)]
struct ReplaceExited(PolicyIdentity);

#[async_trait]
impl HealthPolicy for ReplaceExited {
    fn identity(&self) -> &PolicyIdentity {
        &self.0
    }

    async fn evaluate(&self, _: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        let ended = observation.replicas.iter().filter(|probed| probed.replica.phase == Phase::Exited);
        let assessments = ended.map(|probed| Assessment {
            replica_id: probed.replica.id.clone(),
            status: HealthStatus::Unhealthy,
            remedy: Remedy::Replace,
            reason: "its process has ended".to_owned(),
        });
        Ok(HealthReport { assessments: assessments.collect(), memory: Vec::new() })
    }
}
