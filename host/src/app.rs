//! The composition root: creates the adapters, starts the control loop and the API server, and stops them in order.

use crate::config::Config;
use crate::holder;
use crate::own_container::own_container;
use crate::socket::{self, SocketFile};
use crate::tls_files::{self, TlsWatch};
use anyhow::Context;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use windlass_api::{ApiState, Listeners};
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::engine::AnyEngine;
use windlass_core::listen::socket_text;
use windlass_core::node_usage::AgentClient;
use windlass_core::policy::PolicyCatalogue;
use windlass_core::settings::{
    AgentSettings, ApiSettings, ControlSettings, EngineKind, EngineSettings, PolicyOrigin, PolicySettings,
};
use windlass_core::{Listen, PolicyChoice, PolicyKind, RegistryLogin, Secret};
use windlass_discovery::Discovery;
use windlass_discovery::publish::Publisher;
use windlass_docker::swarm::{LeaseTimes, SwarmEngine, SwarmSettings};
use windlass_docker::{DockerEngine, credentials};
use windlass_network::{NetClient, NetOptions};
use windlass_policies::registry::{DEFAULT_HEALTH, DEFAULT_SCALING, Defaults, PolicyRegistry};
use windlass_policies::sources::files::Files;
use windlass_policies::sources::oci::{Oci, RegistryLogins};
use windlass_sandbox::cache::Cache;
use windlass_sandbox::compile::Compiler;
use windlass_storage::SqliteStore;

/// Time between attempts to fetch a policy that its registry did not deliver.
const FETCH_INTERVAL: Duration = Duration::from_secs(30);

