//! What is put to the test: a workload with its policies and guardrails, pass by pass.

use async_trait::async_trait;
use std::sync::Arc;
use windlass_control::clock::Clock;
use windlass_control::metrics::MetricLog;
use windlass_control::reconcile::evaluate::{Evaluation, evaluate};
use windlass_core::contract::{Assessment, HealthObservation, HealthReport, HealthStatus, Phase, Remedy, Series};
use windlass_core::policy::{HealthPolicy, Policies, ScalingPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::{History, Plan, PolicyFailure, PolicyIdentity, Snapshot, Timestamp, Workload};
use windlass_decide::decide;

/// A workload that is decided about as the host would.
pub struct Subject {
    /// The desired state.
    pub workload: Workload,
    /// What was measured of it.
    pub metrics: MetricLog,
    policies: Policies,
    history: History,
    settings: ControlSettings,
}

/// What one pass came to.
pub struct Pass {
    /// What the policy was shown and answered.
    pub evaluation: Evaluation,
    /// What the host made of it.
    pub plan: Plan,
}

impl Subject {
    /// A workload nothing is known of yet, with a scaling policy and its configuration, JSON text.
    pub fn new(workload: Workload, scaling: Arc<dyn ScalingPolicy>, config: String) -> Self {
        let policies = Policies { scaling_config: config, ..Policies::plain(scaling, Arc::new(Engine::default())) };
        Self {
            workload,
            metrics: MetricLog::default(),
            policies,
            history: History::default(),
            settings: ControlSettings::default(),
        }
    }

    /// The same with this replica count before the first pass.
    #[must_use]
    pub fn beginning_at(mut self, target: Option<u32>) -> Self {
        self.history.target = target;
        self
    }

    /// The replica count that the last pass decided.
    pub fn target(&self) -> u32 {
        self.history.target_or_initial(self.workload.bounds)
    }

    /// Time from one pass to the next, where nothing asks for another.
    pub fn interval(&self) -> std::time::Duration {
        self.settings.interval
    }

    /// Another time from one pass to the next.
    #[must_use]
    pub fn every(mut self, interval: std::time::Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// What the policy is shown of the metrics now.
    ///
    /// # Errors
    /// When it does not say what it needs.
    pub async fn series(&self, now: Timestamp) -> Result<Vec<Series>, PolicyFailure> {
        let requests = self.policies.scaling.requirements(&self.policies.scaling_config, now).await?;
        Ok(self.metrics.series(&requests, &self.workload, now))
    }

    /// One pass over what there is; the steps of its plan are the caller's to take.
    pub async fn pass(&mut self, snapshot: Snapshot, metrics: Vec<Series>, now: Timestamp) -> Pass {
        let (snapshot, evaluation) =
            evaluate(&self.workload, snapshot, &self.history, &self.policies, Ok(metrics), now).await;
        let plan = decide(&self.workload, &snapshot, &evaluation.verdict, &self.history, &self.settings, now);
        self.history = plan.history.clone();
        Pass { evaluation, plan }
    }

    /// The time of day, for a progress that people wait for.
    pub fn wall_clock() -> Timestamp {
        Clock::System.now()
    }
}

/// What an engine knows of health: a process that ended is replaced. What the model says of readiness is left as it is.
#[derive(Default)]
struct Engine(PolicyIdentity);

#[async_trait]
impl HealthPolicy for Engine {
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
