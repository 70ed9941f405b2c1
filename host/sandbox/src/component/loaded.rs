//! A loaded policy: its parts and accessors.

use crate::call_store::CallState;
use crate::contract_check::Links;
use crate::engine::PolicyEngine;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use wasmtime::component::InstancePre;
use windlass_concurrency::Group;
use windlass_core::contract::{Description, MetricRequest};
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyIdentity, PolicyKind};

/// Failed calls of a policy since it was loaded, by kind.
#[derive(Debug, Default)]
pub struct FailureCounts([AtomicU64; FailureKind::ALL.len()]);

impl FailureCounts {
    /// Failures of this kind.
    pub fn get(&self, kind: FailureKind) -> u64 {
        self.0[Self::index(kind)].load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, kind: FailureKind) {
        self.0[Self::index(kind)].fetch_add(1, Ordering::Relaxed);
    }

    fn index(kind: FailureKind) -> usize {
        FailureKind::ALL.iter().position(|other| *other == kind).expect("ALL holds every kind")
    }
}

/// A loaded policy.
pub struct PolicyComponent {
    pub(crate) engine: Arc<PolicyEngine>,
    pub(crate) limits: Arc<PolicyLimits>,
    pub(crate) pre: InstancePre<CallState>,
    pub(crate) links: Links,
    pub(crate) identity: PolicyIdentity,
    pub(crate) description: Description,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) size_bytes: usize,
    pub(crate) code_bytes: usize,
    /// Whether it imports random numbers. Their seed costs a hash of the observation.
    pub(crate) draws_random: bool,
    /// Whether it imports `readiness`.
    pub(crate) reads_readiness: bool,
    pub(crate) failures: FailureCounts,
    /// The group of its calls in the concurrency limit, which the revisions of a policy share.
    pub(crate) calls: Group,
    /// The metrics that it requested, by configuration. It is called once for each configuration.
    pub(crate) requirements: Mutex<BTreeMap<String, Vec<MetricRequest>>>,
}

impl PolicyComponent {
    /// The component as this revision of its policy. `calls` is the group that the policy's revisions share.
    #[must_use]
    pub fn with_revision(mut self, number: u32, memory_since: u32, calls: &Group) -> Self {
        self.identity.revision = number;
        self.identity.memory_since = memory_since;
        self.calls = calls.clone();
        self
    }

    /// Its identity in decisions.
    pub fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    /// The description that it returned when it was loaded.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Its kind.
    pub fn kind(&self) -> PolicyKind {
        self.links.kind
    }

    /// Names of its imports.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Names of its exports.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// Size of the component in bytes.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Size of its machine code in bytes, which stays in memory while it is loaded.
    pub fn code_bytes(&self) -> usize {
        self.code_bytes
    }

    /// Its limits.
    pub fn limits(&self) -> &Arc<PolicyLimits> {
        &self.limits
    }

    /// Time limit of one decision or evaluation: its own, and that of the HTTP requests it was granted.
    pub fn decision_time(&self) -> Duration {
        self.limits.decision_time + self.limits.http.as_ref().map_or(Duration::ZERO, |grant| grant.time)
    }

    /// Failed calls since it was loaded.
    pub fn failures(&self) -> &FailureCounts {
        &self.failures
    }
}

impl std::fmt::Debug for PolicyComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyComponent").field("identity", &self.identity).finish_non_exhaustive()
    }
}
