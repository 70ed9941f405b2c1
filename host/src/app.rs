//! The composition root: the only file that names the adapters. Starts the loop and the server, and ends
//! them in order.

use crate::api::{self, ApiState};
use crate::config::Config;
use crate::control::clock::Clock;
use crate::control::{Controller, Parts};
use crate::model::PolicyChoice;
use crate::model::PolicyKind;
use crate::model::settings::ApiSettings;
use crate::net::client::NetClient;
use crate::policy::PolicyCatalogue;
use crate::policy::cache::Cache;
use crate::policy::compile::Compiler;
use crate::policy::folder::Folder;
use crate::policy::registry::{DEFAULT_HEALTH, DEFAULT_SCALING, Defaults, PolicyRegistry};
use crate::runtime::docker::DockerRuntime;
use crate::store::sqlite::SqliteStore;
use anyhow::Context;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Serves until SIGTERM or SIGINT; then finishes the passes and requests in hand. Containers run on.
///
/// # Errors
/// What kept it from starting, or from serving on.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let Config { api: api_settings, engine, control, policy, policy_folder, store, .. } = config;
    let data_dir = &store.data_dir;
    let store = SqliteStore::open(data_dir, control.decisions_kept)?;
    let listener = TcpListener::bind(api_settings.listen)
        .await
        .with_context(|| format!("cannot listen on `{}`", api_settings.listen))?;
    let address = listener.local_addr().context("the socket has no address")?;
    let compiler = Compiler::this_program().with_cache(Cache::open(data_dir)?);
    let defaults =
        Defaults { scaling_config: control.scaling_config.clone(), health_config: control.health_config.clone() };
    let longest = policy.component_bytes;
    let upload_bytes = usize::try_from(policy.component_bytes).unwrap_or(usize::MAX);
    let api_settings = ApiSettings { upload_bytes, ..api_settings };
    let registry = Arc::new(PolicyRegistry::open(policy, compiler, defaults, Some(data_dir)).await?);
    let clock = Clock::System;
    for (kind, name, config) in [
        (PolicyKind::Scaling, DEFAULT_SCALING, &control.scaling_config),
        (PolicyKind::Health, DEFAULT_HEALTH, &control.health_config),
    ] {
        let choice = PolicyChoice { name: name.to_owned(), config: config.clone() };
        registry.check(kind, &choice, clock.now()).await?;
    }
    let mut folder = policy_folder.map(|path| Folder::new(path, longest, Arc::<PolicyRegistry>::clone(&registry)));
    if let Some(folder) = &mut folder {
        // Before the first pass, whose workloads may have chosen what is in it.
        folder.look(clock.now()).await;
    }
    let controller = Controller::begin(Parts {
        runtime: DockerRuntime::connect(&engine).await?,
        store: Arc::new(store),
        policies: Arc::<PolicyRegistry>::clone(&registry),
        net: NetClient::new()?,
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        settings: control,
        clock,
    })?;
    let state =
        ApiState { controller: controller.clone(), policies: registry, settings: Arc::new(api_settings.clone()) };
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
    let watching = folder.map(|folder| tokio::spawn(folder.watch(move || Clock::System.now())));
    tracing::info!(%address, instance = engine.instance, data_dir = %data_dir.display(), "listening");
    let (served, ()) = tokio::join!(api::serve(listener, api::router(state), &api_settings, until_ended), end);
    if let Some(watching) = watching {
        watching.abort();
    }
    served.context("the server failed")
}
