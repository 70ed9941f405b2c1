//! The parts that all workloads share.

use crate::adoption::refused::Adoption;
use crate::alerts::Alerts;
use crate::callbacks::Callbacks;
use crate::clock::Clock;
use crate::clock_skew::SkewWarning;
use crate::counters::PolicyCounters;
use crate::drain::notifier::Notifier;
use crate::engine_health::EngineHealth;
use crate::events::Events;
use crate::replica_call::{Commands, ReplicaCaller};
use crate::store_access::StoreAccess;
use crate::tasks::Tasks;
use crate::workload::registry::Workloads;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Semaphore;
use windlass_core::engine::AnyEngine;
use windlass_core::net::Net;
use windlass_core::policy::PolicySource;
use windlass_core::settings::ControlSettings;

/// Bundles the shared parts; each has its own type.
pub(crate) struct Context {
    pub(crate) engine: AnyEngine,
    pub(crate) engine_health: EngineHealth,
    /// Warns about an engine with another clock.
    pub(crate) skew_warning: SkewWarning,
    pub(crate) store: StoreAccess,
    pub(crate) policies: Arc<dyn PolicySource>,
    pub(crate) policy_counters: Mutex<PolicyCounters>,
    pub(crate) net: Arc<dyn Net>,
    pub(crate) callbacks: Callbacks,
    pub(crate) alerts: Alerts,
    /// The events, for readers of the API.
    pub(crate) events: Events,
    /// Notifies the subscriber before a replica stops.
    pub(crate) drain: Notifier,
    pub(crate) workloads: Workloads,
    pub(crate) adoption: Adoption,
    pub(crate) settings: ControlSettings,
    pub(crate) clock: Clock,
    /// The permit of the one shadow call at a time, so that shadows leave the call slots to the acting policies.
    pub(crate) shadow_permit: Semaphore,
    pub(crate) tasks: Tasks,
}

impl Context {
    /// Calls the replicas of the workload whose commands these are.
    pub(crate) fn caller<'a>(&'a self, commands: &'a Commands) -> ReplicaCaller<'a> {
        ReplicaCaller { engine: &self.engine, net: self.net.as_ref(), commands }
    }
}
