//! The vocabulary of Windlass: plain types without I/O or a clock, and the traits that tests replace.
//!
//! Reading order:
//!
//! 1. [`image`] and [`workload`]: the user's request.
//! 2. [`replica`] and [`snapshot`]: the observed containers.
//! 3. [`contract`]: the input and output of policies, which are the types of `wit/` in Rust.
//! 4. [`verdict`]: the result of the policies, or why there is none; [`shadow`]: the results of shadow policies.
//! 5. [`history`] and [`plan`]: the host's memory and its decision.
//! 6. [`engine`], [`store`], [`net`], [`policy`] and [`access`]: the traits of everything with I/O.

pub mod access;
mod compose_history;
pub mod contract;
pub mod declaration;
pub mod engine;
pub mod error_chain;
pub mod fixtures;
pub mod generation;
pub mod grant;
pub mod guardrails;
pub mod history;
pub mod image;
mod invalid;
mod labelled;
pub mod labels;
pub mod listen;
pub mod login;
pub mod logs;
pub mod metric;
pub mod net;
pub mod node_usage;
pub mod origin;
pub mod overrides;
pub mod plan;
pub mod policy;
mod policy_failure;
mod policy_identity;
mod port;
pub mod probe;
pub mod publication;
pub mod quantity;
pub mod replica;
pub mod rollout;
mod rollout_history;
mod secret;
pub mod series;
pub mod service;
mod service_history;
pub mod settings;
pub mod shadow;
pub mod snapshot;
pub mod source;
mod specification;
pub mod store;
pub mod text;
pub mod time;
mod trouble;
pub mod verdict;
pub mod workload;
mod workload_key;

pub use crate::compose_history::ComposeHistory;
pub use crate::declaration::{Declaration, DeclaredService};
pub use crate::error_chain::{error_chain, root_cause};
pub use crate::generation::{Generation, MadeFrom};
pub use crate::grant::GrantedTarget;
pub use crate::guardrails::{Amount, Fallback, Guardrail, Guardrails, Rate, Select};
pub use crate::history::{
    Blindness, Change, Dependency, FirstReady, History, Proposal, SlotHistory, StoppedOutside, Suspicion,
};
pub use crate::image::ImageRef;
pub use crate::invalid::Invalid;
pub use crate::labelled::LabelledField;
pub use crate::listen::Listen;
pub use crate::login::RegistryLogin;
pub use crate::metric::{BuiltIn, Metric, MetricFailure, MetricSource};
pub use crate::origin::Origin;
pub use crate::overrides::{Force, Overrides};
pub use crate::plan::{Alert, AlertKind, Deferral, Failure, HeldBy, Plan, Recommendation, Stages, Step};
pub use crate::policy_failure::{FailureKind, PolicyFailure};
pub use crate::policy_identity::{MemoryOwner, PolicyIdentity, PolicyKind};
pub use crate::probe::{Expected, HttpProbe, Probe, ProbeTarget, StatusRange};
pub use crate::publication::{HostPorts, Publication, Publications};
pub use crate::replica::{ContainerId, Creator, HealthCheck, Phase, PortBinding, Replica, Slot};
pub use crate::rollout::{Rollout, RolloutMode, RolloutOrder};
pub use crate::rollout_history::RolloutHistory;
pub use crate::secret::Secret;
pub use crate::service::{CountChange, Leadership, PendingReplica, ServiceState, ServiceUpdate};
pub use crate::service_history::{ServiceHistory, SlotTrouble};
pub use crate::shadow::{Difference, ShadowComparison};
pub use crate::snapshot::{DependencySeen, ServiceSeen, Snapshot};
pub use crate::source::{BasicAuth, Credentials, SourceAccess, SourceUrl};
pub use crate::time::{DurationMs, Timestamp};
pub use crate::trouble::{Blocked, Trouble, TroubleKind, Unremovable};
pub use crate::verdict::{PolicyOutcome, Verdict};
pub use crate::workload::{Bounds, PolicyChoice, PolicyChoices, Specification, Workload, WorkloadKey};
