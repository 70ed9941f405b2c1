//! The policies there are, by name: those built into the host, for now.

use super::compile::Compiler;
use super::component::{LoadError, PolicyComponent};
use super::engine::{EngineError, PolicyEngine};
use super::link::PolicyKind;
use super::{HealthPolicy, ScalingPolicy};
use crate::model::facts::MetricRequest;
use crate::model::settings::PolicyLimits;
use crate::model::{FailureKind, PolicyFailure, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name of the scaling policy of a workload that names none.
pub const DEFAULT_SCALING: &str = "min-max";

/// Name of the health policy of a workload that names none.
pub const DEFAULT_HEALTH: &str = "liveness";

/// The component of the default scaling policy.
pub const MIN_MAX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/min-max.wasm"));

/// The component of the default health policy.
pub const LIVENESS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/liveness.wasm"));

/// The policies cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A built-in policy does not load.
    #[error("cannot load the built-in policy `{name}`")]
    Load {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: LoadError,
    },
}

/// No such policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {kind} policy `{}`; there are: {}", name.escape_debug(), known.join(", "))]
pub struct UnknownPolicy {
    /// What was asked for.
    pub name: String,
    /// Of which kind.
    pub kind: PolicyKind,
    /// The names there are.
    pub known: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such policy.
    #[error("there is no policy `{}`", .0.escape_debug())]
    Unknown(String),
    /// The policy refused it, or gave no answer.
    #[error("the policy `{name}` does not accept this configuration: {}", failure.reason)]
    Refused {
        /// Which policy.
        name: String,
        /// What it answered.
        failure: PolicyFailure,
    },
}

/// One policy as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyInfo {
    /// Name it is registered under.
    pub name: String,
    /// What it decides.
    pub kind: PolicyKind,
    /// Version it describes itself with.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// `sha256:` and the component's digest.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: usize,
    /// Where it comes from: `built-in`.
    pub source: &'static str,
    /// What it imports.
    pub imports: Vec<String>,
    /// Failed calls since it was loaded, by kind; every kind is there.
    pub failures: BTreeMap<String, u64>,
}

/// The policies there are.
#[derive(Debug)]
pub struct PolicyRegistry {
    engine: Arc<PolicyEngine>,
    policies: BTreeMap<String, Arc<PolicyComponent>>,
}

impl PolicyRegistry {
    /// Loads the built-in policies; `compiler` should keep what it compiles, for the next start.
    ///
    /// # Errors
    /// When the engine cannot be set up or a built-in policy does not load.
    pub async fn open(limits: PolicyLimits, compiler: &Compiler) -> Result<Self, RegistryError> {
        let engine = Arc::new(PolicyEngine::new(limits)?);
        let mut policies = BTreeMap::new();
        for (name, bytes) in [(DEFAULT_SCALING, MIN_MAX), (DEFAULT_HEALTH, LIVENESS)] {
            let policy = PolicyComponent::load(&engine, compiler, Some(name), Arc::from(bytes))
                .await
                .map_err(|source| RegistryError::Load { name, source })?;
            policies.insert(name.to_owned(), Arc::new(policy));
        }
        Ok(Self { engine, policies })
    }

    /// The engine the policies run on.
    pub fn engine(&self) -> &Arc<PolicyEngine> {
        &self.engine
    }

    /// The scaling policy of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn scaling(&self, name: &str) -> Result<Arc<dyn ScalingPolicy>, UnknownPolicy> {
        Ok(self.find(name, PolicyKind::Scaling)?)
    }

    /// The health policy of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn health(&self, name: &str) -> Result<Arc<dyn HealthPolicy>, UnknownPolicy> {
        Ok(self.find(name, PolicyKind::Health)?)
    }

    /// The scaling policy of a workload that names none.
    pub fn default_scaling(&self) -> Arc<dyn ScalingPolicy> {
        self.find(DEFAULT_SCALING, PolicyKind::Scaling).expect("`open` loads it")
    }

    /// The health policy of a workload that names none.
    pub fn default_health(&self) -> Arc<dyn HealthPolicy> {
        self.find(DEFAULT_HEALTH, PolicyKind::Health).expect("`open` loads it")
    }

    /// Every policy, by name.
    pub fn list(&self) -> Vec<PolicyInfo> {
        self.policies.values().map(|policy| info(policy)).collect()
    }

    /// Asks a policy whether it accepts a configuration (JSON text) and what it needs under it.
    ///
    /// # Errors
    /// When there is no such policy, or it refuses the configuration and says why.
    pub async fn check_config(
        &self,
        name: &str,
        config: &str,
        now: Timestamp,
    ) -> Result<Vec<MetricRequest>, ConfigError> {
        let policy = self.policies.get(name).ok_or_else(|| ConfigError::Unknown(name.to_owned()))?;
        let called = policy.configure(config, now).await;
        called.log.trace(name);
        called.answer.map_err(|failure| ConfigError::Refused { name: name.to_owned(), failure })
    }

    fn find(&self, name: &str, kind: PolicyKind) -> Result<Arc<PolicyComponent>, UnknownPolicy> {
        match self.policies.get(name) {
            Some(policy) if policy.kind() == kind => Ok(Arc::clone(policy)),
            _ => {
                let of_kind = self.policies.iter().filter(|(_, policy)| policy.kind() == kind);
                let known = of_kind.map(|(name, _)| format!("`{name}`")).collect();
                Err(UnknownPolicy { name: name.to_owned(), kind, known })
            }
        }
    }
}

fn info(policy: &PolicyComponent) -> PolicyInfo {
    let description = policy.description();
    PolicyInfo {
        name: policy.identity().name.clone(),
        kind: policy.kind(),
        version: description.version.clone(),
        summary: description.summary.clone(),
        config_schema: serde_json::from_str(&description.config_schema).expect("checked when it was loaded"),
        digest: policy.identity().digest.clone(),
        size_bytes: policy.size_bytes(),
        source: "built-in",
        imports: policy.imports().to_vec(),
        failures: FailureKind::ALL.into_iter().map(|kind| (kind.to_string(), policy.failures().get(kind))).collect(),
    }
}

#[cfg(test)]
mod tests;
