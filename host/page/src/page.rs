//! The state of the handlers.

use crate::rendered::Rendered;
use crate::try_it::replay::Replay;
use crate::try_it::runs::Pool;
use axum::Router;
use std::sync::Arc;
use tokio::sync::Semaphore;
use windlass_api::ApiState;
use windlass_api::access::Scope;
use windlass_control::Controller;
use windlass_core::policy::{PolicyCatalogue, PolicySource};

/// The most components that arrive in forms at once. Each is in memory.
const UPLOADS: usize = 2;

/// The state of the handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) controller: Controller,
    pub(crate) catalogue: Arc<dyn PolicyCatalogue>,
    pub(crate) policies: Arc<dyn PolicySource>,
    /// The API, to which every change is sent.
    pub(crate) api: Router,
    /// The permits of components that arrive in forms.
    pub(crate) uploads: Arc<Semaphore>,
    /// The replays of other policies.
    pub(crate) runs: Arc<Pool<Replay>>,
    /// True if the server speaks HTTPS.
    pub(crate) is_tls: bool,
    /// The lists of workloads that were rendered last.
    pub(crate) lists: Arc<Rendered<Scope>>,
}

impl Page {
    pub(crate) fn new(state: &ApiState, policies: Arc<dyn PolicySource>, api: Router) -> Self {
        Self {
            controller: state.controller.clone(),
            catalogue: Arc::clone(&state.policies),
            policies,
            api,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            runs: Arc::default(),
            is_tls: state.settings.tls.is_some(),
            lists: Arc::default(),
        }
    }
}
