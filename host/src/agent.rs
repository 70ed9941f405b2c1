//! The composition root of `windlass agent`: samples the control groups in the background, and serves the last sample.

use anyhow::Context;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use windlass_api::{Tls, serve_agent};
use windlass_core::Secret;
use windlass_core::node_usage::NodeUsage;
use windlass_docker::cgroup::{Tree, TreeSample};
use windlass_files::private::{PrivateError, read_secret};

/// Minimum length of the token in bytes.
const MIN_TOKEN: usize = 16;

/// The options of an agent.
#[derive(Debug, Clone)]
pub(crate) struct AgentOptions {
    /// The address it listens on.
    pub(crate) listen: SocketAddr,
    /// The file with its certificate.
    pub(crate) certificate: PathBuf,
    /// The file with the private key of the certificate.
    pub(crate) key: PathBuf,
    /// The file with the token.
    pub(crate) token: PathBuf,
    /// The folder of the control groups.
    pub(crate) cgroups: PathBuf,
    /// Time between two samples.
    pub(crate) interval: Duration,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If a file cannot be used, or the address cannot be listened on.
pub(crate) async fn run(options: AgentOptions) -> anyhow::Result<()> {
    let certificate = std::fs::read_to_string(&options.certificate)
        .with_context(|| format!("cannot read the certificate from `{}`", options.certificate.display()))?;
    let tls = Tls::from_pem(&certificate, secret(&options.key, "private key")?.reveal()).map_err(anyhow::Error::msg)?;
    let token = secret(&options.token, "token")?;
    let token = Secret::new(token.reveal().trim());
    anyhow::ensure!(
        token.reveal().len() >= MIN_TOKEN,
        "the token in `{}` has {} bytes; expected at least {MIN_TOKEN}",
        options.token.display(),
        token.reveal().len()
    );
    let tree = Tree::open(&options.cgroups).with_context(|| {
        format!(
            "`{}` is no tree of control groups; in a container, bind `/sys/fs/cgroup` of the node to it, read-only",
            options.cgroups.display()
        )
    })?;
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on `{}` (`--listen`)", options.listen))?;
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let shutdown = async {
        let [terminate, interrupt] = &mut signals;
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("shutting down");
    };
    let clock = SteadyClock::start();
    let (sender, samples) = watch::channel(Arc::new(TreeSample::default()));
    let usage = move || {
        let containers = samples.borrow().containers.clone();
        NodeUsage { now: clock.now(), containers }
    };
    let address = listener.local_addr().context("the listening socket has no address")?;
    tracing::info!(%address, cgroups = %options.cgroups.display(), "the agent listens");
    tokio::select! {
        served = serve_agent(listener, tls, &token, usage, shutdown) => served.context("the server failed"),
        ended = sample(tree, clock, options.interval, &sender) => ended,
    }
}

/// Replaces the sample every `interval`. Returns only if the task that reads files cannot run.
async fn sample(
    tree: Tree,
    clock: SteadyClock,
    interval: Duration,
    sender: &watch::Sender<Arc<TreeSample>>,
) -> anyhow::Result<()> {
    let mut ticker = tokio::time::interval(interval);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut logged = None;
    loop {
        ticker.tick().await;
        let tree = tree.clone();
        let sample = tokio::task::spawn_blocking(move || tree.sample(|| clock.now())).await?;
        let problem = match &sample {
            // The agent itself runs in a container.
            TreeSample { containers, problem: None } if containers.is_empty() => Some(
                "the tree of control groups has no container; bind `/sys/fs/cgroup` of the node to the agent"
                    .to_owned(),
            ),
            TreeSample { problem, .. } => problem.clone(),
        };
        if problem.is_some() && logged.is_none() {
            tracing::warn!(reason = problem, "the use of some containers is unknown");
        }
        logged = problem;
        sender.send_replace(Arc::new(sample));
    }
}

/// Wall-clock time that never steps: the time of the start, and the time since then by a steady clock.
#[derive(Debug, Clone, Copy)]
struct SteadyClock {
    start: jiff::Timestamp,
    origin: Instant,
}

impl SteadyClock {
    fn start() -> Self {
        let start = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self { start, origin: Instant::now() }
    }

    fn now(self) -> jiff::Timestamp {
        self.start.checked_add(self.origin.elapsed()).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// Reads a secret. `noun` names it in errors, which do not contain it.
pub(crate) fn secret(path: &Path, noun: &str) -> anyhow::Result<Secret> {
    match read_secret(path) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error @ PrivateError::Exposed(_)) if path.starts_with("/run/secrets") => Err(error).with_context(|| {
            format!("the {noun} is not secret; in the stack file, give the secret `mode: 0400` and the `uid` of this process")
        }),
        Err(error) => Err(error).with_context(|| format!("cannot read the {noun} from `{}`", path.display())),
    }
}
