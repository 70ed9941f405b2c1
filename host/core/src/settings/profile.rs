//! A profile: settings of workloads that labels of services name.

use crate::workload::StopHook;
use crate::{Guardrails, Metric, PolicyChoice, Probe};
use std::collections::BTreeMap;

/// The part of a workload that a profile sets. Each field is that of [`Workload`](crate::Workload).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Profile {
    /// The scaling policies. If it is empty, the host's default applies.
    pub scaling: Vec<PolicyChoice>,
    /// The health policy. `None` for the host's default.
    pub health: Option<PolicyChoice>,
    /// Shadow policies.
    pub shadows: Vec<PolicyChoice>,
    /// Its metrics by name, in addition to the built-in ones.
    pub metrics: BTreeMap<String, Metric>,
    /// Its guardrails. `None` for [`Guardrails::default`].
    pub guardrails: Option<Guardrails>,
    /// The probe of its replicas. `None`: the image's own HEALTHCHECK, if it has one.
    pub probe: Option<Probe>,
    /// A notification before a replica is stopped. `None` for no notification.
    pub stop_hook: Option<StopHook>,
}