/// Serves until SIGTERM or SIGINT, then finishes the current passes and requests. Containers keep running.
///
/// # Errors
/// If Windlass cannot start, or the API server fails.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let Config {
        api: api_settings,
        engine,
        control,
        policy,
        discovery: discovery_settings,
        metric_sources,
        network,
        registries,
        store,
        ..
    } = config;
    let data_dir = &store.data_dir;
    let store = SqliteStore::open(data_dir, control.decisions_kept)?.with_limits(store.limits);
    let store = Arc::new(store);
    let (listeners, _socket_file) = listen(&api_settings).await?;
    let tcp = listeners.address().context("the listening socket has no address")?;
    let compiler = Compiler::this_program().with_cache(Cache::open(data_dir)?);
    let defaults = default_policies(&control);
    let component_bytes = policy.widest().component_bytes;
    let upload_bytes = usize::try_from(component_bytes).unwrap_or(usize::MAX);
    let listen = Listen { tcp, ..api_settings.listen };
    let api_settings = ApiSettings { listen, upload_bytes, ..api_settings };
    // Before any other TLS user, because it installs the TLS provider of the process.
    let sources = metric_sources.into_values().collect();
    let net = NetClient::with(NetOptions { sources, settings: network, listeners: tcp.into_iter().collect() });
    let net = net.context("`metric_sources`")?;
    let registry = PolicyRegistry::begin(policy.clone(), compiler, defaults.clone(), Some(data_dir)).await?;
    registry.engine().send_with(Arc::<NetClient>::clone(&net));
    let registry = Arc::new(registry.with_oci(Oci::new(
        Arc::<NetClient>::clone(&net),
        Arc::new(DockerLogins),
        registries,
        component_bytes,
    )));
    let clock = Clock::System;
    let mut files = Files::new(
        policy.folder.clone(),
        policy_files(&policy),
        component_bytes,
        Arc::<PolicyRegistry>::clone(&registry),
    );
    check_known_defaults(&registry, &defaults, clock).await?;
    let controller = Controller::begin(Parts {
        engine: connect(&engine, &control, data_dir, &net).await?,
        store: Arc::<SqliteStore>::clone(&store),
        policies: Arc::<PolicyRegistry>::clone(&registry),
        net: Arc::<NetClient>::clone(&net),
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        settings: ControlSettings { own_container: own_container(), ..control },
        clock,
    })?;
    let discovery = Discovery::new(controller.clone(), discovery_settings.address.clone());
    let publisher = Publisher::new(discovery.clone(), net, discovery_settings).map_err(anyhow::Error::msg)?;
    let fetcher = Arc::clone(&registry);
    let loader = Arc::clone(&registry);
    let catalogue: Arc<dyn PolicyCatalogue> = Arc::<PolicyRegistry>::clone(&registry);
    let state = ApiState::new(controller.clone(), catalogue, discovery, Arc::new(api_settings.clone()));
    let state = state.with_tokens(store)?;
    let administrators = state.access.administrators();
    let router = windlass_page::router(state, registry);
    let (stop, mut stopped) = watch::channel(false);
    let until_stopped = async move {
        // A dropped sender also means the end.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let shutdown = async {
        let [terminate, interrupt] = &mut signals;
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("shutting down: finishing the current passes; containers keep running");
        stop.send_replace(true);
        controller.shut_down().await;
    };
    // Compiling policies takes long if they are new. The API and the passes of other workloads do not wait for it.
    let file_watch = tokio::spawn(async move {
        loader.restore().await;
        files.look(clock.now()).await;
        loader.files_are_loaded();
        check_expected_defaults(&loader, &defaults, clock).await;
        tracing::info!("every policy is loaded");
        files.watch(move || clock.now()).await;
    });
    let tls_watch = api_settings.tls.clone().zip(listeners.tls.clone());
    let tls_watch = tls_watch.map(|(files, tls)| tokio::spawn(TlsWatch::new(files, tls).run()));
    let publishing = publisher.map(|publisher| tokio::spawn(publisher.run()));
    let fetching = tokio::spawn(async move {
        loop {
            fetcher.fetch_missing(Clock::System.now()).await;
            tokio::time::sleep(FETCH_INTERVAL).await;
        }
    });
    let administrators = administrators.join("; ");
    if api_settings.needs_token() {
        tracing::info!(administrators, "the administrators of this windlass");
    } else {
        tracing::warn!(
            administrators,
            "the administrators of this windlass need no token; see `api.token_file` and `api.local`"
        );
    }
    let [address, socket] = places(&api_settings.listen);
    tracing::info!(address, socket, instance = engine.instance, data_dir = %data_dir.display(), "listening");
    let (served, ()) = tokio::join!(windlass_api::serve(listeners, router, &api_settings, until_stopped), shutdown);
    file_watch.abort();
    fetching.abort();
    for task in publishing.into_iter().chain(tls_watch) {
        task.abort();
    }
    served.context("the API server failed")
}

/// The engine of the configured kind.
async fn connect(
    engine: &EngineSettings,
    control: &ControlSettings,
    data_dir: &Path,
    net: &NetClient,
) -> anyhow::Result<AnyEngine> {
    match engine.kind {
        EngineKind::Docker => Ok(DockerEngine::connect(engine).await?.into()),
        EngineKind::Swarm => {
            let earlier_file = Some(data_dir.join("swarm-services.json"));
            let agents = engine.agents.as_ref().map(|settings| agents(settings, net)).transpose()?;
            let lease = Some((holder::name(data_dir)?, LeaseTimes::default()));
            let settings = SwarmSettings { earlier_file, stop_grace: control.stop_grace, agents, lease };
            let connected = SwarmEngine::connect(engine, settings).await;
            Ok(AnyEngine::Counts(connected.context("`engine.kind` is `swarm`")?))
        }
    }
}

/// A client of the agents of a Swarm's nodes, and the port on which they listen.
fn agents(settings: &AgentSettings, net: &NetClient) -> anyhow::Result<(Arc<dyn AgentClient>, u16)> {
    let path = &settings.ca_file;
    let authority = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the authority of the agents from `{}`", path.display()))?;
    let token = crate::agent::secret(&settings.token_file, "token of the agents")?;
    let client = net.agents(&authority, Secret::new(token.reveal().trim()));
    let client = client.with_context(|| format!("`{}` is no authority of agents", path.display()))?;
    Ok((Arc::new(client), settings.port))
}

