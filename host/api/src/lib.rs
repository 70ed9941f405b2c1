//! The REST API: reads the state that the control loop published, and passes requests on to it.
//!
//! [`router()`] has every endpoint on one screen. Each resource has a folder and each endpoint a file with its request, its
//! answer and its handler; an `Operation` derives the description of the API from them. Requests are declared with
//! `json`, and parts of a workload that several endpoints share are in `workload`. Every error is a [`Problem`].
//! `paths` accepts image references with slashes, [`access`] knows the callers and their rights, `server`, `connections`,
//! `limits`, `in_flight` and `write_timeout` limit the resources of one caller, `pieces` sends long lists, `streams` limits the
//! answers that last, and `page_headers` those of browsers.
//! A program that shows answers to people reads them with [`answer`], and says with [`remedies`] what would change a target.
//! [`serve_agent`] is another server with the same limits, over [`Tls`].

pub mod access;
mod agent;
pub mod answer;
mod audit;
mod body;
mod connections;
mod containers;
mod decisions;
mod detached;
mod discovery;
mod drain_body;
mod error;
mod events;
#[cfg(test)]
mod fixtures;
mod in_flight;
mod inner;
mod json;
mod limits;
mod listeners;
mod long_answers;
mod openapi;
mod openmetrics;
mod operation;
mod page_headers;
mod path;
mod paths;
mod pieces;
mod policies;
pub mod profile;
mod query;
mod receiver;
pub mod remedies;
mod router;
mod server;
mod session;
pub mod start;
mod status;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod workload;
mod workloads;
mod write_timeout;

pub use crate::access::rules::PAGE_UPLOAD;
pub use crate::agent::serve_agent;
pub use crate::error::Problem;
pub use crate::inner::{Inner, with_inner};
pub use crate::listeners::Listeners;
pub use crate::router::{router, router_with};
pub use crate::server::serve;
pub use crate::tls::Tls;

use crate::access::Access;
use crate::limits::PerPeer;
use crate::long_answers::LongAnswers;
use crate::streams::Streams;
use std::sync::Arc;
use tokio::sync::Semaphore;
use windlass_control::Controller;
use windlass_core::Timestamp;
use windlass_core::access::{AccessStore, Role};
use windlass_core::policy::PolicyCatalogue;
use windlass_core::settings::ApiSettings;
use windlass_core::store::StoreError;
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
    /// The callers.
    pub access: Arc<Access>,
    /// The uploads in progress. Each component is held in memory until it is compiled.
    uploads: Arc<Uploads>,
    long_answers: Arc<LongAnswers>,
    event_streams: Arc<Streams>,
    log_streams: Arc<Streams>,
}

/// Logs that are read at once, and those to one peer. Each has a connection to the engine.
const LOG_STREAMS: usize = 64;
const LOG_STREAMS_TO_PEER: usize = 32;

/// Most components that one peer pushes at once, and most that are compiled at once.
const UPLOADS: usize = 4;

/// Limits on uploads. A slow one takes little of any of them, so that it does not keep others from pushing.
struct Uploads {
    of_peer: Arc<PerPeer>,
    /// Bytes that have arrived.
    bytes: Arc<Semaphore>,
    /// Components that are checked and compiled.
    complete: Arc<Semaphore>,
}

impl Uploads {
    fn new(settings: &ApiSettings) -> Self {
        let bytes = settings.upload_bytes.saturating_mul(UPLOADS).min(Semaphore::MAX_PERMITS);
        Self {
            of_peer: PerPeer::new(UPLOADS),
            bytes: Arc::new(Semaphore::new(bytes)),
            complete: Arc::new(Semaphore::new(UPLOADS)),
        }
    }
}

/// The callers without stored tokens, at the time of the loop's clock.
fn access_of(controller: &Controller, settings: &Arc<ApiSettings>) -> Access {
    let clock = controller.clone();
    Access::new(Arc::clone(settings), Role::Admin, move || Timestamp(clock.now_ms()))
}

impl ApiState {
    /// A state without any uploads yet, and without stored tokens.
    pub fn new(
        controller: Controller,
        policies: Arc<dyn PolicyCatalogue>,
        discovery: Discovery,
        settings: Arc<ApiSettings>,
    ) -> Self {
        let uploads = Arc::new(Uploads::new(&settings));
        let access = Arc::new(access_of(&controller, &settings));
        let event_streams = Arc::new(Streams::new("event streams", settings.streams, settings.streams_per_peer));
        let log_streams = Arc::new(Streams::new("log streams", LOG_STREAMS, LOG_STREAMS_TO_PEER));
        let long_answers = Arc::default();
        Self { controller, policies, discovery, settings, access, uploads, long_answers, event_streams, log_streams }
    }

    /// The same with the tokens and the audit record of a store. Without one, only the token of the configuration is valid.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn with_tokens(mut self, store: Arc<dyn AccessStore>) -> Result<Self, StoreError> {
        self.access = Arc::new(access_of(&self.controller, &self.settings).with_store(store)?);
        Ok(self)
    }
}
