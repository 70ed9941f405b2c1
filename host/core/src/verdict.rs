//! The results of a workload's policies for one snapshot.

pub use crate::contract::Part;
pub use crate::policy_failure::recorded;

use crate::ContainerId;
use crate::contract::{HealthReport, ScalingDecision};
use crate::policy::StandIn;
use crate::policy_failure::PolicyFailure;
use crate::policy_identity::PolicyIdentity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A policy's result, or why it is unavailable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyOutcome<T> {
    /// The policy.
    pub policy: PolicyIdentity,
    /// Its result.
    pub answer: Result<T, PolicyFailure>,
}

/// The results of both policies of a workload for one snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Which replicas are healthy, and what to do about the others.
    pub health: PolicyOutcome<HealthReport>,
    /// How many replicas there should be.
    pub scaling: PolicyOutcome<ScalingDecision>,
    /// Metrics in the scaling policy's input that have no value.
    pub failed_metrics: FailedMetrics,
    /// Replicas that the scaling policy protects from scale-in.
    pub protected: BTreeSet<ContainerId>,
    /// The chosen policies that do not act as chosen.
    pub stand_ins: Vec<StandIn>,
}

/// Metrics of a workload that have no value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailedMetrics {
    /// Each metric with the name of its failure, for people.
    pub failed: Vec<String>,
    /// No metric that the policy requested has a value. `ready-replicas`, which the host always knows, does not count.
    pub are_all: bool,
    /// The policy also requested `ready-replicas`, so its decision does not depend on measurements alone.
    pub knows_otherwise: bool,
}