/// Listens on the places of `api.listen`.
async fn listen(settings: &ApiSettings) -> anyhow::Result<(Listeners, Option<SocketFile>)> {
    let mut listeners = Listeners::default();
    if let Some(address) = settings.listen.tcp {
        let listener = TcpListener::bind(address).await;
        listeners.tcp = Some(listener.with_context(|| format!("cannot listen on `{address}` (`api.listen`)"))?);
    }
    listeners.tls = settings.tls.as_ref().map(tls_files::load).transpose()?;
    let Some(path) = &settings.listen.socket else { return Ok((listeners, None)) };
    let (listener, file) = socket::listen(path, settings.socket_group.as_deref())
        .await
        .with_context(|| format!("cannot listen on `{}` (`api.listen`)", socket_text(path)))?;
    listeners.unix = Some(listener);
    Ok((listeners, Some(file)))
}

/// The places of the API for the log: the address, or the socket if there is none; and the socket, if there are both.
fn places(listen: &Listen) -> [Option<String>; 2] {
    let mut places = listen.places().into_iter();
    [places.next(), places.next()]
}

/// The policies of workloads that choose none: the configured ones, or the built-in ones.
fn default_policies(control: &ControlSettings) -> Defaults {
    let choice = |name: &Option<String>, built_in: &str, config: &String| PolicyChoice {
        name: name.clone().unwrap_or_else(|| built_in.to_owned()),
        config: config.clone(),
    };
    Defaults {
        scaling: choice(&control.scaling_policy, DEFAULT_SCALING, &control.scaling_config),
        health: choice(&control.health_policy, DEFAULT_HEALTH, &control.health_config),
    }
}

/// The default policies with their kinds and the settings that choose them.
fn each_default(defaults: &Defaults) -> [(&'static str, PolicyKind, &PolicyChoice); 2] {
    [
        ("control.scaling_policy", PolicyKind::Scaling, &defaults.scaling),
        ("control.health_policy", PolicyKind::Health, &defaults.health),
    ]
}

/// Checks the default policies that are built in, with their configurations.
///
/// # Errors
/// If a default policy rejects its configuration, or has neither a revision nor a source.
async fn check_known_defaults(registry: &PolicyRegistry, defaults: &Defaults, clock: Clock) -> anyhow::Result<()> {
    for (setting, kind, choice) in each_default(defaults) {
        if !registry.is_expected(&choice.name) {
            let checked = registry.check(kind, choice, clock.now()).await;
            checked.with_context(|| format!("`{setting}` or its configuration is invalid"))?;
        }
    }
    Ok(())
}

/// Checks the default policies that were pushed or have a source. A problem is only logged: the policy may differ from the
/// configured version, and the containers still need a host.
async fn check_expected_defaults(registry: &PolicyRegistry, defaults: &Defaults, clock: Clock) {
    for (setting, kind, choice) in each_default(defaults) {
        if registry.is_expected(&choice.name)
            && let Err(error) = registry.check(kind, choice, clock.now()).await
        {
            tracing::error!(setting, %error, "the default policy cannot be used as windlass.toml configures it");
        }
    }
}

/// The files of single policies, by the policy's name.
fn policy_files(policy: &PolicySettings) -> BTreeMap<String, PathBuf> {
    let sources = policy.named.iter().filter_map(|(name, named)| Some((name, named.source.as_ref()?)));
    let files = sources.filter_map(|(name, source)| match source {
        PolicyOrigin::File(path) => Some((name.clone(), path.clone())),
        PolicyOrigin::Oci(_) => None,
    });
    files.collect()
}

/// Registry logins from the user's Docker configuration.
struct DockerLogins;

#[async_trait]
impl RegistryLogins for DockerLogins {
    async fn of(&self, registry: &str) -> Result<Option<RegistryLogin>, String> {
        credentials::login(registry).await
    }
}
