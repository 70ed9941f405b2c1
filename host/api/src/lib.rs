//! The REST API: reads the state that the control loop published, and passes requests on to it.
//!
//! [`router()`] has every endpoint on one screen. Each resource has a folder and each endpoint a file with its request, its
//! answer and its handler; an `Operation` derives the description of the API from them. Requests are declared with
//! `json`, and parts of a workload that several endpoints share are in `workload`. Every error is a [`Problem`].
//! `paths` accepts image references with slashes, `auth` checks the token, `server` limits the resources of one caller.

mod auth;
mod body;
mod containers;
mod decisions;
mod detached;
mod discovery;
mod drain_body;
mod error;
#[cfg(test)]
mod fixtures;
mod images;
mod json;
mod openapi;
mod openmetrics;
mod operation;
mod path;
mod paths;
mod policies;
mod query;
mod router;
mod server;
pub mod start;
mod status;
#[cfg(test)]
mod tests;
mod workload;

pub use crate::error::Problem;
pub use crate::router::router;
pub use crate::server::serve;

use std::sync::Arc;
use tokio::sync::Semaphore;
use windlass_control::Controller;
use windlass_core::policy::PolicyCatalogue;
use windlass_core::settings::ApiSettings;
use windlass_discovery::Discovery;

/// The state of the handlers. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The control loop.
    pub controller: Controller,
    /// The policies.
    pub policies: Arc<dyn PolicyCatalogue>,
    /// The addresses of replicas.
    pub discovery: Discovery,
    /// The settings of the API.
    pub settings: Arc<ApiSettings>,
    /// Permits of uploads: each component is held in memory until it is compiled.
    uploads: Arc<Semaphore>,
}

/// Most components that are pushed at once.
const UPLOADS: usize = 4;

impl ApiState {
    /// A state without any uploads yet.
    pub fn new(
        controller: Controller,
        policies: Arc<dyn PolicyCatalogue>,
        discovery: Discovery,
        settings: Arc<ApiSettings>,
    ) -> Self {
        Self { controller, policies, discovery, settings, uploads: Arc::new(Semaphore::new(UPLOADS)) }
    }
}
