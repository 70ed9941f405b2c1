//! The built-in policies. The two defaults are loaded at start, the others when they are first used, so that a policy that
//! no workload chose takes no memory.

use crate::breaker::{Breaker, Change, Use};
use crate::loader::Loader;
use crate::monitored::{BreakerObserver, Monitored};
use async_trait::async_trait;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OnceCell;
use windlass_builtin::{BUILT_IN, Manifest};
use windlass_core::contract::{HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::settings::{HttpGrant, PolicyLimits};
use windlass_core::{FailureKind, PolicyFailure, PolicyIdentity, PolicyKind, Timestamp};
use windlass_sandbox::component::{LoadError, PolicyComponent};

/// The built-in policies, by name.
pub(crate) struct BuiltInPolicies {
    by_name: BTreeMap<&'static str, Arc<BuiltInPolicy>>,
    default_scaling: Arc<PolicyComponent>,
    default_health: Arc<PolicyComponent>,
}

/// A built-in policy, which is loaded when it is first called.
pub(crate) struct BuiltInPolicy {
    kind: PolicyKind,
    /// Known without the component.
    identity: PolicyIdentity,
    description: Described,
    bytes: &'static [u8],
    component: OnceCell<Arc<PolicyComponent>>,
    /// It has no trial: the built-in policies are tested.
    breaker: Arc<Breaker>,
    loader: Arc<Loader>,
}

/// Where the description of a built-in policy comes from.
pub(crate) enum Described {
    /// From the component, which is loaded at start.
    ByComponent,
    /// From the manifest that the build made.
    ByManifest(&'static Manifest),
}

impl BuiltInPolicies {
    /// Loads the two defaults. Of the others, only machine code that is missing in the cache is compiled.
    ///
    /// # Errors
    /// The default that does not load, and why.
    pub(crate) async fn load(
        loader: &Arc<Loader>,
        scaling: &'static str,
        health: &'static str,
    ) -> Result<Self, (&'static str, LoadError)> {
        let load = async |name: &'static str| {
            let bytes = component_of(name);
            loader.load_built_in(name, bytes).await.map(Arc::new).map_err(|error| (name, error))
        };
        let (default_scaling, default_health) = futures_util::future::try_join(load(scaling), load(health)).await?;
        let mut by_name = BTreeMap::new();
        for (name, component) in [(scaling, &default_scaling), (health, &default_health)] {
            by_name.insert(name, Arc::new(BuiltInPolicy::loaded(loader, component_of(name), component)));
        }
        for manifest in windlass_builtin::MANIFESTS {
            let on_demand = || Arc::new(BuiltInPolicy::on_demand(loader, manifest));
            by_name.entry(manifest.name).or_insert_with(on_demand);
        }
        join_all(by_name.values().map(|policy| policy.prepare())).await;
        Ok(Self { by_name, default_scaling, default_health })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<BuiltInPolicy>> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &BuiltInPolicy> {
        self.by_name.values().map(|policy| &**policy)
    }

    /// The default policy of a kind, which is always loaded.
    pub(crate) fn default(&self, kind: PolicyKind) -> Arc<PolicyComponent> {
        Arc::clone(match kind {
            PolicyKind::Scaling => &self.default_scaling,
            PolicyKind::Health => &self.default_health,
        })
    }
}

fn component_of(name: &str) -> &'static [u8] {
    let known = BUILT_IN.iter().find(|(known, _)| *known == name);
    known.map(|(_, bytes)| *bytes).expect("the build embeds every built-in policy")
}

impl BuiltInPolicy {
    fn loaded(loader: &Arc<Loader>, bytes: &'static [u8], component: &Arc<PolicyComponent>) -> Self {
        Self {
            kind: component.kind(),
            identity: component.identity().clone(),
            description: Described::ByComponent,
            bytes,
            component: OnceCell::new_with(Some(Arc::clone(component))),
            breaker: breaker(component.limits()),
            loader: Arc::clone(loader),
        }
    }

    fn on_demand(loader: &Arc<Loader>, manifest: &'static Manifest) -> Self {
        Self {
            // Every health policy that is built in is a default.
            kind: PolicyKind::Scaling,
            identity: PolicyIdentity {
                name: manifest.name.to_owned(),
                version: manifest.version.to_owned(),
                digest: format!("sha256:{}", manifest.digest),
                replayable: true,
                ..PolicyIdentity::default()
            },
            description: Described::ByManifest(manifest),
            bytes: component_of(manifest.name),
            component: OnceCell::new(),
            breaker: breaker(&loader.built_in_limits(manifest.name)),
            loader: Arc::clone(loader),
        }
    }

    pub(crate) fn kind(&self) -> PolicyKind {
        self.kind
    }

    pub(crate) fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    pub(crate) fn description(&self) -> &Described {
        &self.description
    }

    /// The outgoing HTTP that `windlass.toml` grants it.
    pub(crate) fn http(&self) -> Option<HttpGrant> {
        self.loader.settings.limits_of(&self.identity.name).http.clone()
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The component, if it is loaded.
    pub(crate) fn component(&self) -> Option<&Arc<PolicyComponent>> {
        self.component.get()
    }

    /// The component, loaded now if it is not yet. Concurrent callers load it once.
    pub(crate) async fn load(&self) -> Result<&Arc<PolicyComponent>, PolicyFailure> {
        let name = &self.identity.name;
        let load = async || self.loader.load_built_in(name, self.bytes).await.map(Arc::new);
        self.component.get_or_try_init(load).await.map_err(|error| {
            // The built-in policies are tested: it takes too long, or the limits in windlass.toml are too low.
            let kind = if error.may_pass() { FailureKind::Busy } else { FailureKind::Link };
            PolicyFailure::new(kind, format!("cannot load the built-in policy `{name}`: {error}"))
        })
    }

    /// Compiles it into the cache, so that its first use does not have to.
    async fn prepare(&self) {
        let Some(digest) = self.identity.digest.strip_prefix("sha256:") else { return };
        let Loader { engine, compiler, .. } = &*self.loader;
        let limits = self.loader.built_in_limits(&self.identity.name);
        if let Err(error) = compiler.prepare(engine, &limits, self.bytes, digest).await {
            tracing::warn!(policy = self.identity.name, %error, "cannot compile a built-in policy ahead of its first use");
        }
    }

    /// The policy for shadows: the component itself if it is loaded.
    pub(crate) fn scaling(self: &Arc<Self>) -> Arc<dyn ScalingPolicy> {
        match self.component() {
            Some(component) => Arc::<PolicyComponent>::clone(component),
            None => Arc::<Self>::clone(self),
        }
    }

    /// As [`BuiltInPolicy::scaling`], for a health policy.
    pub(crate) fn health(self: &Arc<Self>) -> Arc<dyn HealthPolicy> {
        match self.component() {
            Some(component) => Arc::<PolicyComponent>::clone(component),
            None => Arc::<Self>::clone(self),
        }
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The policy for the calls of a use.
    pub(crate) fn for_use(self: &Arc<Self>, used: &Use) -> Monitored<Self> {
        Monitored {
            policy: Arc::clone(self),
            identity: self.identity.clone(),
            breaker: Arc::clone(&self.breaker),
            observer: Arc::new(LogChanges { policy: self.identity.name.clone() }),
            used: used.clone(),
        }
    }
}

fn breaker(limits: &PolicyLimits) -> Arc<Breaker> {
    let breaker = Breaker::new(limits);
    breaker.begin(true);
    Arc::new(breaker)
}

/// Logs the changes of a breaker: a built-in policy has no stored events.
#[derive(Debug)]
struct LogChanges {
    policy: String,
}

impl BreakerObserver for LogChanges {
    fn breaker_changed(&self, _: u32, change: Change, _: Timestamp) {
        let policy = &self.policy;
        match change {
            Change::Opened { workload, failing, .. } => {
                let (failures, last) = (failing.failures, failing.last);
                tracing::error!(policy, workload, failures, %last, "the policy failed too often in a row; another one takes its place");
            }
            Change::Closed { workload, .. } => tracing::info!(policy, workload, "the policy answers again, and acts"),
            Change::Passed { .. } | Change::Failed { .. } => {}
        }
    }
}

#[async_trait]
impl ScalingPolicy for BuiltInPolicy {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        self.load().await?.requirements(config, now).await
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        ScalingPolicy::decide(self.load().await?.as_ref(), config, observation).await
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        match self.load().await {
            Ok(component) => ScalingPolicy::protected(component.as_ref(), config, observation).await,
            Err(failure) => Some(Err(failure)),
        }
    }
}

#[async_trait]
impl HealthPolicy for BuiltInPolicy {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        HealthPolicy::evaluate(self.load().await?.as_ref(), config, observation).await
    }
}
