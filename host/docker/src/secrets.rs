//! The secrets of a Swarm, for `windlass swarm init`.

use crate::address::Address;
use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::environment::Environment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::models::SecretSpec;
use std::collections::{BTreeSet, HashMap};
use windlass_core::Secret;
use windlass_core::engine::EngineError;
use windlass_core::settings::EngineSettings;

/// The label of every secret that Windlass makes.
const MADE_BY: (&str, &str) = ("windlass.made-by", "windlass swarm init");

/// A manager of a Swarm, as far as it keeps secrets.
pub struct SecretStore {
    engine: EngineClient,
}

impl SecretStore {
    /// The manager at the address from `settings`, else from this process's environment.
    ///
    /// # Errors
    /// If the address is not of a supported kind.
    pub fn connect(settings: &EngineSettings) -> Result<Self, EngineError> {
        let address = Address::find(settings, &Environment::of_process())?;
        Ok(Self { engine: EngineClient::new(address, settings.call_timeout) })
    }

    /// The engine's socket on this machine. `None` if it has another kind of address.
    pub fn socket(&self) -> Option<&str> {
        match self.engine.address() {
            Address::Socket(path) => Some(path.as_str()),
            _ => None,
        }
    }

    /// The names of all secrets.
    ///
    /// # Errors
    /// If the engine does not answer, or is no manager of a Swarm.
    pub async fn names(&self) -> Result<BTreeSet<String>, EngineError> {
        let listed = match self.engine.info().await {
            Ok(_) => self.engine.call("list secrets", |docker| async move { docker.list_secrets(None).await }).await,
            Err(error) => Err(error),
        };
        let secrets = listed.map_err(|error| self.explained(error))?;
        Ok(secrets.into_iter().filter_map(|secret| secret.spec?.name).collect())
    }

    /// Creates secrets with these names, all of them or none.
    ///
    /// # Errors
    /// As [`SecretStore::names`], and if a secret has one of the names already.
    pub async fn create(&self, secrets: &[(String, Secret)]) -> Result<(), EngineError> {
        let mut created = Vec::new();
        for (name, data) in secrets {
            let spec = SecretSpec {
                name: Some(name.clone()),
                labels: Some(HashMap::from([(MADE_BY.0.to_owned(), MADE_BY.1.to_owned())])),
                data: Some(STANDARD.encode(data.reveal())),
                ..SecretSpec::default()
            };
            let operation = format!("create the secret {name}");
            match self.engine.call(&operation, |docker| async move { docker.create_secret(spec).await }).await {
                Ok(answer) => created.push(answer.id),
                Err(error) => {
                    self.remove(&created).await;
                    return Err(self.explained(error));
                }
            }
        }
        Ok(())
    }

    async fn remove(&self, ids: &[String]) {
        for id in ids {
            let removed = self.engine.call("remove a secret", |docker| async move { docker.delete_secret(id).await });
            if let Err(error) = removed.await {
                tracing::warn!(?error, id, "a secret of an incomplete set is left; remove it with `docker secret rm`");
            }
        }
    }

    fn explained(&self, error: CallError) -> EngineError {
        match error {
            CallError::Response { message, .. } if message.contains("not a swarm manager") => {
                EngineError::Refused(format!(
                    "the engine at {} is no manager of a Swarm; run `docker swarm init` there, or name a manager with \
                     `--engine-host`",
                    self.engine.address()
                ))
            }
            error => error.into(),
        }
    }
}
