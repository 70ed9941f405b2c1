//! The composition root: the only file that names the adapters. Starts the loop and the server, and ends
//! them in order.

use crate::config::Config;
use anyhow::Context;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use windlass_api;
use windlass_api::ApiState;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::policy::PolicyCatalogue;
use windlass_core::settings::{ApiSettings, PolicyOrigin, PolicySettings};
use windlass_core::{PolicyChoice, PolicyKind, RegistryLogin};
use windlass_discovery::Discovery;
use windlass_discovery::publish::Publisher;
use windlass_docker::{DockerEngine, credentials};
use windlass_network::NetClient;
use windlass_policies::registry::{DEFAULT_HEALTH, DEFAULT_SCALING, Defaults, PolicyRegistry};
use windlass_policies::sources::files::Files;
use windlass_policies::sources::oci::{Oci, RegistryLogins};
use windlass_sandbox::cache::Cache;
use windlass_sandbox::compile::Compiler;
use windlass_storage::SqliteStore;

/// Time until a policy is tried again that could not be fetched from its registry.
const FETCH_AGAIN: Duration = Duration::from_secs(30);

/// Serves until SIGTERM or SIGINT; then finishes the passes and requests in hand. Containers run on.
///
/// # Errors
/// What kept it from starting, or from serving on.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let Config { api: api_settings, engine, control, policy, discovery: told, store, .. } = config;
    let data_dir = &store.data_dir;
    let store = SqliteStore::open(data_dir, control.decisions_kept)?;
    let listener = TcpListener::bind(api_settings.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", api_settings.listen))?;
    let address = listener.local_addr().context("the socket has no address")?;
    let compiler = Compiler::this_program().with_cache(Cache::open(data_dir)?);
    let choice = |name: &Option<String>, built_in: &str, config: &String| PolicyChoice {
        name: name.clone().unwrap_or_else(|| built_in.to_owned()),
        config: config.clone(),
    };
    let defaults = Defaults {
        scaling: choice(&control.scaling_policy, DEFAULT_SCALING, &control.scaling_config),
        health: choice(&control.health_policy, DEFAULT_HEALTH, &control.health_config),
    };
    let longest = policy.widest().component_bytes;
    let upload_bytes = usize::try_from(longest).unwrap_or(usize::MAX);
    let api_settings = ApiSettings { upload_bytes, ..api_settings };
    // First of all that speaks TLS: it chooses who provides it.
    let net = NetClient::new()?;
    let registry = PolicyRegistry::open(policy.clone(), compiler, defaults.clone(), Some(data_dir)).await?;
    registry.engine().send_with(Arc::<NetClient>::clone(&net));
    let registry = Arc::new(registry.with_oci(Oci::new(Arc::new(DockerLogins), longest)));
    let clock = Clock::System;
    let mut files =
        Files::new(policy.folder.clone(), named_files(&policy), longest, Arc::<PolicyRegistry>::clone(&registry));
    // Before the first pass, whose workloads may have chosen what is in them.
    files.look(clock.now()).await;
    for (setting, kind, choice) in [
        ("control.scaling_policy", PolicyKind::Scaling, &defaults.scaling),
        ("control.health_policy", PolicyKind::Health, &defaults.health),
    ] {
        let Err(why) = registry.check(kind, choice, clock.now()).await else { continue };
        if !registry.is_expected(&choice.name) {
            return Err(why).with_context(|| format!("`{setting}` and its configuration"));
        }
        // What was pushed, or is fetched, may be another one by now, or away: containers are not left alone for that.
        tracing::error!(setting, %why, "the default policy cannot be asked as windlass.toml has it");
    }
    let controller = Controller::begin(Parts {
        engine: DockerEngine::connect(&engine).await?,
        store: Arc::new(store),
        policies: Arc::<PolicyRegistry>::clone(&registry),
        net: Arc::<NetClient>::clone(&net),
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        settings: control,
        clock,
    })?;
    let fetched = Arc::clone(&registry);
    let discovery = Discovery::new(controller.clone(), told.address.clone());
    let publisher = Publisher::new(discovery.clone(), net, told).map_err(anyhow::Error::msg)?;
    let state = ApiState::new(controller.clone(), registry, discovery, Arc::new(api_settings.clone()));
    let (ending, mut ended) = watch::channel(false);
    let until_ended = async move {
        // A sender that is gone means the end as well.
        let _ = ended.wait_for(|ended| *ended).await;
    };
    let mut ends = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let end = async {
        let [terminate, interrupt] = &mut ends;
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("shutting down: the passes in hand are finished, the containers run on");
        ending.send_replace(true);
        controller.shut_down().await;
    };
    let watching = tokio::spawn(files.watch(move || Clock::System.now()));
    let publishing = publisher.map(|publisher| tokio::spawn(publisher.run()));
    let fetching = tokio::spawn(async move {
        loop {
            fetched.fetch_missing(Clock::System.now()).await;
            tokio::time::sleep(FETCH_AGAIN).await;
        }
    });
    tracing::info!(%address, instance = engine.instance, data_dir = %data_dir.display(), "listening");
    let (served, ()) =
        tokio::join!(windlass_api::serve(listener, windlass_api::router(state), &api_settings, until_ended), end);
    watching.abort();
    fetching.abort();
    publishing.inspect(tokio::task::JoinHandle::abort);
    served.context("the server failed")
}

/// The policies whose components are files, named one by one.
fn named_files(policy: &PolicySettings) -> BTreeMap<String, PathBuf> {
    let named = policy.named.iter().filter_map(|(name, named)| Some((name, named.source.as_ref()?)));
    let files = named.filter_map(|(name, source)| match source {
        PolicyOrigin::File(path) => Some((name.clone(), path.clone())),
        PolicyOrigin::Oci(_) => None,
    });
    files.collect()
}

/// The logins of the user's Docker configuration.
struct DockerLogins;

#[async_trait]
impl RegistryLogins for DockerLogins {
    async fn of(&self, registry: &str) -> Result<Option<RegistryLogin>, String> {
        credentials::login(registry).await
    }
}
