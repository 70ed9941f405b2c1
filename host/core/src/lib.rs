//! The vocabulary: plain types with no I/O and no clock, used by every other module.
//!
//! Reading order: [`image`] and [`workload`] (what the user asked for), [`replica`] and [`snapshot`]
//! (what runs), [`facts`] (what a policy is shown and answers, the contract in `wit/` as Rust types),
//! [`verdict`] (its answer, or why there is none), [`shadow`] (what others would have said), [`history`] and [`plan`] (what the host makes of it).

pub mod facts;
#[cfg(test)]
pub mod fixtures;
pub mod guardrails;
pub mod history;
pub mod image;
pub mod login;
pub mod metric;
pub mod origin;
pub mod overrides;
pub mod plan;
pub mod probe;
pub mod quantity;
pub mod replica;
pub mod settings;
pub mod shadow;
pub mod snapshot;
pub mod text;
pub mod time;
pub mod verdict;
pub mod workload;

pub use guardrails::{Amount, Fallback, Guardrail, Guardrails, Rate, Select};
pub use history::{Blindness, Change, Dependency, History, Proposal, SlotHistory, StoppedOutside, Suspicion};
pub use image::ImageRef;
pub use login::RegistryLogin;
pub use metric::{BuiltIn, Metric, MetricFailure, MetricSource};
pub use origin::Origin;
pub use overrides::{Force, Overrides};
pub use plan::{Alert, AlertKind, Deferral, HeldBy, Plan, Recommendation, Stages, Step};
pub use probe::{Expected, HttpProbe, Probe, ProbeTarget, StatusRange};
pub use replica::{ContainerId, HealthCheck, Phase, PortBinding, Replica, Slot};
pub use shadow::{Difference, ShadowTally};
pub use snapshot::{DependencySeen, Snapshot};
pub use time::{DurationMs, Timestamp};
pub use verdict::{FailureKind, MemoryOwner, PolicyFailure, PolicyIdentity, PolicyKind, PolicyOutcome, Verdict};
pub use workload::{Bounds, PolicyChoice, PolicyChoices, Workload, WorkloadKey};

/// A text that was refused when it was parsed into one of the types here.
///
/// The message says what would have been right; the caller knows which field it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A refusal with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
