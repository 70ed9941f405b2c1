//! The REST API: reads what the control loop published, and passes wishes on to it.
//!
//! [`router()`] has every route on one screen; each resource has a file ([`images`], [`containers`],
//! [`start`], [`policies`], [`status`], [`discovery`], [`exposition`]). Requests are read strictly by [`request`] and [`fields`], answers are the
//! types of [`views`], every error is a [`error::Problem`]. [`paths`] lets image references with
//! slashes into paths, [`guard`] keeps strangers out, [`server`] bounds what one caller can take.

pub mod auth;
pub mod containers;
pub mod discovery;
mod drain_body;
pub mod error;
pub mod fields;
#[cfg(test)]
#[cfg(test)]
mod fixtures;
pub mod guardrails;
pub mod images;
pub mod metrics;
pub mod openapi;
pub mod openmetrics;
pub mod overrides;
pub mod paths;
pub mod policies;
mod probe;
pub mod request;
pub mod router;
pub mod server;
pub mod start;
pub mod status;
pub mod stop_hook;
#[cfg(test)]
mod tests;
pub mod views;
mod workloads;

pub use crate::error::Problem;
pub use crate::router::router;
pub use crate::server::serve;

use std::sync::Arc;
use tokio::sync::Semaphore;
use windlass_control::Controller;
use windlass_core::policy::PolicyCatalogue;
use windlass_core::settings::ApiSettings;
use windlass_discovery::Discovery;

/// What the handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The control loop.
    pub controller: Controller,
    /// The policies.
    pub policies: Arc<dyn PolicyCatalogue>,
    /// Who can be reached where.
    pub discovery: Discovery,
    /// How the API is served.
    pub settings: Arc<ApiSettings>,
    /// Room for components that are being pushed: each is held whole until it is compiled.
    uploads: Arc<Semaphore>,
}

/// Components that may be pushed at once.
const UPLOADS: usize = 4;

impl ApiState {
    /// What handlers work with, nothing of which is in hand yet.
    pub fn new(
        controller: Controller,
        policies: Arc<dyn PolicyCatalogue>,
        discovery: Discovery,
        settings: Arc<ApiSettings>,
    ) -> Self {
        Self { controller, policies, discovery, settings, uploads: Arc::new(Semaphore::new(UPLOADS)) }
    }
}
