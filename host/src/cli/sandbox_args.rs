//! Loads a policy for the command line, under the limits and grants of a `windlass.toml` or under the defaults.

use crate::config;
use anyhow::{Context, anyhow};
use clap::Args;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windlass_core::Timestamp;
use windlass_core::settings::PolicyLimits;
use windlass_network::{NetClient, NetOptions};
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::{LoadError, LoadProblem, PolicyComponent};
use windlass_sandbox::engine::PolicyEngine;
use windlass_sandbox::language;
use windlass_sandbox::language::Language;

/// Flags that choose the limits of a policy's calls.
#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// A `windlass.toml`; its `[policy]` section sets the limits and grants [default: the built-in limits]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Name of the policy in that file; its `[policies.NAME]` section overrides `[policy]`
    #[arg(long = "as", value_name = "NAME", requires = "settings")]
    name: Option<String>,
}

impl SandboxArgs {
    /// The limits of one call.
    pub(super) fn limits(&self) -> anyhow::Result<PolicyLimits> {
        let Some(file) = &self.settings else { return Ok(PolicyLimits::default()) };
        let settings = config::policies(file)?;
        if let Some(name) = &self.name
            && !settings.named.contains_key(name)
        {
            let (file, name) = (file.display(), name.escape_debug());
            return Err(anyhow!("`{file}` has no `[policies.{name}]`; add the section or change `--as`"));
        }
        Ok(self.name.as_ref().map_or(&settings.limits, |name| settings.limits_of(name)).clone())
    }

    /// Loads a policy for a few calls. It is compiled in a child process and not cached.
    pub(super) async fn load(&self, file: &Path) -> anyhow::Result<(PolicyComponent, Option<Language>)> {
        self.load_within(file, self.limits()?).await
    }

    /// As [`SandboxArgs::load`], but with other limits.
    pub(super) async fn load_within(
        &self,
        file: &Path,
        limits: PolicyLimits,
    ) -> anyhow::Result<(PolicyComponent, Option<Language>)> {
        let limits = PolicyLimits { concurrent_calls: 1, ..limits };
        let bytes = read_component(file, &limits)?;
        let engine = Arc::new(self.with_network(PolicyEngine::without_pool(limits)?)?);
        let loaded = PolicyComponent::load(&engine, &Compiler::this_program(), None, Arc::clone(&bytes)).await;
        Ok((loaded.map_err(|error| with_hints(file, &bytes, &error))?, language::of(&bytes)))
    }

    /// Gives the engine an HTTP client if its policies were granted HTTP.
    pub(super) fn with_network(&self, engine: PolicyEngine) -> anyhow::Result<PolicyEngine> {
        if engine.limits().http.is_some() {
            let settings = self.settings.as_deref().map(config::network).transpose()?.unwrap_or_default();
            engine.send_with(NetClient::with(NetOptions { settings, ..NetOptions::default() })?);
        }
        Ok(engine)
    }
}

/// Reads a component. Of a file that is too long, it reads one byte more than the limit, so that loading rejects it.
pub(super) fn read_component(file: &Path, limits: &PolicyLimits) -> anyhow::Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(limits.component_bytes.saturating_add(1)).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(bytes.into())
}

/// An error with every problem of a component, each with the likely mistake in its language.
pub(super) fn with_hints(file: &Path, bytes: &[u8], error: &LoadError) -> anyhow::Error {
    let language = language::of(bytes);
    let problem = |problem: &LoadProblem| {
        let hint = language::hint_for_loading(language, problem);
        format!("\n  - {problem}{}", likely(language, hint).replace("\n  ", "\n    "))
    };
    let problems: Vec<String> = error.problems.iter().map(problem).collect();
    anyhow!("`{}` is not a policy this host can run:{}", file.display(), problems.concat())
}

/// A line with the likely mistake; empty without a hint.
pub(super) fn likely(language: Option<Language>, hint: Option<&str>) -> String {
    match (language, hint) {
        (Some(language), Some(hint)) => format!("\n  likely, in {language}: {hint}"),
        (None, Some(hint)) => format!("\n  likely: {hint}"),
        (_, None) => String::new(),
    }
}

/// The current time, for checking a configuration without an observation.
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::default().plus(since_epoch)
}
