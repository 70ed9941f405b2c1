//! Fetching an image that is missing: once for all who wait for it, with the user's credentials.

use crate::connect::EngineClient;
use crate::credentials;
use crate::failure::Failure;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use futures_util::stream::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::ImageRef;
use windlass_core::engine::EngineError;
use windlass_core::error_chain;

type Fetch = Shared<BoxFuture<'static, Result<(), EngineError>>>;

/// Fetches images, each once however many wait for it.
#[derive(Clone)]
pub(crate) struct Images {
    engine: EngineClient,
    limit: Duration,
    config_folder: Option<PathBuf>,
    in_flight: Arc<Mutex<HashMap<ImageRef, Fetch>>>,
}

impl Images {
    /// `limit`: how long one fetch may take; `config_folder`: where the user's `config.json` is.
    pub(crate) fn new(engine: EngineClient, limit: Duration, config_folder: Option<PathBuf>) -> Self {
        Self { engine, limit, config_folder, in_flight: Arc::default() }
    }

    /// Fetches `image`, or waits for the fetch that is under way and shares its outcome.
    pub(crate) async fn fetch(&self, image: &ImageRef) -> Result<(), EngineError> {
        let fetch = {
            let mut in_flight = self.in_flight.lock();
            in_flight.entry(image.clone()).or_insert_with(|| self.clone().pull(image.clone()).boxed().shared()).clone()
        };
        let outcome = fetch.clone().await;
        let mut in_flight = self.in_flight.lock();
        // Another may have begun since: only the one that ended here is taken away.
        if in_flight.get(image).is_some_and(|current| current.ptr_eq(&fetch)) {
            in_flight.remove(image);
        }
        outcome
    }

    async fn pull(self, image: ImageRef) -> Result<(), EngineError> {
        let credentials = match credentials::find(self.config_folder.as_deref(), image.as_str()).await {
            Ok(credentials) => credentials,
            Err(error) => {
                tracing::warn!(%image, error = error_chain(&error), "no credentials; fetching the image without");
                None
            }
        };
        let options = match tag_of(image.as_str()) {
            Some(_) => CreateImageOptionsBuilder::default().from_image(image.as_str()),
            // Without a tag an engine fetches every one there is.
            None => CreateImageOptionsBuilder::default().from_image(image.as_str()).tag("latest"),
        };
        tracing::info!(%image, authenticated = credentials.is_some(), "fetching image");
        let outcome = self
            .engine
            .call_within(self.limit, &format!("fetch image `{image}`"), |docker| async move {
                let mut progress = docker.create_image(Some(options.build()), None, credentials);
                while let Some(step) = progress.next().await {
                    step?;
                }
                Ok(())
            })
            .await;
        outcome.map_err(|failure| match failure {
            Failure::Answered { message, .. } => {
                EngineError::Refused(format!("image `{image}` is missing and cannot be fetched: {message}"))
            }
            other => other.into(),
        })
    }
}

/// The tag or digest of a reference, if it has one.
fn tag_of(image: &str) -> Option<&str> {
    if let Some((_, digest)) = image.split_once('@') {
        return Some(digest);
    }
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(tag_of("127.0.0.1:5000/app"), None);
        assert_eq!(tag_of("127.0.0.1:5000/app:1"), Some("1"));
        assert_eq!(tag_of("app@sha256:00"), Some("sha256:00"));
        assert_eq!(tag_of("app"), None);
    }
}
