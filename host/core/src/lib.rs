//! The vocabulary: plain types with no I/O and no clock, used by every other module.
//!
//! Reading order: [`image`] and [`workload`] (what the user asked for), [`replica`] and [`snapshot`]
//! (what runs), [`facts`] (what a policy is shown and answers, the contract in `wit/` as Rust types),
//! [`verdict`] (its answer, or why there is none), [`shadow`] (what others would have said), [`history`] and [`plan`] (what the host makes of it).

pub mod contract;
pub mod engine;
pub mod error_chain;
pub mod fixtures;
pub mod guardrails;
pub mod history;
pub mod image;
pub mod login;
pub mod metric;
pub mod net;
pub mod origin;
pub mod overrides;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod quantity;
pub mod replica;
pub mod settings;
pub mod shadow;
pub mod snapshot;
pub mod store;
pub mod text;
pub mod time;
pub mod verdict;
pub mod workload;

pub use crate::error_chain::{error_chain, root_cause};
pub use crate::guardrails::{Amount, Fallback, Guardrail, Guardrails, Rate, Select};
pub use crate::history::{Blindness, Change, Dependency, History, Proposal, SlotHistory, StoppedOutside, Suspicion};
pub use crate::image::ImageRef;
pub use crate::login::RegistryLogin;
pub use crate::metric::{BuiltIn, Metric, MetricFailure, MetricSource};
pub use crate::origin::Origin;
pub use crate::overrides::{Force, Overrides};
pub use crate::plan::{Alert, AlertKind, Deferral, HeldBy, Plan, Recommendation, Stages, Step};
pub use crate::probe::{Expected, HttpProbe, Probe, ProbeTarget, StatusRange};
pub use crate::replica::{ContainerId, HealthCheck, Phase, PortBinding, Replica, Slot};
pub use crate::shadow::{Difference, ShadowComparison};
pub use crate::snapshot::{DependencySeen, Snapshot};
pub use crate::time::{DurationMs, Timestamp};
pub use crate::verdict::{FailureKind, MemoryOwner, PolicyFailure, PolicyIdentity, PolicyKind, PolicyOutcome, Verdict};
pub use crate::workload::{Bounds, PolicyChoice, PolicyChoices, Workload, WorkloadKey};

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
