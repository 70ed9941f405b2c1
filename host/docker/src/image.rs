//! Pulls missing images with the user's credentials; concurrent requests for one image share a pull.

use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::credentials;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::future::{BoxFuture, FutureExt, WeakShared};
use futures_util::stream::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::engine::EngineError;
use windlass_core::error_chain;
use windlass_core::{ImageRef, Workload};

/// A pull in progress; it ends when nobody waits for it any more.
type Pull = WeakShared<BoxFuture<'static, Result<(), EngineError>>>;

/// Pulls images; each is pulled once, however many callers wait for it.
#[derive(Clone)]
pub(crate) struct Images {
    engine: EngineClient,
    limit: Duration,
    config_folder: Option<PathBuf>,
    in_flight: Arc<Mutex<HashMap<ImageRef, Pull>>>,
}

impl Images {
    /// `limit` is the time limit of one pull; `config_folder` contains the user's `config.json`.
    pub(crate) fn new(engine: EngineClient, limit: Duration, config_folder: Option<PathBuf>) -> Self {
        Self { engine, limit, config_folder, in_flight: Arc::default() }
    }

    /// Pulls `image`, or waits for the pull in progress and shares its result.
    pub(crate) async fn pull(&self, image: &ImageRef) -> Result<(), EngineError> {
        let pull = {
            let mut in_flight = self.in_flight.lock();
            in_flight.retain(|_, pull| pull.upgrade().is_some_and(|pull| pull.peek().is_none()));
            let current = in_flight.get(image).and_then(WeakShared::upgrade);
            current.unwrap_or_else(|| {
                let pull = self.clone().pull_once(image.clone()).boxed().shared();
                in_flight.extend(pull.downgrade().map(|pull| (image.clone(), pull)));
                pull
            })
        };
        pull.await
    }

    /// Pulls an image that the engine does not have.
    pub(crate) async fn pull_missing(&self, image: &ImageRef) -> Result<(), EngineError> {
        self.pull(image).await.map_err(|error| match error {
            EngineError::Refused(why) => EngineError::Refused(why.replacen(" cannot", " is missing and cannot", 1)),
            other => other,
        })
    }

    /// The engine's identifier of an image. `None` if the engine does not have it.
    pub(crate) async fn id_of(&self, image: &str) -> Result<Option<String>, EngineError> {
        let inspected = self.inspect(image).await?;
        Ok(inspected.and_then(|inspected| inspected.id))
    }

    /// The image from which to create a replica: the one with the identifier that the workload names while the engine has
    /// it, otherwise the one that its reference leads to. The reference is preferred where both are the same, because
    /// people can read it.
    pub(crate) async fn to_use(&self, workload: &Workload) -> Result<String, EngineError> {
        let reference = workload.image.as_str();
        match &workload.image_id {
            Some(id) if self.id_of(reference).await?.as_ref() != Some(id) && self.id_of(id).await?.is_some() => {
                Ok(id.clone())
            }
            _ => Ok(reference.to_owned()),
        }
    }

    /// Pulls an image and returns the engine's identifier of it. An image that was built on the engine, and that no registry
    /// provides, is used as it is.
    pub(crate) async fn refresh(&self, image: &ImageRef) -> Result<String, EngineError> {
        let pulled = self.pull(image).await;
        let Some(ImageInspect { id: Some(id), repo_digests, .. }) = self.inspect(image.as_str()).await? else {
            return Err(pulled.err().unwrap_or_else(|| {
                EngineError::Refused(format!("image `{image}` was pulled and is gone again; start the workload again"))
            }));
        };
        match pulled {
            Err(error @ EngineError::Refused(_)) if !is_from_registry(image, &repo_digests.unwrap_or_default()) => {
                tracing::info!(%image, %error, "the image was built on the engine and is not pulled");
                Ok(id)
            }
            pulled => pulled.map(|()| id),
        }
    }

    async fn inspect(&self, image: &str) -> Result<Option<ImageInspect>, EngineError> {
        let inspected =
            self.engine.call("inspect image", |docker| async move { docker.inspect_image(image).await }).await;
        match inspected {
            Ok(inspected) => Ok(Some(inspected)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn pull_once(self, image: ImageRef) -> Result<(), EngineError> {
        let credentials = match credentials::find(self.config_folder.as_deref(), image.as_str()).await {
            Ok(credentials) => credentials,
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!(%image, error, "cannot read registry credentials; pulling the image without them");
                None
            }
        };
        let options = match tag_of(image.as_str()) {
            Some(_) => CreateImageOptionsBuilder::default().from_image(image.as_str()),
            // Without a tag, the engine pulls every tag.
            None => CreateImageOptionsBuilder::default().from_image(image.as_str()).tag("latest"),
        };
        tracing::info!(%image, authenticated = credentials.is_some(), "pulling image");
        let outcome = self
            .engine
            .call_within(self.limit, &format!("pull image `{image}`"), |docker| async move {
                let mut progress = docker.create_image(Some(options.build()), None, credentials);
                while let Some(step) = progress.next().await {
                    step?;
                }
                Ok(())
            })
            .await;
        outcome.map_err(|error| match error {
            CallError::Response { message, .. } => {
                EngineError::Refused(format!("image `{image}` cannot be pulled: {message}"))
            }
            other => other.into(),
        })
    }
}

/// Whether an image with these digests was pulled from the registry of a reference, or pushed to it.
fn is_from_registry(image: &ImageRef, digests: &[String]) -> bool {
    let repository = image.repository();
    digests.iter().any(|digest| ImageRef::stored(digest.as_str()).repository() == repository)
}

/// The tag or digest of a reference, if any.
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
    fn an_image_is_from_the_registry_of_its_own_reference_only() {
        let digest = |name: &str| format!("{name}@sha256:{}", "0a".repeat(32));
        let image: ImageRef = "docker.io/library/web:1".parse().unwrap();
        assert!(is_from_registry(&image, &[digest("mirror.example/web"), digest("web")]));
        assert!(!is_from_registry(&image, &[digest("mirror.example/web"), digest("org/web")]));
        assert!(!is_from_registry(&image, &[]));
    }

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(tag_of("127.0.0.1:5000/app"), None);
        assert_eq!(tag_of("127.0.0.1:5000/app:1"), Some("1"));
        assert_eq!(tag_of("app@sha256:00"), Some("sha256:00"));
        assert_eq!(tag_of("app"), None);
    }
}
