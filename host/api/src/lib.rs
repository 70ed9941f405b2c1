//! The REST API: reads what the control loop published, and passes wishes on to it.
//!
//! [`router()`] has every route on one screen; each resource has a file ([`images`], [`containers`],
//! [`start`], [`policies`], [`status`], [`discovery`], [`exposition`]). Requests are read strictly by [`request`] and [`fields`], answers are the
//! types of [`views`], every error is a [`error::Problem`]. [`paths`] lets image references with
//! slashes into paths, [`guard`] keeps strangers out, [`server`] bounds what one caller can take.

pub mod containers;
pub mod discovery;
pub mod error;
pub mod exposition;
pub mod fields;
pub mod guard;
pub mod guardrails;
pub mod images;
pub mod metrics;
pub mod openapi;
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
mod unread;
pub mod views;
mod workloads;

#[cfg(test)]
mod tests;

pub use error::Problem;
pub use router::router;
pub use server::serve;

use crate::control::Controller;
use crate::discovery::Discovery;
use crate::model::settings::ApiSettings;
use crate::policy::PolicyCatalogue;
use std::sync::Arc;
use tokio::sync::Semaphore;

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
